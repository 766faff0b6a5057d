"""Families of experts: the same for a seed, and true to the environments they are about."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import gymnasium as gym
import numpy as np
import pytest
import torch
from imitation.data.types import TrajectoryWithRew

from agents.expert import ExpertConfig, acting, learner
from envs import cheetah, gait, pointnav, swing, tasks
from envs.cheetah import VelocityPolicy
from envs.demos import check_env, held_out, load, save
from envs.drawn import Drawn, drawn_once
from envs.make import make_vec
from envs.tasks import Family, demonstrations, load_family, make_task_vec
from km_rl.errors import InputError
from km_rl.nn.weights import save_weights
from km_rl.rl.meta import MetaDiscriminator
from km_rl.rl.tasks import Task, Tasks, rows_of


def _family(name: tasks.Name) -> Family:
    return load_family(name, train=3, held_out=2)


@pytest.mark.parametrize("name", ["pointnav", "pendulum"])
def test_a_family_is_the_same_for_its_seed(name: tasks.Name) -> None:
    one, other = _family(name), _family(name)
    assert torch.equal(one.train[1].expert.action, other.train[1].expert.action)
    for a, b in zip(one.held_out, other.held_out, strict=True):
        assert torch.equal(a.task.expert.action, b.task.expert.action)
    moved = load_family(name, train=3, held_out=2, seed=1)
    assert not torch.equal(one.train[1].expert.action, moved.train[1].expert.action)


@pytest.mark.parametrize("name", ["pointnav", "pendulum"])
def test_experts_are_beside_others_and_act_in_the_space(name: tasks.Name) -> None:
    family = _family(name)
    venv = make_vec(family.env, 1, 0)
    for case in family.held_out:
        obs = case.task.expert.state.numpy()
        assert case.act is not None and case.act(obs).shape == case.task.expert.action.shape
        assert np.abs(case.act(obs) - case.task.expert.action.numpy()).mean() < 0.2
        assert case.task.expert.state.shape[1:] == venv.observation_space.shape
        assert venv.action_space.contains(case.task.expert.action[0].numpy())
        assert set(case.task.policies) == {"random", "half-trained", "perturbed"}


@pytest.mark.parametrize("name", ["pointnav", pytest.param("pendulum", marks=pytest.mark.slow)])
def test_what_is_shipped_of_held_out_experts_is_what_is_drawn(name: tasks.Name) -> None:
    episodes, family = load(held_out(name)), load_family(name)
    drawn = demonstrations(family)
    assert len(episodes) == len(family.held_out) == 24
    for one, other in zip(episodes, drawn, strict=True):
        np.testing.assert_allclose(np.asarray(one.obs), np.asarray(other.obs), atol=1e-4)
        np.testing.assert_allclose(one.acts, other.acts, atol=1e-4)
        np.testing.assert_allclose(one.rews, other.rews, atol=1e-3)


@pytest.mark.parametrize("name", ["pointnav", "pendulum"])
def test_a_discriminator_remembers_what_is_shipped(name: tasks.Name) -> None:
    family, path = _family(name), held_out(name)
    check_env(path, family.env)
    state, action = (x.shape[1] for x in family.train[0].expert[:2])
    model = MetaDiscriminator(state, action, slots=6, code=3, hidden=5)
    before = model.expert[0].precision
    model.remember(load(path)[:1])
    assert not torch.equal(before, model.expert[0].precision)
    assert path.stat().st_size < 200_000
    with pytest.raises(InputError, match="of 'chess' are shipped"):
        held_out("chess")


def test_simulated_pendulums_move_like_gymnasiums() -> None:
    states, torques = swing.rollouts(swing.Swinger(3.0, 0.5), 1, np.random.default_rng(0))
    env = gym.make("Pendulum-v1").unwrapped
    env.reset()
    cos, sin, speed = states[0, 0]
    env.state = np.array([np.arctan2(sin, cos), speed])  # type: ignore[attr-defined]
    for torque, following in zip(torques[0], states[0, 1:], strict=True):
        np.testing.assert_allclose(env.step(torque)[0], following, atol=1e-3)


def test_simulated_points_move_like_the_environment() -> None:
    env, rng = pointnav.PointNav(), np.random.default_rng(0)
    moves = []
    for _ in range(2000):
        start, _ = env.reset()
        moves.append(env.step(np.array([0.5, -1.0]))[0] - start)
    simulated = pointnav.moved(np.zeros((2000, 2)), np.array([0.5, -1.0]), rng)
    np.testing.assert_allclose(np.mean(moves, 0), simulated.mean(0), atol=0.01)
    np.testing.assert_allclose(np.std(moves, 0), simulated.std(0), atol=0.01)


def test_the_densities_of_states_and_of_actions_are_densities() -> None:
    driver = pointnav.Driver((0.4, -0.2), 2.0, 0.5, noise=0.3)
    places, a = _grid(1.8, 60), np.array([0.1, 0.2])
    state = np.exp(pointnav.log_density([driver], places, a) - driver.log_density(places, a))
    assert state.sum() * (3.6 / 60) ** 2 == pytest.approx(1, abs=0.02)
    actions, s = _grid(1.0, 60), np.array([0.9, 0.9])
    assert np.exp(driver.log_density(s, actions)).sum() / 900 == pytest.approx(1, abs=0.01)


def _grid(most: float, n: int) -> np.ndarray:
    """The middles of n x n cells of a square: (n^2, 2)."""
    side = most * ((2 * np.arange(n) + 1) / n - 1)
    return np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)


def test_states_that_are_visited_have_the_density_that_is_told() -> None:
    """The share of states near the goal, counted and integrated."""
    driver = pointnav.Driver((0.4, -0.2), 3.0, 0.0)
    states, _ = pointnav.rollouts(driver, 400, np.random.default_rng(1))
    near = np.linalg.norm(states[:, :-1].reshape(-1, 2) - driver.goal, axis=-1) < 0.2
    places, a = _grid(0.2, 40) + driver.goal, np.zeros(2)
    inside = np.linalg.norm(places - driver.goal, axis=-1) < 0.2
    density = np.exp(pointnav.log_density([driver], places, a) - driver.log_density(places, a))
    assert near.mean() == pytest.approx(density[inside].sum() * 0.01**2, abs=0.04)


def test_the_density_of_states_hardly_depends_on_what_was_simulated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = pointnav.Driver((0.4, -0.2), 3.0, 0.3)
    states, _ = pointnav.rollouts(driver, 9, np.random.default_rng(1))
    state = states[:, ::5].reshape(-1, 2)
    action = np.zeros_like(state)
    found = []
    real = np.random.default_rng
    for seed in (1, 2):
        monkeypatch.setattr(np.random, "default_rng", lambda _, seed=seed: real(seed))
        found.append(pointnav.log_density([driver], state, action))
    assert np.abs(found[0] - found[1]).mean() < 0.1
    alone = [
        pointnav.log_density([driver], s[None], a[None])[0]
        for s, a in zip(state, action, strict=True)
    ]
    np.testing.assert_allclose(alone, found[1], rtol=1e-9)


def test_the_true_ratio_tells_the_expert_from_others() -> None:
    family = _family("pointnav")
    case = family.held_out[0]
    assert case.log_ratio is not None
    own, random = case.task.expert, case.task.policies["random"]
    seen = [case.log_ratio(p.state[:50].numpy(), p.action[:50].numpy()) for p in (own, random)]
    assert np.mean(seen[0]) > 1 > -1 > np.mean(seen[1])
    assert _family("pendulum").held_out[0].log_ratio is None


def test_environments_of_a_task_pay_by_its_reward() -> None:
    family = _family("pointnav")
    case = family.held_out[1]
    venv = make_task_vec(family, case, 2, 0)
    venv.reset()
    obs, rewards, _, _ = venv.step(np.zeros((2, 2)))
    assert case.reward is not None
    np.testing.assert_allclose(rewards, [case.reward(x) for x in np.asarray(obs)], rtol=1e-5)


@pytest.fixture(scope="module")
def velocity_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained, saved as scripts/train_expert.py saves it."""
    path = tmp_path_factory.mktemp("expert") / "policy.safetensors"
    model = learner(ExpertConfig(env="HalfCheetahVelocity", steps=100))
    save_weights(path, cheetah.KIND, {"env": "HalfCheetahVelocity-v0"}, acting(model))
    obs = np.random.default_rng(0).normal(size=(5, 17))
    full = np.concatenate([obs, np.full((5, 1), 1.5)], -1)
    expected = model.predict(full, deterministic=True)[0]
    np.testing.assert_allclose(VelocityPolicy(path).act(obs, 1.5), expected, atol=1e-5)
    return path


@pytest.mark.parametrize("velocity", [0.3, 1.5, 2.7])
def test_the_shipped_expert_runs_as_fast_as_it_is_told(velocity: float) -> None:
    policy, env = VelocityPolicy(), gym.make("HalfCheetahVelocity-v0")
    obs, _ = env.reset(seed=3, options={"velocity": velocity})
    speeds = []
    for _ in range(400):
        obs, *_ = env.step(policy.act(obs[None, :-1], velocity)[0])
        speeds.append(obs[cheetah.SPEED])
    assert np.abs(np.array(speeds[100:]) - velocity).mean() < 0.4
    assert np.mean(speeds[100:]) == pytest.approx(velocity, abs=0.2)


def test_velocities_are_those_of_the_one_expert(
    velocity_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "VELOCITIES", (2, 1))
    family = load_family("halfcheetah-velocity", experts=[velocity_policy])
    assert [len(family.train), len(family.held_out)] == [2, 1]
    case = family.held_out[0]
    velocity = float(case.task.name.split()[-2])
    obs = case.task.expert.state[:9].numpy()
    expected = VelocityPolicy(velocity_policy).act(obs, velocity)
    np.testing.assert_allclose(case.task.expert.action[:9], expected, atol=0.02)
    assert case.reward is not None and case.reward(np.full(17, velocity)) == pytest.approx(
        0, abs=0.01
    )


def test_velocities_show_how_many_are_done(
    velocity_policy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tasks, "VELOCITIES", (2, 1))
    case = _family("pointnav").held_out[0]
    assert case.seen is not None
    drawn = Drawn(case.task, case.seen)
    monkeypatch.setattr(tasks, "_at", lambda *_: drawn)
    load_family("halfcheetah-velocity", experts=[velocity_policy])
    told = capsys.readouterr().err
    assert "halfcheetah-velocity:   0%" in told and "0/3" in told and "\n" not in told


def test_velocities_that_are_nearly_the_same_have_names_of_their_own(
    velocity_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "VELOCITIES", (2, 2))
    monkeypatch.setattr(tasks, "FASTEST", 0.001)
    family = load_family("halfcheetah-velocity", experts=[velocity_policy])
    names = [*(t.name for t in family.train), *(case.task.name for case in family.held_out)]
    assert len(set(names)) == 4


def test_velocities_that_are_kept_are_not_acted_again(
    velocity_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "VELOCITIES", (2, 1))
    monkeypatch.setattr(tasks, "CHEETAH_EPISODES", 2)
    path = tmp_path / "deep" / "tasks.safetensors"
    load = partial(load_family, "halfcheetah-velocity", experts=[velocity_policy], kept=path)
    first = load()
    monkeypatch.setattr(tasks, "_run", Mock(side_effect=AssertionError))
    _same(first, load())
    with pytest.raises(AssertionError):
        load(seed=1)
    monkeypatch.setattr(tasks, "NOISE", {"half-trained": 0.5, "perturbed": 0.2})
    with pytest.raises(AssertionError):
        load()


def _same(one: Family, other: Family) -> None:
    """The same pairs of the same policies and, of the held out, the same returns."""
    found = [[*f.train, *(case.task for case in f.held_out)] for f in (one, other)]
    assert [t.name for t in found[0]] == [t.name for t in found[1]]
    assert Tasks(found[0]).digest == Tasks(found[1]).digest
    for a, b in zip(*found, strict=True):
        assert [*a.policies] == [*b.policies]
        assert torch.equal(a.expert.trajectory, b.expert.trajectory)
    for x, y in zip(demonstrations(one), demonstrations(other), strict=True):
        for of_x, of_y in ((x.obs, y.obs), (x.acts, y.acts), (x.rews, y.rews)):
            np.testing.assert_array_equal(of_x, of_y)


def test_a_damaged_file_of_tasks_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "tasks.safetensors"
    for content in (b"", b"half", b"\x02" + bytes(7) + b"{}"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="is not a whole file of tasks") as told:
            drawn_once(path, {}, list)
        assert len(str(told.value).splitlines()) == 1


def test_the_velocity_is_seen_and_paid_for() -> None:
    env = gym.make("HalfCheetahVelocity-v0")
    obs, _ = env.reset(seed=0, options={"velocity": 2.0})
    assert obs[-1] == 2.0 and len(obs) == 18
    obs, reward, _, _, _ = env.step(np.zeros(6, np.float32))
    assert reward == pytest.approx(-abs(obs[cheetah.SPEED] - 2.0))
    obs, reward, _, _, _ = env.step(np.full(6, 0.5, np.float32))
    assert reward == pytest.approx(-abs(obs[cheetah.SPEED] - 2.0) - 0.05 * 6 * 0.25)


def _agent(path: Path, seed: int, env: str = "HalfCheetah-v4") -> Path:
    rng = np.random.default_rng(seed)
    made = TrajectoryWithRew(
        obs=rng.normal(size=(41, 17)).astype(np.float32),
        acts=rng.uniform(-1, 1, size=(40, 6)).astype(np.float32),
        rews=np.ones(40, dtype=np.float32),
        infos=None,
        terminal=False,
    )
    save(path, [made], {"env": env, "command": "a test"})
    return path


def test_gaits_are_the_agents_whose_files_are_given(tmp_path: Path) -> None:
    files = [_agent(tmp_path / f"{i}.npz", i) for i in range(6)]
    family = load_family("halfcheetah-gait", experts=files)
    assert [task.name for task in family.train] == ["0", "1", "2", "3"]
    assert [case.task.name for case in family.held_out] == ["4", "5"]
    assert family.held_out[0].told_return == 40 and family.held_out[0].act is None
    with pytest.raises(InputError, match="'4' is known by its own file of demonstrations"):
        demonstrations(family)
    (tmp_path / "more").mkdir()
    same = _agent(tmp_path / "more" / "0.npz", 7)
    with pytest.raises(InputError, match="called by the names of their files"):
        load_family("halfcheetah-gait", experts=[*files, same])
    with pytest.raises(InputError, match="5 experts were given where halfcheetah-gait needs"):
        load_family("halfcheetah-gait", experts=files[:5])
    foreign = _agent(tmp_path / "hopper.npz", 9, env="Hopper-v4")
    with pytest.raises(InputError, match="holds demonstrations of Hopper-v4 where HalfCheetah"):
        load_family("halfcheetah-gait", experts=[*files[:5], foreign])
    with np.load(files[5]) as file:
        kept = {name: x for name, x in file.items() if name not in ("rews", "returns")}
    unpaid = tmp_path / "unpaid.npz"
    np.savez(unpaid, **kept)
    with pytest.raises(InputError, match=r"unpaid.npz' does not say what its agent was paid"):
        load_family("halfcheetah-gait", experts=[*files[:5], unpaid])


def test_a_folder_stands_for_the_agents_in_it(tmp_path: Path) -> None:
    runs = [tmp_path / f"agent-{i}" / gait.DEMONSTRATIONS for i in (0, 2, 10, 11)]
    for path in (*runs, tmp_path / "mine.npz", tmp_path / "yours.npz"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = gait.agents([tmp_path])
    assert [*found] == ["mine", "yours", "agent-0", "agent-2", "agent-10", "agent-11"]
    assert [*found.values()][2:] == runs and gait.agents([*found.values()]) == found
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty' holds no demonstrations: give a folder"):
        gait.agents([tmp_path / "empty"])


def test_no_pair_beside_a_held_out_expert_is_beside_one_to_learn_from(
    tmp_path: Path, velocity_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "VELOCITIES", (2, 1))
    files = [_agent(tmp_path / f"{i}.npz", i) for i in range(6)]
    for family in (
        _family("pointnav"),
        _family("pendulum"),
        load_family("halfcheetah-velocity", experts=[velocity_policy]),
        load_family("halfcheetah-gait", experts=files),
    ):
        learned, asked = map(_beside, (family.train, [case.task for case in family.held_out]))
        assert len(learned) > 500 and len(asked) > 500 and not learned & asked, family.name


def _beside(found: Sequence[Task]) -> set[tuple[float, ...]]:
    """The pairs of all policies of some tasks."""
    each = (rows_of(pairs).tolist() for task in found for pairs in task.policies.values())
    return {tuple(row) for rows in each for row in rows}


def test_bad_families_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="family is 'chess'"):
        load_family("chess")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="train is 0"):
        load_family("pointnav", train=0)
    with pytest.raises(InputError, match="2 experts were given where halfcheetah-velocity"):
        load_family("halfcheetah-velocity", experts=[tmp_path, tmp_path])
    with pytest.raises(InputError, match=r"There is no expert at '.*none'"):
        load_family("halfcheetah-velocity", experts=[tmp_path / "none"])
    with pytest.raises(InputError, match="holds no demonstrations"):
        load_family("halfcheetah-gait", experts=[tmp_path])
    path = tmp_path / "policy.safetensors"
    save_weights(path, cheetah.KIND, {"env": "Hopper-v4"}, torch.nn.Linear(1, 1))
    with pytest.raises(InputError, match="holds an expert of Hopper-v4 where"):
        load_family("halfcheetah-velocity", experts=[path])
