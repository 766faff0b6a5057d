"""What runs have come to, from folders that were never trained."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished_imitations import FACTS, finished

from agents import figures
from agents.record import command
from agents.report import report, text_table
from agents.runs import Curve, read_runs, returns_table, settings
from km_rl.errors import InputError
from km_rl.results.spread import mean

RETURNS = "Return against steps"
INSIDE = ["Logit margins", "Memory health", "Surprise"]


def _sections(html: str) -> list[str]:
    return re.findall("<h2>(.*?)</h2>", html)


def test_a_run_by_hand(tmp_path: Path) -> None:
    (run,) = read_runs([finished(tmp_path / "r", -200, 100, 400)])
    assert (run.method, run.steps, run.seconds) == ("kanerva", 200, 20)
    assert run.share_of_expert == (400 + 200) / (1000 + 200)
    assert run.share_of_discriminator == 0.25
    assert run.curve("return/mean") == ([0, 100, 200], [-200, 100, 400])
    table = text_table([run.folder])
    for cell in ("400.0 +- 5.0", "1,000.0 +- 20.0", "50.0%", "200 of 1,000,000", "20 s", "25.0%"):
        assert cell in table


def test_an_expert_whose_rewards_were_not_told(tmp_path: Path) -> None:
    facts = {**FACTS, "expert_return": None, "expert_return_std": None}
    (run,) = read_runs([finished(tmp_path / "r", 1, 2, facts=facts)])
    assert run.share_of_expert is None
    assert RETURNS in _sections(report([run.folder]).read_text())


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    folder = finished(tmp_path / "r", 1, 2)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 300, "ret')
    assert read_runs([folder])[0].steps == 100


def test_settings_are_told_by_what_differs(tmp_path: Path) -> None:
    folders = [
        finished(tmp_path / "a", 0, seed=1),
        finished(tmp_path / "b", 0, seed=0),
        finished(tmp_path / "c", 0, seed=0, slots=8),
        finished(tmp_path / "d", 0, discriminator="mlp", dropout=0.5),
        finished(tmp_path / "e", 0, algorithm="bc"),
    ]
    grouped = {
        label: [run.folder.name for run in group]
        for label, group in settings(read_runs(folders)).items()
    }
    assert grouped == {
        "kanerva, slots=256": ["b", "a"],
        "kanerva, slots=8": ["c"],
        "mlp": ["d"],
        "bc": ["e"],
    }


def test_a_run_of_a_version_without_a_setting_is_of_the_same_setting(tmp_path: Path) -> None:
    older, newer = (finished(tmp_path / f"{i}", 0, seed=i, discriminator="mlp") for i in (0, 1))
    held = json.loads((older / "config.json").read_text())
    del held["updates"]
    (older / "config.json").write_text(json.dumps(held))
    assert list(settings(read_runs([older, newer]))) == ["mlp"]
    one, other = (command(run) for run in read_runs([older, newer]))
    assert one == other and "updates" not in one


def test_the_table_of_returns_by_hand(tmp_path: Path) -> None:
    returns = {"mlp": [1, 2, 3, 4], "kanerva": [3, 5, 40, 4]}
    folders = [
        finished(tmp_path / f"{name}{seed}", 0, value, discriminator=name, seed=seed)
        for name, values in returns.items()
        for seed, value in enumerate(values)
    ]
    mlp, kanerva = returns_table(folders)
    assert (mlp.setting, mlp.seeds, mlp.returns, mlp.better) == (
        "mlp",
        [0, 1, 2, 3],
        [1, 2, 3, 4],
        None,
    )
    assert kanerva.spread.iqm is not None
    assert (kanerva.spread.mean.value, kanerva.spread.iqm.value) == (13, 4.5)
    assert kanerva.spread.mean == mean(kanerva.returns)
    assert kanerva.better == (16 - 1 - 0.5 - 0.5) / 16
    assert "0.88" in text_table(folders)


def test_the_page_of_a_run_needs_nothing_else(tmp_path: Path) -> None:
    folder = finished(tmp_path / "<r>", -200, 100, 400)
    path = report([folder])
    assert path == folder / "report.html"
    html = path.read_text()
    assert _sections(html) == ["Results", RETURNS, *INSIDE, "Conditions"]
    sources = re.findall(r'(?:src|href)\s*=\s*"(.{0,22})', html)
    assert sources == ["data:image/png;base64,"] * 4
    assert not re.search(r"https?:|url\(|@import|<script|<link", html)
    assert "<r>" not in html and "&lt;r&gt;" in html


@pytest.mark.parametrize(
    ("given", "inside"),
    [({"discriminator": "mlp"}, INSIDE[:1]), ({"algorithm": "bc"}, [])],
)
def test_a_page_leaves_out_what_a_method_has_not(
    given: dict[str, Any], inside: list[str], tmp_path: Path
) -> None:
    html = report([finished(tmp_path / "r", 1, 2, 3, **given)]).read_text()
    assert _sections(html) == ["Results", RETURNS, *inside, "Conditions"]
    assert "leave one out" not in html


def test_a_comparison_has_the_settings_table(tmp_path: Path) -> None:
    folders = [finished(tmp_path / str(seed), 1, seed, seed=seed) for seed in range(3)]
    path = report(folders)
    assert path == folders[0] / "comparison.html"
    html = path.read_text()
    assert _sections(html) == ["Results", "Settings", RETURNS, "Conditions"]
    for told in (html, text_table(folders)):
        assert "1.0 [-1.5, 3.5]" in told


def test_bands_from_three_runs_on_and_lines_across() -> None:
    three = [Curve([0, 10, 20], [0, value, 2 * value]) for value in (1.0, 2.0, 6.0)]
    figure = figures.returns(
        {"a": three, "b": [Curve([0, 20], [1, 1])], "c": [Curve([20], [5])]},
        {"expert": 9.0, "random policy": None},
    )
    (axes,) = figure.axes
    lines = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in axes.lines}
    assert list(lines) == ["a (n = 3)", "b", "c", "expert"]
    assert lines["a (n = 3)"] == [0, 3, 6]
    assert lines["c"] == [5, 5] and lines["expert"] == [9, 9]
    assert len(axes.collections) == 1


def test_curves_measured_at_other_steps_are_straight_between_them() -> None:
    runs = [Curve([0, 10, 20], [0, 5, 2]), Curve([0, 20, 30], [2, 4, 9])]
    (axes,) = figures.returns({"a": runs}, {}).axes
    assert np.asarray(axes.lines[0].get_xydata()).tolist() == [[0, 1], [10, 4], [20, 3]]


def test_curves_that_never_meet_are_left_out() -> None:
    runs = [Curve([0], [1]), Curve([5, 10], [1, 2]), Curve([0, 10], [0, 1])]
    assert not figures.returns({"a": runs}, {}).axes[0].lines


def test_a_run_that_has_just_begun_is_no_line_across() -> None:
    runs = [Curve([0], [-3]), Curve([0, 20], [-1, 4])]
    (axes,) = figures.returns({"a": runs}, {}).axes
    (line,) = axes.lines
    assert np.asarray(line.get_xydata()).tolist() == [[0, -2]] and line.get_marker() == "."


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        ({}, "have the same seed"),
        ({"seed": 1, "returns": ()}, "no run of an imitation"),
    ],
)
def test_runs_that_cannot_be_compared(
    second: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    first = finished(tmp_path / "a", 1, 2)
    other = finished(tmp_path / "b", *second.pop("returns", (1, 2)), **second)
    with pytest.raises(InputError, match=sentence):
        report([first, other])


def test_folders_that_are_no_runs(tmp_path: Path) -> None:
    folder = finished(tmp_path / "a", 1, 2)
    other = finished(tmp_path / "b", 1, 2)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "env": "Hopper-v4"}))
    for folders, sentence in (
        ([], "give one or more"),
        ([folder, folder], "each once"),
        ([tmp_path / "nowhere"], "nowhere.*is no run"),
        ([folder, other], "is of Hopper-v4 and"),
    ):
        with pytest.raises(InputError, match=sentence):
            report(folders)
