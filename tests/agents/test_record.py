"""Imitation runs as results, from folders that were never trained."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from finished_imitations import FACTS, finished

from agents.record import command, record
from agents.runs import Imitation, read_runs
from km_rl.errors import InputError
from km_rl.results import summary
from km_rl.results.summary import read

MADE = {**FACTS, "commit": "a" * 40, "hardware": "a core"}


def _runs(folder: Path, ends: list[float], seed: int = 0, **given: Any) -> list[Imitation]:
    """Runs of 200 steps, with these last returns."""
    facts = given.pop("facts", MADE)
    return read_runs(
        [
            finished(folder / f"{i}", -100, 0, end, seed=i, steps=200, facts=facts, **given)
            for i, end in enumerate(ends, start=seed)
        ]
    )


def _summary(results: Path, setting: str) -> dict[str, Any]:
    return {row.metric: row for row in read(results) if row.setting == setting}


def test_curves_figure_and_summary_say_what_the_runs_came_to(tmp_path: Path) -> None:
    runs = {
        "kanerva": _runs(tmp_path / "km", [400, 500, 600, 700]),
        "mlp": _runs(tmp_path / "mlp", [100, 550, 0, 200], discriminator="mlp"),
    }
    written = record(runs, "gail-pendulum-1demo", tmp_path / "results")
    place = tmp_path / "results" / "gail-pendulum-1demo"
    assert written == [
        *(place / name for name in ("kanerva.csv", "mlp.csv", "returns.png")),
        tmp_path / "results" / "summary.csv",
    ]
    assert (place / "returns.png").read_bytes().startswith(b"\x89PNG")
    with (place / "mlp.csv").open() as file:
        lines = [line for line in csv.DictReader(file) if line["seed"] == "1"]
    assert [(x["step"], x["metric"], x["value"]) for x in lines] == [
        ("0", "return", "-100"),
        ("100", "return", "0"),
        ("200", "return", "550"),
        ("200", "rollout_return", "1400"),
        ("200", "training_seconds", "20"),
    ]
    told = _summary(tmp_path / "results", "kanerva")
    assert told["return"].value == 550 and told["return_iqm"].value == 550
    assert told["return"].low < 550 < told["return"].high
    assert told["rollout_return"].value == 1400
    assert told["share_of_expert"].value == pytest.approx((550 + 200) / (1000 + 200))
    assert told["return"].seeds == 4 and told["return"].hardware == "a core"
    better = _summary(tmp_path / "results", "mlp")["probability_kanerva_better"]
    assert better.value == pytest.approx(14 / 16)
    where = f"--run-dir runs/{better.experiment}/mlp"
    assert better.command.endswith(f"--discriminator mlp {where} --seed 0..3")


@pytest.mark.parametrize(("late", "mean"), [(0.9, 550), (0.5, 275)])
def test_the_late_return_is_of_all_that_was_measured_late(
    late: float, mean: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half way there was 0."""
    monkeypatch.setattr("agents.runs.LATE", late)
    record({"kanerva": _runs(tmp_path / "km", [400, 700])}, "gail-x-1demo", tmp_path / "results")
    assert _summary(tmp_path / "results", "kanerva")["late_return"].value == mean


def test_seeds_of_an_earlier_sitting_stay(tmp_path: Path) -> None:
    results, name = tmp_path / "results", "gail-pendulum-1demo"
    record({"kanerva": _runs(tmp_path / "a", [10, 20, 30])}, name, results)
    later = {**MADE, "commit": "b" * 40}
    record({"kanerva": _runs(tmp_path / "b", [60, 80], 2, facts=later)}, name, results)
    told = _summary(results, "kanerva")["return"]
    assert told.value == (10 + 20 + 60 + 80) / 4 and told.seeds == 4
    assert told.command.endswith("--seed 0..3") and told.commit == "a" * 40 + "+" + "b" * 40
    record({"mlp": _runs(tmp_path / "c", [0, 0, 0], discriminator="mlp")}, name, results)
    assert _summary(results, "kanerva")["return"].commit == told.commit
    assert _summary(results, "mlp")["probability_kanerva_better"].value == 1


def test_a_command_that_did_not_say_where_its_runs_lie_goes_on_as_one_that_does(
    tmp_path: Path,
) -> None:
    results, name = tmp_path / "results", "gail-pendulum-1demo"
    record({"kanerva": _runs(tmp_path / "a", [10, 20])}, name, results)
    rows = read(results)
    where = f" --run-dir runs/{name}/kanerva"
    summary.record((row._replace(command=row.command.replace(where, "")) for row in rows), results)
    record({"kanerva": _runs(tmp_path / "b", [60], 2)}, name, results)
    told = _summary(results, "kanerva")["return"].command
    assert told == rows[0].command.replace("--seed 0..1", "--seed 0..2") and where in told


def test_runs_of_other_settings_are_not_mixed_with_those_recorded(tmp_path: Path) -> None:
    results, name = tmp_path / "results", "gail-pendulum-1demo"
    record({"kanerva": _runs(tmp_path / "a", [10, 20])}, name, results)
    with pytest.raises(InputError, match="differ in their seeds alone"):
        record({"kanerva": _runs(tmp_path / "b", [60], 2, every=5)}, name, results)
    mixed = [*_runs(tmp_path / "c", [1]), *_runs(tmp_path / "d", [2], 1, slots=8)]
    with pytest.raises(InputError, match="--slots 8"):
        record({"other": mixed}, name, results)


def test_the_command_has_what_differs_from_the_defaults_and_no_path(tmp_path: Path) -> None:
    (run,) = _runs(tmp_path / "a", [1], demos=Path("/somewhere/demos.npz"), history=False)
    assert command(run) == (
        "python scripts/gail.py --env Pendulum-v1 --demos demos.npz --steps 200 --no-history"
    )
    (other,) = _runs(tmp_path / "b", [1], discriminator="knn", slots=8)
    assert command(other) == (
        "python scripts/gail.py --env Pendulum-v1 --steps 200 --discriminator knn"
    )


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    (short,) = read_runs([finished(tmp_path / "short", 0, 1, steps=1000, facts=MADE)])
    with pytest.raises(InputError, match="stands at step 100 of 1000"):
        record({"kanerva": [short]}, "gail-pendulum-1demo", tmp_path)
    (loose,) = _runs(tmp_path / "loose", [1], facts=FACTS)
    with pytest.raises(InputError, match="does not say its commit"):
        record({"kanerva": [loose]}, "gail-pendulum-1demo", tmp_path)
    assert not (tmp_path / "summary.csv").exists()


def test_a_damaged_file_is_not_added_to(tmp_path: Path) -> None:
    place = tmp_path / "gail-pendulum-1demo"
    place.mkdir()
    (place / "kanerva.csv").write_text("step,metric\n1,return\n")
    with pytest.raises(InputError, match=r"cannot be read .* restore it from git"):
        record({"kanerva": _runs(tmp_path / "a", [1])}, place.name, tmp_path)
    assert json.loads((tmp_path / "a" / "0" / "config.json").read_text())["steps"] == 200


def test_runs_of_different_recipes_are_not_recorded_as_one(tmp_path: Path) -> None:
    runs = read_runs(
        [
            finished(tmp_path / str(seed), 1, 2, seed=seed, facts={**FACTS, "recipe": {"x": seed}})
            for seed in range(2)
        ]
    )
    with pytest.raises(InputError, match=r"made by the recipes .*give runs of one"):
        record({"kanerva": runs}, "gail-x-1demo", tmp_path / "results")


def test_a_width_of_codes_is_a_setting_where_codes_are_learned(tmp_path: Path) -> None:
    learned: dict[str, Any] = {"features": "learned", "head": "ratio", "channels": "both"}
    (one,) = _runs(tmp_path / "a", [1.0], **learned, code=4)
    (other,) = _runs(tmp_path / "b", [1.0], seed=1, **learned, code=32)
    assert one.given["code"] == 4 and "--code 4" in command(one)
    with pytest.raises(InputError, match="code"):
        record({"mixed": [one, other]}, "x", tmp_path / "results")


def test_an_experiment_has_one_expert_in_one_environment(tmp_path: Path) -> None:
    results, name = tmp_path / "results", "gail-pendulum-1demo"
    record({"kanerva": _runs(tmp_path / "a", [10], demos=Path("a.npz"))}, name, results)
    share = _summary(results, "kanerva")["share_of_expert"].value
    others: list[dict[str, Any]] = [{"demos": Path("b.npz")}, {"demos": Path("a.npz"), "every": 5}]
    for i, other in enumerate(others):
        knn = _runs(tmp_path / f"b{i}", [1], discriminator="knn", **other)
        with pytest.raises(InputError, match=r"--demos a.npz.*give runs of one expert"):
            record({"knn": knn}, name, results)
    apart = [
        _runs(tmp_path / f"{x}", [1], i, facts={**MADE, "data": x}, demos=Path("a.npz"))
        for i, x in enumerate("cd")
    ]
    with pytest.raises(InputError, match="learned from different pairs"):
        record({"kanerva": [run for runs in apart for run in runs]}, name, results)
    facts = {**MADE, "expert_return": 5000.0}
    knn = _runs(tmp_path / "e", [1], facts=facts, discriminator="knn", demos=Path("a.npz"))
    record({"knn": knn}, name, results)
    assert _summary(results, "kanerva")["share_of_expert"].value == share
    assert _summary(results, "knn")["share_of_expert"].value == pytest.approx(201 / 5200, abs=1e-6)


def test_curves_without_a_line_in_the_summary_are_told_of(tmp_path: Path) -> None:
    results, name = tmp_path / "results", "gail-pendulum-1demo"
    record({"kanerva": _runs(tmp_path / "a", [10])}, name, results)
    (results / "summary.csv").unlink()
    knn = _runs(tmp_path / "b", [1], discriminator="knn")
    with pytest.raises(InputError, match=r"kanerva.csv' has no line .*or delete it"):
        record({"knn": knn}, name, results)
    assert not (results / name / "knn.csv").exists()
