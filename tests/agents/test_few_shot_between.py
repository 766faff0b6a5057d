"""What is paid between two experts."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from unittest.mock import MagicMock, call

import numpy as np
import pytest
import torch
from commands import run_here
from torch.nn.functional import softplus

from agents.few_shot.between import (
    BetweenConfig,
    Paid,
    figure,
    measure,
    record,
    rewards,
)
from agents.few_shot.config import FewShotConfig
from envs.cheetah import SPEED
from envs.tasks import Family, HeldOut
from km_rl.results.summary import read
from km_rl.rl.episodes import Pairs
from km_rl.rl.meta_training import MetaRecipe
from km_rl.rl.sources import pairs
from km_rl.rl.tasks import Task

RECIPE = MetaRecipe(4, 3, 4, 16, 24, 8)
SPEEDS = (0.0, 1.0, 2.0, 3.0, 0.9, 1.1, 2.5)
"""Of four experts to learn from and three that are held out."""


def _runs(speed: float, std: float, n: int = 1100) -> Pairs:
    obs, acts = torch.randn(n, 17), torch.rand(n, 6) * 2 - 1
    obs[:, SPEED] = speed + std * torch.randn(n)
    found = pairs({"obs": obs, "acts": acts})
    return found._replace(trajectory=torch.arange(n) % 2)


@pytest.fixture(autouse=True)
def family(monkeypatch: pytest.MonkeyPatch) -> Family:
    tasks = [
        Task(f"at {v}", _runs(v, 0.05), {"random": _runs(0.0, 0.3), "noisy": _runs(v, 0.5)})
        for v in SPEEDS
    ]
    held_out = [HeldOut(task, None, act=lambda obs: obs[:, :6]) for task in tasks[4:]]
    made = Family("halfcheetah-velocity", "HalfCheetah", tasks[:4], held_out)
    monkeypatch.setattr("agents.few_shot.comparison.load_family", lambda *_, **__: made)
    short = partial(FewShotConfig, meta=RECIPE)
    monkeypatch.setattr("agents.few_shot.between.FewShotConfig", short)
    return made


def test_each_is_told_of_one_and_asked_about_all(tmp_path: Path) -> None:
    config = BetweenConfig(settings=("kanerva",), tasks=2, seeds=(0,), run_dir=tmp_path)
    found = measure(config, lambda _: None)
    assert len(found) == 2 * len(SPEEDS)
    assert [p.asked for p in found[:7]] == pytest.approx(SPEEDS, abs=0.02)
    assert [p.told for p in found] == pytest.approx([0.9] * 7 + [1.1] * 7, abs=0.02)
    assert [p.asked == p.told for p in found] == [i in (4, 7 + 5) for i in range(14)]


def test_the_expert_is_asked_about_by_further_pairs(family: Family) -> None:
    expert, other = family.held_out[0].task, family.train[3]
    told, further = expert.expert.take(torch.arange(5)), torch.full((4, 23), 7.0)
    model = MagicMock(side_effect=lambda rows: rows[:, SPEED])
    found = list(rewards(model, expert, told, further, [other, expert]))
    model.remember.assert_called_once_with(told)
    assert model.observe.call_args_list == [call(expert.policies["random"])] * 4
    assert [task for task, _ in found] == [other, expert]
    paid = [float(softplus(x).mean()) for x in (other.expert.state[:, SPEED], torch.tensor(7.0))]
    assert [reward for _, reward in found] == pytest.approx(paid)


def test_rewards_are_put_together_by_how_far_off_they_are(tmp_path: Path) -> None:
    at = {1.0: 4.0, 1.05: 3.0, 1.2: 2.0, 0.8: 1.0, 0.9: 2.0, 0.76: 0.0, 1.75: 0.5, 2.5: 9.0}
    found = [
        Paid("kanerva", 1.0, asked, reward * (1 + seed), seed, "c")
        for seed in (0, 1)
        for asked, reward in at.items()
    ]
    record(found, "few-shot-between", "python scripts/few_shot_between.py", tmp_path)
    told = {row.metric: row for row in read(tmp_path)}
    values = {metric: row.value for metric, row in told.items()}
    shares = {"share@0.1": 0.625, "share@0.25": 0.25, "share@0.75": 0.125}
    assert values == pytest.approx({"reward_own": 6.0, **shares})
    assert {row.seeds for row in told.values()} == {2}
    lines = (tmp_path / "few-shot-between" / "rewards.csv").read_text().splitlines()
    assert lines[:2] == ["setting,told,asked,reward,seed", "kanerva,1,1,4,0"] and len(lines) == 17


def test_a_panel_for_each_setting_shows_every_other_expert() -> None:
    found = [
        Paid(setting, told, asked, told * asked, seed, "")
        for seed in (3, 4)
        for setting in ("kanerva", "kanerva-mixup")
        for told in (0.5, 1.0, 1.5)
        for asked in (2.0, 0.5)
    ]
    left, right = figure(found).axes
    assert [axes.get_title("left") for axes in (left, right)] == ["kanerva", "kanerva-mixup"]
    lines = [np.asarray(line.get_xydata()) for line in left.lines]
    np.testing.assert_array_equal(lines[0], [(0.5, 0.25), (2.0, 1.0)])
    np.testing.assert_array_equal(lines[2], [(0.5, 0.75), (2.0, 3.0)])
    assert len(lines) == 4 and lines[3][0, 0] == 1.5


def test_the_script_draws_what_it_tells(tmp_path: Path) -> None:
    told = run_here(
        "few_shot_between.py", "--seeds", 0, "--tasks", 1, "--run-dir", tmp_path
    ).splitlines()
    assert [line.split()[0] for line in told[:2]] == ["kanerva", "kanerva-mixup"]
    assert "reward_own" in told[0] and "share@0.25" in told[0]
    assert all(Path(path).stat().st_size for path in told[2:]) and len(told) == 4
