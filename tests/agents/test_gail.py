"""Imitation from end to end, tiny: every method, resuming, and bad input."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import gymnasium as gym
import numpy as np
import pytest
import torch
from given import demonstrations
from gymnasium.envs.registration import EnvSpec
from imitation.algorithms.adversarial.gail import GAIL
from imitation.data.types import TrajectoryWithRew
from stable_baselines3 import PPO

import agents.adversary as adversary
from agents.cloning import Cloning
from agents.config import GailConfig
from agents.forgetting import ARMS, Planted
from agents.gail import build, imitate
from agents.generator import PPO_SETTINGS, PpoSettings
from agents.logbook import Logbook, RoundMeans
from agents.runs import read_runs
from agents.task import load_task
from agents.true_return import TrueReturn
from envs.demos import save
from envs.make import make_vec
from km_rl.errors import InputError, NonFiniteError
from km_rl.rl.reward_net import KanervaRewardNet

ROUND = 64
BC_ROUND = Cloning.round_steps
script = import_module("scripts.gail")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of 64 steps and batches of 32 pairs."""
    settings = PpoSettings(n_envs=2, n_steps=ROUND // 2, batch_size=32, n_epochs=1)
    for env in ("Pendulum", "CartPole"):
        monkeypatch.setitem(PPO_SETTINGS, env, settings)
    for name, value in {"BATCH": 32, "SAC_ROUND": ROUND}.items():
        monkeypatch.setattr(adversary, name, value)


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demonstrations(tmp_path_factory.mktemp("demos"))


def _invented(path: Path, env: str, *lengths: int) -> Path:
    """Demonstrations of the right shapes and these lengths, with no sense."""
    venv, rng = make_vec(env, 1, seed=0), np.random.default_rng(0)
    shape = venv.observation_space.shape
    assert shape is not None and isinstance(venv.action_space, gym.spaces.Discrete)
    made = [
        TrajectoryWithRew(
            obs=rng.normal(size=(n + 1, *shape)).astype(np.float32),
            acts=rng.integers(venv.action_space.n, size=n),
            rews=np.ones(n),
            infos=None,
            terminal=False,
        )
        for n in lengths
    ]
    save(path, made, {"env": env, "command": "a test"})
    return path


def _config(demos: Path, folder: Path, **changed: Any) -> GailConfig:
    usual = {"env": "Pendulum", "demos": demos, "steps": 2 * ROUND, "evaluate_every": 10**6}
    usual |= {} if changed.get("algorithm") == "bc" else {"updates": 2}
    return GailConfig(run_dir=folder, evaluate_episodes=2, threads=1, **{**usual, **changed})


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"reward": "conformal", "features": "learned", "head": "conditional", "slots": 8},
        {"algorithm": "airl", "head": "conditional"},
        {"generator": "sac"},
        {"discriminator": "mlp", "dropout": 0.5},
        {"discriminator": "mlp", "scale": "expert"},
        {"discriminator": "vail"},
        {"discriminator": "knn", "scale": "expert"},
        {"algorithm": "bc", "steps": 4096},
    ],
)
def test_every_method_goes_to_its_end(
    changed: dict[str, Any], demos: Path, tmp_path: Path
) -> None:
    (run,) = read_runs([imitate(_config(demos, tmp_path, **changed))])
    assert run.steps == run.config["steps"]
    assert np.isfinite(run.last("return/mean"))
    assert run.fact("pairs") == 20 and run.fact("demonstrations") == 2
    if run.method == "bc":
        assert np.isfinite(run.last("bc/loss"))
        return
    assert run.last("seconds/update") > 0 < run.last("seconds/reward")
    assert len(run.curve("logit/expert").steps) == (0 if "airl" in run.method else 2)
    if run.method == "kanerva":
        assert run.last("logit/expert") > run.last("logit/policy")


def test_what_imitation_logs_has_our_names(tmp_path: Path) -> None:
    means = RoundMeans(tmp_path)
    right = {"mean/disc/disc_acc_expert": 0.9, "mean/disc/disc_acc_gen": 0.2}
    returns = {"mean/gen/rollout/ep_rew_mean": 5, "mean/gen/rollout/ep_rew_wrapped_mean": 7}
    means.write({**right, **returns, "mean/gen/km/surprise": 1, "mean/gen/time/fps": 2}, {})
    assert means.values == {
        "discriminator/expert_right": 0.9,
        "discriminator/policy_right": 0.2,
        "rollout/return": 5,
        "rollout/learned_return": 7,
        "km/surprise": 1,
    }


def test_runs_of_ppo_and_sac_have_folders_of_their_own() -> None:
    made = [GailConfig(generator=one).folder.name for one in ("ppo", "sac")]
    assert made == ["HalfCheetah-kanerva-0", "HalfCheetah-kanerva-sac-0"]


def test_the_memory_holds_the_experts_pairs_and_what_the_policy_did(
    demos: Path, tmp_path: Path
) -> None:
    folder = imitate(_config(demos, tmp_path))
    net = KanervaRewardNet.load(folder / "discriminator.safetensors")
    assert net.memory_state[:2] == (20, 2 * ROUND)
    assert read_runs([folder])[0].last("km/policy_slots") > 0


def test_what_is_saved_is_what_was_measured(demos: Path, tmp_path: Path) -> None:
    folder = imitate(_config(demos, tmp_path, discriminator="mlp"))
    found = TrueReturn("Pendulum", 2).of(PPO.load(folder / "policy.zip"))
    assert found.mean == read_runs([folder])[0].last("return/mean")


@pytest.mark.parametrize("reward", ["softplus", "logit", "conformal"])
def test_the_policy_is_paid_by_the_map_that_was_asked_for(
    reward: Any, demos: Path, tmp_path: Path
) -> None:
    config = _config(demos, tmp_path, reward=reward).resolved()
    made = adversary.Adversary(config, load_task(config), RoundMeans(tmp_path))
    pairs = [made.task.demonstrations[name][:4] for name in adversary.FIELDS]
    assert isinstance(made.net, KanervaRewardNet)
    paid = made.trainer.venv_train.reward_fn(*pairs)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(paid, made.net.reward_fn(*pairs))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"anneal": True},
        {"discriminator": "mlp"},
        {"algorithm": "bc", "steps": 3 * BC_ROUND, "evaluate_every": BC_ROUND},
    ],
)
def test_the_same_command_goes_on_after_a_signal(
    changed: dict[str, Any], demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _config(demos, tmp_path, **{"steps": 3 * ROUND, "evaluate_every": ROUND} | changed)
    kind = Cloning if config.algorithm == "bc" else adversary.Adversary
    rounds: list[int] = []
    whole = kind.round

    def interrupted(self: Any) -> dict[str, float]:
        rounds.append(self.steps)
        if len(rounds) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return whole(self)

    monkeypatch.setattr(kind, "round", interrupted)
    with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
        imitate(config)
    (run,) = read_runs([imitate(config)])
    each = config.steps // 3
    assert rounds == [0, each, 2 * each]
    assert list(run.curve("return/mean").steps) == [0, each, 2 * each, 3 * each]
    assert imitate(config) == run.folder and len(rounds) == 3


def test_the_script_ends_with_a_table_and_a_report(
    demos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = f"--env Pendulum --demos {demos} --steps {ROUND} --evaluate-episodes 2 --threads 1"
    for name, more in (("one", ""), ("two", " --seed 1")):
        script.main(f"{flags} --run-dir {tmp_path} --name {name}{more}".split())
    told = capsys.readouterr().out
    assert "share of the expert" in told and "report.html" in told
    assert {path.name for path in (tmp_path / "one").glob("[!.]*")} == {
        "config.json",
        "metrics.jsonl",
        "tb",
        "training.pt",
        "discriminator.safetensors",
        "policy.zip",
        "report.html",
    }
    script.main(["--compare", str(tmp_path / "one"), str(tmp_path / "two")])
    assert "comparison.html" in capsys.readouterr().out


def test_the_script_refuses_in_one_sentence(
    demos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        script.main(f"--env Pendulun --demos {demos} --run-dir {tmp_path / 'runs'}".split())
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert "'Pendulun'" in told and len(told.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def _changed(demos: Path, path: Path, **arrays: Any) -> Path:
    """The same demonstrations with other arrays."""
    with np.load(demos) as file:
        np.savez(path, **{**file, **arrays})
    return path


def _with_nan(demos: Path, path: Path) -> Path:
    obs = np.load(demos)["obs"]
    obs[7] = np.nan
    return _changed(demos, path, obs=obs)


def _of_two_lengths(demos: Path, path: Path) -> Path:
    return _changed(demos, path, traj_starts=np.array([0, 150, 400]))


def _of_images(demos: Path, path: Path) -> Path:
    return _changed(demos, path, obs=np.zeros((402, 8, 8, 3), np.float32))


def _empty(demos: Path, path: Path) -> Path:
    path.touch()
    return path


def _truncated(demos: Path, path: Path) -> Path:
    path.write_bytes(demos.read_bytes()[:300])
    return path


def _without_pairs(demos: Path, path: Path) -> Path:
    names = ("obs", "acts", "rews", "terminal", "returns")
    nothing = {name: np.load(demos)[name][:0] for name in names}
    return _changed(demos, path, traj_starts=np.zeros(1, int), **nothing)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_with_nan, "NaN"),
        (_of_two_lengths, "150 to 250 steps.*--allow-variable-horizon"),
        (_of_images, r"\(8, 8, 3\)"),
        (_empty, "spoilt.npz"),
        (_truncated, "spoilt.npz"),
        (_without_pairs, "no trajectories"),
        (lambda demos, path: path, "no demonstrations at"),
    ],
)
def test_spoilt_demonstrations_are_refused(
    spoil: Callable[[Path, Path], Path], sentence: str, demos: Path, tmp_path: Path
) -> None:
    spoilt = spoil(demos, tmp_path / "spoilt.npz")
    with pytest.raises(InputError, match=sentence):
        imitate(_config(spoilt, tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_the_noise_that_the_learner_starts_with_may_be_chosen(demos: Path, tmp_path: Path) -> None:
    config = _config(demos, tmp_path, log_std_init=-0.5).resolved()
    learner = build(config, load_task(config), RoundMeans(tmp_path)).learner
    log_std = dict(learner.policy.named_parameters())["log_std"]
    assert log_std.tolist() == [-0.5]


def test_a_line_that_cannot_be_written_is_told_in_a_sentence(demos: Path, tmp_path: Path) -> None:
    book = Logbook(_config(demos, tmp_path), torch.nn.Linear(1, 1), {})
    book.start(0)
    (book.folder / "metrics.jsonl").unlink()
    (book.folder / "metrics.jsonl").mkdir()
    with pytest.raises(InputError, match=r"metrics\.jsonl' cannot be written .*: make room"):
        book.record(64, 0.5, {"return/mean": 1.0})
    book.close()


@pytest.mark.parametrize("method", ["gail", "bc"])
@pytest.mark.parametrize("fails", [True, False])
def test_training_stops_where_a_weight_is_lost(
    method: Any, fails: bool, demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Acting on such weights is a ValueError of torch's; what was learned last is not acted on."""
    kind = Cloning if method == "bc" else adversary.Adversary

    def spoilt(imitator: Any) -> dict[str, float]:
        for weights in imitator.learner.policy.parameters():
            weights.data.fill_(np.nan)
        if fails:
            imitator.learner.predict(imitator.task.demonstrations["obs"][:1], deterministic=False)
        return {}

    monkeypatch.setattr(kind, "round", spoilt)
    config = _config(demos, tmp_path, algorithm=method, steps=BC_ROUND)
    with pytest.raises(NonFiniteError, match=r"Stopped after \d+ steps: a weight of the policy"):
        imitate(config)
    assert "return/std" in (config.folder / "metrics.jsonl").read_text()


def test_the_step_size_falls_to_the_last_step(demos: Path, tmp_path: Path) -> None:
    config = _config(demos, tmp_path, steps=4 * ROUND, anneal=True).resolved()
    imitator = build(config, load_task(config), RoundMeans(tmp_path))
    usual = imitator.learner.learning_rate
    rates = []
    for _ in range(4):
        imitator.round()
        rates.append(imitator.learner.policy.optimizer.param_groups[0]["lr"] / usual)
    assert rates == pytest.approx([1, 3 / 4, 1 / 2, 1 / 4])


def test_an_annealed_run_ends_for_good(demos: Path, tmp_path: Path) -> None:
    config = _config(demos, tmp_path, anneal=True)
    imitate(config)
    with pytest.raises(InputError, match="steps"):
        imitate(replace(config, steps=4 * ROUND))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"env": "CartPole"}, "expected"),
        ({"env": "Hopper"}, "expected"),
        ({"trajectories": 9}, "9 trajectories were asked for where .* holds 2"),
        ({"code": 9}, "--code is 9, which changes nothing"),
        ({"trajectories": 0}, "--trajectories is 0"),
        ({"every": 0}, "--every is 0"),
        ({"steps": 10}, "--steps is 10 where one round takes 64"),
        ({"slots": 0}, "--slots is 0"),
        ({"dropout": 1.0, "discriminator": "mlp"}, "--dropout is 1.0"),
        ({"name": "a/b"}, "--name is 'a/b'"),
        ({"discriminator": "mlp", "head": "ratio"}, "--head is ratio, which changes nothing"),
        ({"dropout": 0.5}, "--dropout is 0.5, which changes nothing"),
        ({"log_std_init": 9.0}, "--log-std-init is 9.0: give the log of a standard deviation"),
        ({"log_std_init": float("nan")}, "--log-std-init is nan"),
        (
            {"generator": "sac", "log_std_init": 0.0},
            "--log-std-init is 0.0, which",
        ),
        ({"algorithm": "bc", "anneal": True}, "--anneal is True, which changes nothing"),
        ({"updates": 0}, "--updates is 0"),
        ({"algorithm": "bc", "updates": 9}, "--updates is 9, which changes nothing"),
        ({"algorithm": "airl"}, "add --head conditional, or choose --algorithm gail"),
        (
            {"algorithm": "airl", "head": "conditional", "reward": "logit"},
            "--reward is logit, which changes nothing",
        ),
    ],
)
def test_settings_that_no_run_can_have(
    changed: dict[str, Any], sentence: str, demos: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=sentence):
        imitate(_config(demos, tmp_path, **changed))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("env", "lengths"),
    [("CartPole-v1", (20, 30)), ("MountainCar-v0", (20, 30)), ("MountainCar-v0", (20,))],
)
def test_episodes_that_end_early_have_to_be_allowed(
    env: str, lengths: tuple[int, ...], tmp_path: Path
) -> None:
    """It is known of the first; of the second an expert's episodes tell it, or a random policy's,
    which go on for 200 steps."""
    path = _invented(tmp_path / "demos.npz", env, *lengths)
    with pytest.raises(InputError, match="add --allow-variable-horizon"):
        imitate(_config(path, tmp_path / "runs", env=env))
    assert not (tmp_path / "runs").exists()
    cloned = _config(path, tmp_path / "runs", env=env, algorithm="bc", steps=BC_ROUND)
    assert read_runs([imitate(cloned)])[0].steps == BC_ROUND


class Camera(gym.Env[np.ndarray, np.ndarray]):
    """An environment that shows pictures."""

    observation_space = gym.spaces.Box(0, 255, (8, 8, 3), np.uint8)
    action_space = gym.spaces.Box(-1, 1, (1,))

    def reset(self, **_: Any) -> tuple[np.ndarray, dict[str, Any]]:
        return self.observation_space.sample(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, False, {}


def test_pictures_are_refused(
    demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = EnvSpec("Camera-v0", entry_point=lambda **_: Camera())
    monkeypatch.setitem(gym.registry, "Camera-v0", camera)
    shown = _of_images(demos, tmp_path / "shown.npz")
    with pytest.raises(InputError, match="images where vectors are expected"):
        imitate(_config(shown, tmp_path / "runs", env="Camera"))
    assert not (tmp_path / "runs").exists()


def test_a_run_of_other_settings_is_not_gone_on_with(demos: Path, tmp_path: Path) -> None:
    folder = imitate(_config(demos, tmp_path, steps=ROUND))
    before = (folder / "config.json").read_text()
    with pytest.raises(InputError, match="holds a run with slots = 256 where"):
        imitate(_config(demos, tmp_path, steps=ROUND, slots=64))
    assert (folder / "config.json").read_text() == before


def test_the_discriminator_learns_so_many_times_a_round(
    demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Mock(wraps=GAIL.train_disc)
    monkeypatch.setattr(GAIL, "train_disc", lambda self: counted(self))
    imitate(_config(demos, tmp_path, discriminator="mlp", updates=3))
    assert counted.call_count == 2 * 3


def test_a_run_of_a_version_without_a_setting_goes_on_at_its_default(
    demos: Path, tmp_path: Path
) -> None:
    config = _config(demos, tmp_path, steps=ROUND, evaluate_every=ROUND, updates=8)
    file = imitate(config) / "config.json"
    held = json.loads(file.read_text())
    del held["updates"]
    file.write_text(json.dumps(held))
    longer = replace(config, steps=2 * ROUND)
    (run,) = read_runs([imitate(longer)])
    assert run.steps == 2 * ROUND and run.config["updates"] == 8
    with pytest.raises(InputError, match="holds a run with updates = 8 where"):
        imitate(replace(longer, updates=9))


def test_a_run_that_learned_from_other_data_is_not_gone_on_with(
    demos: Path, tmp_path: Path
) -> None:
    config = _config(demos, tmp_path, steps=ROUND)
    folder = imitate(config)
    held = json.loads((folder / "config.json").read_text())
    held["about"]["data"] = "another"
    (folder / "config.json").write_text(json.dumps(held))
    with pytest.raises(InputError, match="holds a run that learned from other data"):
        imitate(replace(config, steps=2 * ROUND))


def test_the_same_demonstrations_may_lie_elsewhere(demos: Path, tmp_path: Path) -> None:
    config = _config(demos, tmp_path, steps=ROUND)
    folder = imitate(config)
    shutil.copy(demos, elsewhere := tmp_path / "elsewhere.npz")
    assert imitate(replace(config, demos=elsewhere, steps=2 * ROUND)) == folder
    assert read_runs([folder])[0].steps == 2 * ROUND
    held = json.loads((folder / "config.json").read_text())
    del held["about"]["data"]  # of a version that knew no digest
    (folder / "config.json").write_text(json.dumps(held))
    with pytest.raises(InputError, match="holds a run with demos = "):
        imitate(replace(config, demos=elsewhere, steps=3 * ROUND))


def test_a_run_by_another_recipe_is_not_gone_on_with(
    demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _config(demos, tmp_path, steps=ROUND)
    imitate(config)
    monkeypatch.setitem(PPO_SETTINGS, "Pendulum", replace(PPO_SETTINGS["Pendulum"], gamma=0.5))
    with pytest.raises(InputError, match=r"another recipe than this version's \(gamma\)"):
        imitate(config)


def test_a_discriminator_of_another_environment(demos: Path, tmp_path: Path) -> None:
    folder = imitate(_config(demos, tmp_path, steps=ROUND))
    cart = _invented(tmp_path / "cart.npz", "CartPole", 500)
    other = _config(cart, tmp_path, env="CartPole", steps=ROUND)
    shutil.copy(folder / "training.pt", imitate(other) / "training.pt")
    with pytest.raises(
        InputError,
        match=r"saved with Pendulum-v1 as its environment where this trainer has seals/CartPole",
    ):
        imitate(other)


@pytest.mark.parametrize("changed", [{}, {"algorithm": "bc", "evaluate_every": BC_ROUND}])
def test_a_run_at_its_end_goes_on_to_more_steps_and_not_to_fewer(
    changed: dict[str, Any], demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its commits are both, for both have a part in the numbers."""
    each = BC_ROUND if changed else ROUND
    config = _config(demos, tmp_path, **{"steps": each, "evaluate_every": each} | changed)
    monkeypatch.setattr("km_rl.train.provenance.commit", lambda: "a" * 40)
    imitate(config)
    monkeypatch.setattr("km_rl.train.provenance.commit", lambda: "b" * 40)
    longer = replace(config, steps=2 * each)
    (run,) = read_runs([imitate(longer)])
    assert list(run.curve("return/mean").steps) == [0, each, 2 * each]
    assert run.config["steps"] == 2 * each
    assert run.fact("commit") == "a" * 40 + "+" + "b" * 40
    with pytest.raises(InputError, match=f"holds a run with steps = {2 * each} where"):
        imitate(config)


def test_a_run_that_has_seen_whole_episodes_goes_on_too(
    demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """imitation then knows the horizon, as a number of numpy's."""
    settings = PpoSettings(n_envs=1, n_steps=256, batch_size=32, n_epochs=1)
    monkeypatch.setitem(PPO_SETTINGS, "Pendulum", settings)
    config = _config(demos, tmp_path, steps=256, discriminator="mlp")
    folder = imitate(config)
    (before,), (after,) = read_runs([folder]), read_runs([imitate(config)])
    assert before.steps == after.steps == 256
    assert len(before.metrics) == len(after.metrics)


@pytest.mark.parametrize("arm", ARMS)
def test_what_was_planted_is_forgotten_half_way(
    arm: str, demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    round_of = adversary.Adversary.round

    def watched(self: adversary.Adversary) -> dict[str, float]:
        told, net = round_of(self), self.net
        assert isinstance(net, KanervaRewardNet)
        held.append(int(net.memory_state.expert_pairs))
        return told

    monkeypatch.setattr(adversary.Adversary, "round", watched)
    config = _config(demos, tmp_path, steps=4 * ROUND, evaluate_every=2 * ROUND)
    (run,) = read_runs([imitate(config, partial(Planted, arm=arm, bad=1))])
    curve = run.curve("return/mean")
    assert list(curve.steps) == [0, 2 * ROUND, 4 * ROUND] and np.isfinite(curve.values).all()
    good, bad = 20, 10
    expected = {
        "clean": [good] * 4,
        "planted": [good + bad] * 4,
        "forgotten": [good + bad] * 2 + [good] * 2,
    }
    assert held == expected[arm]


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_what_was_forgotten_stays_so_when_a_run_goes_on(
    rounds: int, demos: Path, tmp_path: Path
) -> None:
    config = _config(demos, tmp_path, steps=4 * ROUND).resolved()
    task = load_task(config)

    def imitator() -> Planted:
        return Planted(config, task, RoundMeans(tmp_path), arm="forgotten", bad=1)

    def shown(one: Planted) -> list[int]:
        assert isinstance(one.net, KanervaRewardNet)
        batches: Any = one.trainer._demo_data_loader
        return [int(one.net.memory_state.expert_pairs), batches.data_loader.count]

    first, then = imitator(), imitator()
    assert shown(first) == [30, 30]
    for _ in range(rounds):
        first.round()
    first.save(tmp_path)
    then.resume(tmp_path)
    assert shown(first) == shown(then) == [[30, 30], [20, 20], [20, 20]][rounds - 1]
    then.round()
    assert shown(then) == [20, 20]


def test_a_run_that_is_shown_something_else_is_another(
    demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _config(demos, tmp_path)
    imitate(config, partial(Planted, arm="planted", bad=1))
    for arm, bad in (("planted", 2), ("forgotten", 1)):
        with pytest.raises(InputError, match="another recipe than this version's"):
            imitate(config, partial(Planted, arm=arm, bad=bad))
    task = load_task(config.resolved())
    task.demonstrations["acts"][0] += 1
    monkeypatch.setattr("agents.gail.load_task", lambda _: task)
    with pytest.raises(InputError, match=r"another recipe than this version's \(good\)"):
        imitate(config, partial(Planted, arm="planted", bad=1))


def test_a_net_without_a_memory_cannot_forget(demos: Path, tmp_path: Path) -> None:
    config = _config(demos, tmp_path, discriminator="mlp")
    with pytest.raises(InputError, match="BasicRewardNet cannot forget"):
        imitate(config, partial(Planted, arm="forgotten", bad=1))
    with pytest.raises(InputError, match="'dirty' is not one of clean, planted, forgotten"):
        imitate(config, partial(Planted, arm="dirty", bad=1))
