"""The paper's experiments on tiny runs: figures, CSVs and rows; and what each number means."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from finished_runs import finished, tiny_data, tiny_machine, tiny_rival, tiny_vae
from torch import Tensor

from km_rl.core.machine import KanervaMachine
from km_rl.errors import InputError
from km_rl.evaluate import addresses, importance, interpolation
from km_rl.evaluate import contents as contents_module
from km_rl.evaluate import report as report_module
from km_rl.evaluate.ablations import ablations, written
from km_rl.evaluate.bound import bound
from km_rl.evaluate.capacity import bound_at, cut, lengths
from km_rl.evaluate.contents import experiments, kl_dip, training
from km_rl.evaluate.denoising import CORRUPTIONS, corruptions
from km_rl.evaluate.exhibit import Exhibit, random_episodes
from km_rl.evaluate.generation import error_to_nearest, late_change
from km_rl.evaluate.interpolation import added_uncertainty, uncertainty
from km_rl.evaluate.report import report
from km_rl.evaluate.runs import Run, read_runs, variant, variants
from km_rl.evaluate.table import Score
from km_rl.results.seeds import record_runs
from km_rl.results.summary import read

TEST = tiny_data().test  # 12 images of 6 classes
FINISHED: dict[str, Any] = {
    "steps": 50,
    "seed": 0,
    "about": {"hardware": "an abacus", "commit": "abc", "command": "python scripts/x.py --seed 0"},
}
EXPERIMENTS = {"importance", "convergence", "repair", "capacity", "writes"}


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny_data()
    monkeypatch.setattr(report_module, "load", lambda dataset, data_dir, split: data)
    monkeypatch.setattr(contents_module, "IMAGES", 16)
    monkeypatch.setattr(importance, "COUNTS", (1, 2, 4))


def a_run(folder: Path, **changes: Any) -> Run:
    return read_runs([finished(folder, tiny_machine(), **changes)])[0]


def test_every_experiment_is_a_figure_a_table_and_rows(tmp_path: Path) -> None:
    models = {"km": tiny_machine(), "dnc": tiny_rival("dnc"), "vae": tiny_vae()}
    folders = [
        finished(tmp_path / f"strokes-{kind}-0", model, **FINISHED)
        for kind, model in models.items()
    ]
    page = report(folders, passes=1, limit=8, thorough=True)
    figures = folders[0] / "figures"
    drawn = {path.stem for path in figures.glob("*.png")}
    told = {path.stem for path in figures.glob("*.csv")}
    assert drawn >= told == EXPERIMENTS | {"training", "interpolation", "addresses"}
    assert page.read_text().count("<img") == len(drawn)
    record_runs(folders, tmp_path / "results")
    kept = {path.name for path in (tmp_path / "results" / "strokes").iterdir()}
    assert kept >= {f"{name}.{kind}" for name in EXPERIMENTS for kind in ("csv", "png")}
    rows = {row[:3]: row for row in read(tmp_path / "results")}
    for names in (
        ("importance", "km", "bound_iw4_sampled_memory_nats"),
        ("importance", "km", "bound_iw1_with_kl_memory_nats"),
        ("importance", "dnc", "bound_iw4_nats"),
        ("convergence", "km, 2 classes", "late_change"),
        ("repair", "vae, 30% noise", "error@12"),
        ("repair", "km, blank block", "error@0"),
        ("capacity", "dnc, all classes", "bound_nats@8"),
        ("interpolation", "km, pixels", "added_uncertainty_nats"),
        ("addresses", "dnc", "effective_slots"),
        ("writes", "km, 8 writes", "bound_nats"),
        ("training", "vae", "kl_dip_percent"),
    ):
        exhibit, setting, metric = names
        row = rows[f"strokes-{exhibit}", setting, metric]
        kind = setting.split(",")[0]
        assert row.command.endswith(
            f"&& python scripts/evaluate.py runs/strokes-{kind}-0 --passes 1 --limit 8"
        )
    lines = list(csv.DictReader((tmp_path / "results/strokes/capacity.csv").open()))
    assert {line["setting"] for line in lines} == set(models)
    assert {line["x"] for line in lines} == {"", "1", "2", "4", "8"}


def test_machines_that_lack_a_part_are_ablations(tmp_path: Path) -> None:
    options: dict[str, Any] = {"filters": 2, "slots": 4, "code": 3, "key": 3}
    diagonal = KanervaMachine.build(**options, diagonal_covariance=True)
    folders = [
        finished(tmp_path / "km", tiny_machine(), slots=4, **FINISHED),
        finished(tmp_path / "d", diagonal, slots=4, diagonal_covariance=True, **FINISHED),
    ]
    page = report(folders, passes=1, thorough=True)
    place = tmp_path / "km" / "ablations"
    assert page == place / "report.html"  # and what lies beside it of rivals stays
    numbers = json.loads((place / "evaluate.json").read_text())["models"]
    assert page.read_text().count("<img") == 2
    [name, _, _, nats] = numbers[1]["experiments"]["ablations"][0]
    assert name == "diagonal_covariance=True" and nats == numbers[1]["bound_nats"]
    report(folders[:1], passes=1)
    with pytest.raises(InputError, match="diagonal_covariance=False"):
        record_runs(folders, tmp_path / "results")
    record_runs(folders, tmp_path / "results", "strokes-ablations", ablations=True)
    rows = read(tmp_path / "results")
    assert {row.setting for row in rows} == {"km", "km, diagonal_covariance=True"}
    places = {row.command.partition("--run-dir ")[2].split()[0] for row in rows}
    own = "runs/strokes-ablations/km-diagonal_covariance-True"
    assert places == {"runs/strokes-ablations", own}  # each command makes runs of its own
    place = tmp_path / "results" / "strokes-ablations"
    kept = {p.name for p in place.iterdir()}
    assert kept >= {"km.csv", "km-diagonal_covariance-True.csv", "ablations.csv", "ablations.png"}
    assert "samples.png" not in kept
    before = (place / "ablations.png").read_bytes()
    second = FINISHED | {"slots": 4, "diagonal_covariance": True, "seed": 1}
    again = finished(tmp_path / "d1", diagonal, **second)
    report([again], passes=1)
    record_runs([again], tmp_path / "results", "strokes-ablations", ablations=True)
    assert (place / "ablations.png").read_bytes() != before  # a dot more


def test_every_run_of_a_variant_is_a_dot(tmp_path: Path) -> None:
    parts = ({"seed": 0}, {"seed": 0, "slots": 8}, {"seed": 1})
    runs = [a_run(tmp_path / str(n), **part) for n, part in enumerate(parts)]
    scores = [Score("", "km", {"bound_nats": nats}, None, 1, None) for nats in (60.0, 70.0, 64.0)]
    shown = ablations(runs, scores)
    [axes] = shown.figure.axes
    dots = [np.column_stack(x.get_data()).tolist() for x in axes.lines if x.get_marker() == "o"]
    assert dots == [[[60, 0], [64, 0]], [[70, 1]]]
    assert [text.get_text() for text in axes.texts] == ["62.0", "70.0"]
    assert [(p.series, p.x, p.value) for p in shown.points] == [
        ("", 0, 60),
        ("slots=8", 1, 70),
        ("", 0, 64),
    ]


def test_ablations_are_of_one_model(tmp_path: Path) -> None:
    rates = {"a": 2e-3, "b": 4e-3}
    folders = [
        finished(tmp_path / name, tiny_vae(), learning_rate=rate, **FINISHED)
        for name, rate in rates.items()
    ]
    for folder in folders:
        report([folder], passes=1)
    record_runs(folders, tmp_path / "results", "strokes-learning-rate", ablations=True)
    settings = {row.setting for row in read(tmp_path / "results")}
    assert settings == {"vae", "vae, learning_rate=0.004"}
    machine = finished(tmp_path / "km", tiny_machine(), **FINISHED)
    with pytest.raises(InputError, match=r"a run of km and .* of vae where ablations are of one"):
        record_runs([*folders, machine], tmp_path / "results", ablations=True)


def test_seeds_are_no_variants_and_old_runs_are_as_they_were(tmp_path: Path) -> None:
    old, new = a_run(tmp_path / "a"), a_run(tmp_path / "b", learn_prior_mean=True, seed=1)
    assert not variants([old, new]) and variant(old.config, new.config) == ""
    other = a_run(tmp_path / "c", learn_prior_mean=False)
    assert variants([old, other]) and variant(old.config, other.config) == "learn_prior_mean=False"


def test_seeds_that_are_older_than_a_setting_are_recorded_with_newer_ones(tmp_path: Path) -> None:
    folders = [
        finished(tmp_path / f"km-{seed}", tiny_machine(), **{**FINISHED, "seed": seed, **given})
        for seed, given in ((0, {}), (1, {"pixel_std": False}), (2, {"pixel_std": True}))
    ]
    for folder in folders:
        report([folder], passes=1, limit=8)
    record_runs(folders[:2], tmp_path / "results", "older")
    with pytest.raises(InputError, match="pixel_std=True"):
        record_runs(folders, tmp_path / "results", "older")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("strokes-dnc-3", "train_generative.py --preset strokes --model dnc --seed 3"),
        ("paper-omniglot-km-0", "train_generative.py --preset paper-omniglot --model km --seed 0"),
        ("mine", "train_generative.py --name mine"),
        ("strokes-km-diagonal-0", "paper.py --dataset strokes"),
        ("omniglot-2classes-full-bound-km-0", "paper.py --dataset omniglot --data-dir DIR"),
    ],
)
def test_a_missing_run_names_what_makes_it(tmp_path: Path, name: str, command: str) -> None:
    with pytest.raises(InputError, match="is not a run folder") as refused:
        report([tmp_path / name])
    assert f"`python scripts/{command} --run-dir {tmp_path}`" in str(refused.value)


def test_episodes_for_an_experiment_are_of_the_length_asked_for(tmp_path: Path) -> None:
    run = a_run(tmp_path / "a")
    shapes = [tuple(x.shape[:2]) for x in random_episodes(run, TEST, 40, seed=0, at_once=12)]
    assert shapes == [(3, 4)] * 3 + [(1, 4)]
    (long,) = random_episodes(run, TEST, 5, seed=0, length=12, classes=2)
    assert long.shape[:2] == (1, 12)


def test_capacity_at_the_trained_length_is_the_bound(tmp_path: Path) -> None:
    run = a_run(tmp_path / "a")
    usual = bound(run.model, TEST, episode_length=4, passes=4)["bound_nats"]
    assert bound_at(run, TEST, 4, 8, None, 0, 96) == pytest.approx(usual, rel=0.05)
    assert lengths(32, 8000) == [4, 8, 16, 32, 64, 128, 256]
    assert lengths(4, 12) == [1, 2, 4, 8] and lengths(1, 100) == [1, 2, 4, 8]


def test_capacity_without_a_memory_is_flat(tmp_path: Path) -> None:
    """The images of every length are the same, so that a curve bends by its memory alone."""
    [run] = read_runs([finished(tmp_path / "v", tiny_vae())])
    for classes in (2, None):
        curve = [bound_at(run, TEST, T, 8, classes, 0, 16) for T in (1, 2, 4, 8)]
        assert curve == pytest.approx([curve[0]] * 4, rel=1e-5)
        assert bound_at(run, TEST, 8, 8, classes, 1, 16) != pytest.approx(curve[0], rel=1e-5)
    sequences = torch.arange(14).view(2, 7)
    assert cut(sequences, 3).tolist() == [[0, 1, 2], [3, 4, 5], [7, 8, 9], [10, 11, 12]]


def test_what_is_drawn_follows_the_seed_of_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run's, for all runs of a report; the table is of all test images."""
    drawn: list[int] = []

    def nothing(runs: Any, *given: Any) -> list[Exhibit]:
        drawn.append(next(one for one in given if isinstance(one, int)))
        return []

    monkeypatch.setattr(report_module, "exhibits", nothing)
    monkeypatch.setattr(report_module, "experiments", nothing)
    model, numbers = tiny_vae(), []
    for seed, given in ((0, 0), (1, 0), (1, 5)):
        folder = finished(tmp_path / f"v-{seed}-{given}", model, seed=seed)
        report([folder], passes=1, seed=given, thorough=True)
        held = json.loads((folder / "evaluate.json").read_text())
        assert held["conditions"]["figures and experiments"] == f"seed {seed + given}"
        numbers.append(held["models"][0]["bound_nats"])
    assert drawn == [0, 0, 1, 1, 6, 6] and numbers[0] == numbers[1] != numbers[2]


def test_a_bar_names_the_experiment_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    names = ("importance", "convergence", "repair", "capacity", "rewriting")
    for name in names:
        monkeypatch.setattr(contents_module, name, lambda *_: None)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert len(experiments([a_run(tmp_path / "a")], [], tiny_data(), 0, 8)) == len(names)
    assert all(f"{name}: " in terminal.getvalue() for name in EXPERIMENTS)


def test_one_writing_is_the_bound(tmp_path: Path) -> None:
    run = a_run(tmp_path / "a")
    machine = run.machine
    assert machine is not None
    once, often = (written(run, machine, TEST, 0, 48, writes) for writes in (1, 8))
    usual = bound(machine, TEST, episode_length=4, passes=4, sample_memory=True)
    full = "bound_with_kl_memory_nats"
    assert once[full] == pytest.approx(usual[full], rel=0.1)
    assert often["kl_memory_nats"] > once["kl_memory_nats"]


@pytest.mark.parametrize(
    ("changes", "share"),
    [([8.0, 4, 2, 1, 4, 0.5, 0.1], 0.0625), ([1.0] * 11, 1), ([0.0] * 11, 0)],
)
def test_samples_are_settled_if_nothing_moves_later(changes: list[float], share: float) -> None:
    """The first change is from step 1 to 2, so that the sixth is the first after step 6."""
    assert late_change(changes) == share


def test_the_nearest_written_image() -> None:
    written = torch.zeros(1, 2, 1, 2, 2)
    written[0, 1] = 1
    pictures = torch.stack([torch.full((1, 2, 2), 0.25), torch.ones(1, 2, 2)])[None]
    assert error_to_nearest(pictures, written) == pytest.approx((4 * 0.0625 + 0) / 2)


def test_doubt_is_the_entropy_of_ink() -> None:
    pictures = torch.tensor([0.0, 1.0, 0.5, 0.5]).view(1, 1, 2, 2)
    assert uncertainty(pictures).item() == pytest.approx(2 * 0.693147, rel=1e-5)
    walk = torch.lerp(pictures, 1 - pictures, torch.tensor([0, 0.5, 1]).view(3, 1, 1, 1))[None]
    assert added_uncertainty(walk).item() == pytest.approx(2 * 0.693147, rel=1e-5)


def test_queries_are_spoilt_as_named() -> None:
    clean = torch.zeros(4, 8, 1, 28, 28)
    spoilt = corruptions(clean + 1, 0)
    assert tuple(spoilt) == CORRUPTIONS
    zero: dict[str, Tensor] = {name: (x == 0).float().mean() for name, x in spoilt.items()}
    assert zero["30% noise"].item() == pytest.approx(0.15, abs=0.01)
    assert zero["blank block"].item() == pytest.approx(144 / 784)


def test_the_dip_of_kl(tmp_path: Path) -> None:
    run = a_run(tmp_path / "a")

    def dip(*kl: float) -> float | None:
        terms = [{"test/kl_y_nats": x, "test/kl_z_nats": 1.0} for x in kl]
        metrics = [{"step": 10.0 * i, **both} for i, both in enumerate(terms)]
        return kl_dip(run._replace(metrics=metrics, config={"address_kl_warmup_steps": 10}))

    assert dip(99, 9, 3, 5) == pytest.approx(60)  # what was before both count in full is no peak
    assert dip(1, 2, 3) == 0 and dip(0, -1, -1) is None and dip(5, 5) is None
    assert dip(9, *[9] * 4, 7, 4, *[9] * 2) == pytest.approx(50)  # within two of eight steps
    assert dip(9, *range(99, 79, -1)) == pytest.approx(100 * 5 / 86)  # slowly: five of twenty


def test_a_full_bound_that_bounds_nothing_has_no_curve_of_batches(tmp_path: Path) -> None:
    """M was read at its mean, or it has no KL; test lines are drawn of what was logged."""
    counted = {"memory_kl_weight": 1.0, "sample_memory": True}
    models = {"km": tiny_machine(), "mean": tiny_machine(), "dnc": tiny_rival("dnc")}
    models["vae"] = tiny_vae()
    folders = {
        name: finished(tmp_path / name, model, **(counted if name == "km" else {}))
        for name, model in models.items()
    }
    for folder in folders.values():
        lines = [{"step": n, "images": n, "train/full_bound": 90.0 - n} for n in (8, 16)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    runs = {name: read_runs([folder])[0] for name, folder in folders.items()}
    assert {name for name, run in runs.items() if run.draws_memory} == {"km", "vae"}
    named = [run._replace(label=name) for name, run in runs.items()]
    shown, *_ = training(named).figure.axes
    assert shown.get_title(loc="left") == "bound with KL(M)/T"
    drawn = [line for line in shown.lines if len(line.get_xdata())]  # type: ignore[arg-type]
    assert len(drawn) == 2


def test_the_largest_step_of_a_walk_is_told_as_a_share_of_all() -> None:
    run: Any = SimpleNamespace(label="km", conditions=SimpleNamespace(binarisation="dequantised"))
    walk = torch.tensor([0.0, 1.0, 2.0, 4.0]).view(1, 4, 1, 1, 1)
    found = {(p.metric, p.x): p.value for p in interpolation._points(run, {"w": walk})}
    assert found["largest_step_share", None] == pytest.approx(0.5)
    assert [found["step_length", x] for x in (1, 2, 3)] == [1, 1, 2]


def test_slots_of_all_images_are_those_of_all_episodes() -> None:
    w = torch.eye(4)[:2, None]  # two episodes of an image each, which use a slot of their own
    points = addresses._points({"km": w}, {"km": addresses.effective_slots(w)})
    found = {p.metric: p.value for p in points if p.x is None}
    assert found == pytest.approx(
        {"effective_slots": 1, "effective_slots_of_all": 2, "slots": 4}, abs=1e-5
    )
