"""What a memory says of pairs it has not seen, from demonstrations that were invented."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from imitation.data.types import TrajectoryWithRew

from agents.novelty import EPISODES, RANDOM, novelty
from envs.demos import save
from km_rl.errors import InputError
from km_rl.results.summary import read

script = import_module("scripts.novelty")


def _agent(path: Path, n: int, shift: float, env: str = "Pendulum-v1") -> Path:
    """Trajectories around a place of their own in Pendulum's spaces."""
    rng = np.random.default_rng(round(10 * shift))
    made = [
        TrajectoryWithRew(
            obs=(shift + 0.1 * rng.normal(size=(41, 3))).astype(np.float32),
            acts=(0.1 * rng.normal(size=(40, 1))).astype(np.float32),
            rews=np.zeros(40, dtype=np.float32),
            infos=None,
            terminal=False,
        )
        for _ in range(n)
    ]
    save(path, made, {"env": env, "command": "a test"})
    return path


def test_others_are_newer_than_the_expert_and_a_twin_is_not(tmp_path: Path) -> None:
    expert = _agent(tmp_path / "expert.npz", 2 + EPISODES, 0.0)
    others = {
        "twin": _agent(tmp_path / "twin.npz", 9, 0.01),
        "far": _agent(tmp_path / "far.npz", 9, 1.0),
    }
    found = novelty("Pendulum", expert, others, trajectories=2, every=4, seeds=(0, 1, 2))
    assert list(found) == [RANDOM, "twin", "far"]
    assert min(found["far"]) > 0.99 and min(found[RANDOM]) > 0.9
    assert 0.4 < np.mean(found["twin"]) < 0.6


def test_the_script_records_what_it_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expert = _agent(tmp_path / "expert.npz", 1 + EPISODES, 0.0)
    flags = f"--env Pendulum --demos {expert} --every 4 --seeds 0 --record {tmp_path}"
    script.main(flags.split())
    (row,) = read(tmp_path)
    assert f"{row.value:.3f}" in capsys.readouterr().out
    name = "gail-novelty-pendulum-4every"
    assert row[:3] == (name, f"1 demonstration, {RANDOM}", "auc")
    assert str(tmp_path) not in row.command.split("--record")[0]


def test_too_few_trajectories_to_hold_out_are_refused(tmp_path: Path) -> None:
    expert = _agent(tmp_path / "expert.npz", EPISODES, 0.0)
    with pytest.raises(InputError, match=f"holds {EPISODES} trajectories where 1 are remembered"):
        novelty("Pendulum", expert, {}, trajectories=1, every=4, seeds=(0,))


def test_others_of_one_name_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = f"--others {tmp_path / 'a' / 'x.npz'} {tmp_path / 'b' / 'x.npz'}"
    with pytest.raises(SystemExit):
        import_module("scripts.novelty").main(flags.split())
    assert "2 files of 1 names" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["novelty", "forgetting"])
def test_nothing_to_run_is_one_sentence(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        import_module(f"scripts.{name}").main(["--seeds"])
    told = capsys.readouterr().err
    assert stopped.value.code == 2 and "The seeds are none: give at least one" in told
    assert len(told.splitlines()) == 1


def test_the_usual_experiment_has_the_short_name() -> None:
    assert script.Args(demos=Path("a.npz"), env="HalfCheetah-v4").experiment == "gail-novelty"
    assert script.Args().experiment == "gail-novelty-shipped"


def test_demonstrations_of_another_environment_are_refused(tmp_path: Path) -> None:
    ours = _agent(tmp_path / "ours.npz", 1 + EPISODES, 0.0)
    theirs = _agent(tmp_path / "theirs.npz", 1 + EPISODES, 0.0, "CartPole-v1")
    for expert, other in ((ours, theirs), (theirs, ours)):
        with pytest.raises(InputError, match="holds demonstrations of CartPole-v1 where Pendulum"):
            novelty("Pendulum", expert, {"x": other}, trajectories=1, every=1, seeds=(0,))
