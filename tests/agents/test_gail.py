"""Imitation from end to end, tiny: every method, resuming, and bad input."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imitation.data.types import TrajectoryWithRew

import agents.adversary as adversary
from agents.config import GailConfig
from agents.gail import imitate
from agents.generator import PPO_SETTINGS, PpoSettings
from agents.runs import read_runs
from envs.demos import save
from envs.make import make_vec
from km_rl.errors import InputError
from km_rl.rl.reward_net import KanervaRewardNet

ROUND = 64
script = import_module("scripts.gail")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of 64 steps and batches of 32 pairs."""
    settings = PpoSettings(n_envs=2, n_steps=ROUND // 2, batch_size=32, n_epochs=1)
    monkeypatch.setitem(PPO_SETTINGS, "Pendulum", settings)
    monkeypatch.setattr(adversary, "BATCH", 32)
    monkeypatch.setattr(adversary, "UPDATES", 2)


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trajectories of random actions."""
    path = tmp_path_factory.mktemp("demos") / "pendulum.npz"
    save(path, [_trajectory(i) for i in range(2)], {"env": "Pendulum-v1", "command": "a test"})
    return path


def _trajectory(seed: int) -> TrajectoryWithRew:
    venv = make_vec("Pendulum", 1, seed)
    obs, acts, rews = [np.asarray(venv.reset())[0]], [], []
    for _ in range(200):
        act = venv.action_space.sample()
        seen, reward, done, infos = venv.step(act[None])
        seen = np.asarray(seen)
        obs.append(infos[0]["terminal_observation"] if done[0] else seen[0])
        acts.append(act)
        rews.append(float(reward[0]))
    return TrajectoryWithRew(
        obs=np.array(obs), acts=np.array(acts), rews=np.array(rews), infos=None, terminal=False
    )


def _config(demos: Path, folder: Path, **changed: Any) -> GailConfig:
    usual = {"env": "Pendulum", "demos": demos, "steps": 2 * ROUND, "evaluate_every": 10**6}
    return GailConfig(run_dir=folder, evaluate_episodes=2, threads=1, **{**usual, **changed})


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"reward": "conformal", "features": "random"},
        {"algorithm": "airl"},
        {"discriminator": "mlp", "dropout": 0.5},
        {"discriminator": "vail"},
        {"discriminator": "knn"},
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
    if run.method != "bc":
        assert len(run.curve("logit/expert").steps) == 2
        assert run.last("seconds/update") > 0 < run.last("seconds/reward")


def test_the_memory_holds_the_experts_pairs_and_what_the_policy_did(
    demos: Path, tmp_path: Path
) -> None:
    folder = imitate(_config(demos, tmp_path))
    net = KanervaRewardNet.load(folder / "discriminator.safetensors")
    assert net.memory_state[:2] == (20, 2 * ROUND)
    assert read_runs([folder])[0].last("km/policy_slots") > 0


@pytest.mark.parametrize("changed", [{}, {"discriminator": "mlp"}])
def test_the_same_command_goes_on_where_it_stood(
    changed: dict[str, Any], demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _config(demos, tmp_path, steps=3 * ROUND, evaluate_every=ROUND, **changed)
    rounds: list[int] = []
    real = adversary.Adversary.round

    def counted(self: adversary.Adversary) -> dict[str, float]:
        if len(rounds) == 1:
            rounds.append(0)
            raise KeyboardInterrupt
        rounds.append(1)
        return real(self)

    monkeypatch.setattr(adversary.Adversary, "round", counted)
    with pytest.raises(KeyboardInterrupt):
        imitate(config)
    (run,) = read_runs([imitate(config)])
    assert sum(rounds) == 3
    assert list(run.curve("logit/expert").steps) == [ROUND, 2 * ROUND, 3 * ROUND]
    assert [s for s in run.curve("return/mean").steps if s] == [ROUND, 2 * ROUND, 3 * ROUND]


def test_the_script_ends_with_a_table_and_a_report(
    demos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = f"--env Pendulum --demos {demos} --steps {ROUND} --evaluate-episodes 2 --threads 1"
    for name, more in (("one", ""), ("two", " --seed 1")):
        script.main(f"{flags} --run-dir {tmp_path} --name {name}{more}".split())
    told = capsys.readouterr().out
    assert "share of the expert" in told and "report.html" in told
    assert (tmp_path / "one" / "policy.zip").exists()
    assert "<img" in (tmp_path / "one" / "report.html").read_text()
    script.main(["--compare", str(tmp_path / "one"), str(tmp_path / "two")])
    assert "comparison.html" in capsys.readouterr().out


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"env": "Pendulun"}, "no environment 'Pendulun'.*did you mean 'Pendulum'"),
        ({"env": "CartPole"}, "expected"),
        ({"env": "CartPole-v1"}, "expected"),
        ({"trajectories": 9}, "--trajectories is 9 where .* holds 2"),
        ({"steps": 10}, "--steps is 10 where one round takes 64"),
        ({"demos": Path("nowhere.npz")}, "nowhere.npz"),
        ({"discriminator": "mlp", "head": "ratio"}, "--head is ratio, which changes nothing"),
        ({"every": 0}, "--every is 0"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing_behind(
    changed: dict[str, Any], sentence: str, demos: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=sentence):
        imitate(_config(changed.get("demos", demos), tmp_path, **_without_demos(changed)))
    assert not list(tmp_path.iterdir())


def _without_demos(changed: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changed.items() if name != "demos"}


def test_broken_demonstrations_are_refused(demos: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.npz"
    broken.write_bytes(demos.read_bytes()[:300])
    with pytest.raises(InputError, match=r"broken\.npz"):
        imitate(_config(broken, tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_a_run_of_other_settings_is_not_gone_on_with(demos: Path, tmp_path: Path) -> None:
    folder = imitate(_config(demos, tmp_path))
    before = json.loads((folder / "config.json").read_text())
    with pytest.raises(InputError, match="holds a run with slots = 64 where"):
        imitate(_config(demos, tmp_path, slots=8))
    assert json.loads((folder / "config.json").read_text()) == before


def test_episodes_that_vary_in_length_need_to_be_allowed(tmp_path: Path) -> None:
    pytest.importorskip("mujoco")
    space = make_vec("Hopper", 1, 0)
    rng = np.random.default_rng(0)
    width, actions = (len(x.sample()) for x in (space.observation_space, space.action_space))
    short = TrajectoryWithRew(
        obs=rng.normal(size=(30, width)),
        acts=rng.uniform(-1, 1, (29, actions)).astype(np.float32),
        rews=np.ones(29),
        infos=None,
        terminal=True,
    )
    path = tmp_path / "hopper.npz"
    save(path, [short], {"env": "Hopper", "command": "a test"})
    with pytest.raises(InputError, match="add --allow-variable-horizon"):
        imitate(_config(path, tmp_path / "runs", env="Hopper"))
