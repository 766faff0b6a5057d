"""Two teachers merged, one forgotten, and where their agents go."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from agents.few_shot.comparison import Comparison
from agents.few_shot.config import FewShotConfig
from agents.few_shot.scores import paid
from agents.few_shot.teachers import Teachers, distances, taught
from envs.tasks import Family, load_family
from km_rl.errors import InputError
from km_rl.results.summary import read
from km_rl.rl.meta import MetaDiscriminator
from km_rl.rl.meta_reward_net import ObserveRollouts
from km_rl.rl.meta_training import MetaRecipe
from km_rl.rl.sources import pairs

RECIPE = MetaRecipe(6, 3, 4, 16, 24, 8)


@pytest.fixture(scope="module")
def family() -> Family:
    return load_family("pointnav", train=4, held_out=2)


def test_a_teacher_is_forgotten_and_two_are_merged(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn, paying, asked = PPO.learn, [], []

    def watched(self: PPO, steps: int, observe: ObserveRollouts, **given: Any) -> PPO:
        paying.append(observe.net.model)
        asked.append(steps)
        return learn(self, steps, observe, **given)

    monkeypatch.setattr(PPO, "learn", watched)
    model = MetaDiscriminator.fit(family.train, RECIPE, slots=6, code=3, hidden=5)
    teachers = Teachers(*(case.task.expert.take(torch.arange(9)) for case in family.held_out))
    assert taught(model, family, teachers, 4, 0, "forgotten").shape == (12, 50, 2)
    (one,) = {id(net): net for net in paying}.values()
    assert isinstance(one, MetaDiscriminator) and asked == [2048, 2048]
    for ours, theirs in zip(one.expert, _told(model, teachers), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    monkeypatch.setattr(PPO, "learn", lambda _, steps, *__, **___: asked.append(steps))
    taught(model, family, teachers, 4 * 2048 - 1, 0, "one")
    assert asked[2:] == [2048, 2 * 2048]
    with pytest.raises(InputError, match="'none' is not one of"):
        taught(model, family, teachers, 4, 0, "none")


def test_an_agent_of_teachers_starts_from_the_policy_that_any_other_starts_from(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From as many pairs of it, and with the same seed from the very same."""
    model = MetaDiscriminator(2, 2, slots=6, code=3, hidden=5)
    teachers = Teachers(*(case.task.expert.take(torch.arange(9)) for case in family.held_out))
    held: list[Any] = []
    monkeypatch.setattr(
        PPO, "learn", lambda _, steps, observe, **__: held.append(observe.net.model.policy)
    )
    taught(model, family, teachers, 4, 0, "both")
    learner, observe = paid(model, family, family.held_out[0].task, teachers.first, 0)
    learner.learn(4, observe)
    for ours, theirs in zip(held[0], held[-1], strict=True):
        assert torch.equal(ours.precision, theirs.precision)


def _told(model: MetaDiscriminator, teachers: Teachers) -> Any:
    model.clear()
    model.remember(teachers.first)
    return model.expert


def test_the_script_draws_where_agents_of_teachers_go_and_records_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = import_module("scripts.few_shot_teachers")
    places = (np.full((12, 50, 2), float(seed)) for seed in (0, 0, 0, 1, 1, 1))
    monkeypatch.setattr("agents.few_shot.teachers.taught", lambda *_: next(places))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    flags = ["--preset", "debug", "--seeds", "0", "1", "--run-dir", str(tmp_path / "runs")]
    script.main([*flags, "--record", str(tmp_path)])
    assert torch.get_num_threads() == 1
    torch.set_num_threads(threads)
    *told, table, drawn, _ = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told] == ["one", "both", "forgotten"] * 2
    assert Path(drawn).stat().st_size > 1000
    assert len(Path(table).read_text().splitlines()) == 1 + 3 * 2 * 2
    found = {row[1:3]: row for row in read(tmp_path)}
    row = found["both", "from_second"]
    assert len(found) == 6 and row.seeds == 2 and row.low is not None and row.low < row.value
    assert row.experiment == "few-shot-teachers-debug"
    place = tmp_path / "few-shot-teachers-debug"
    before = {path: path.read_bytes() for path in place.iterdir()}
    places = (np.zeros((12, 50, 2)) for _ in range(3))
    with pytest.raises(SystemExit):
        script.main(["--seeds", "0", *flags[:2], *flags[-2:], "--record", str(tmp_path)])
    error = capsys.readouterr().err
    assert "holds 2 seeds of few-shot-teachers-debug, " in error and "where 1 would take" in error
    assert {path: path.read_bytes() for path in place.iterdir()} == before


NEAR_AND_FAR = ([[4.0, 5.0], [0.0, 0.0]], [[4.0, -1.0], [9.0, 4.0]])


def test_distances_are_those_from_the_nearest_pair() -> None:
    paths = np.zeros((3, 5, 2)) + np.arange(5)[:, None]
    apart = ({"obs": torch.tensor(x), "acts": torch.zeros(2, 1)} for x in NEAR_AND_FAR)
    found = distances(paths, Teachers(*map(pairs, apart)))
    assert found == pytest.approx((1.0, 5.0))


def test_a_comparison_of_another_family_is_refused_by_its_teachers() -> None:
    comparison = Comparison(FewShotConfig("pendulum", preset="debug"))
    model = MetaDiscriminator(3, 1, slots=6, code=3, hidden=5)
    teachers = Teachers(comparison.told(0, 4), comparison.told(1, 4))
    with pytest.raises(InputError, match="The family is pendulum, whose states are no places"):
        taught(model, comparison.family, teachers, 4, 0, "one")
