"""Images whose pixels have a density: bits per dimension from the bound to the README."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
import torch
from finished_runs import finished

from km_rl.baselines.dnc import DNC
from km_rl.baselines.vae import VAE
from km_rl.core.machine import KanervaMachine
from km_rl.data import Images, Splits
from km_rl.errors import InputError
from km_rl.evaluate import report as module
from km_rl.evaluate.bound import bound, in_bits
from km_rl.evaluate.contents import training
from km_rl.evaluate.report import report
from km_rl.evaluate.runs import Model, read_runs
from km_rl.evaluate.table import BIT_KEYS, BITS, PRICED, score, text_table
from km_rl.results.readme import with_tables
from km_rl.results.seeds import record_runs
from km_rl.results.summary import Row, read

SHAPE = (3, 8, 8)
D = 3 * 8 * 8
CONFIG = {
    "dataset": "cifar10",
    "preset": "paper-cifar10",
    "binarisation": "dequantised",
    "steps": 50,
    "seed": 0,
    "about": {"hardware": "an abacus", "commit": "abc", "command": "python scripts/x.py"},
}


def colours(total: int) -> Images:
    pixels = torch.randint(0, 256, (total, *SHAPE), dtype=torch.uint8)
    return Images(pixels, torch.arange(total) % 5)


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> Images:
    """Ten images, of which eight fill episodes."""
    data = Splits(colours(20), colours(10))
    monkeypatch.setattr(module, "load", lambda dataset, data_dir, split: data)
    return data.test


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """A machine and a VAE that were trained, as their metrics say, on densities."""
    machine = KanervaMachine.build(SHAPE, 2, "gaussian", slots=4, code=3, key=3)
    vae = VAE.build(SHAPE, 2, "gaussian", code=3)
    return [dense(tmp_path / "k", machine), dense(tmp_path / "v", vae)]


@pytest.fixture
def dnc(tmp_path: Path) -> Path:
    """A rival whose memory has no KL."""
    model = DNC.build(SHAPE, 2, "gaussian", slots=4, code=3, key=3, heads=2)
    return dense(tmp_path / "d", model)


def dense(folder: Path, model: Model) -> Path:
    """A finished run with its bound in bits per dimension among the metrics."""
    metrics = finished(folder, model, **CONFIG) / "metrics.jsonl"
    bits = {"train/bits_per_dim": 7.5, "test/bits_per_dim": 7.25}
    lines = [json.loads(line) | bits for line in metrics.read_text().splitlines()]
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def by_hand(nats: float) -> float:
    return nats / (D * math.log(2)) + 8


def test_bounds_in_bits_and_nothing_else() -> None:
    nats = {"bound_nats": -D * math.log(2), "kl_y_nats": 1.0, "bound_with_kl_memory_nats": 0.0}
    expected = {"bits_per_dim": 7.0, "bits_per_dim_with_kl_memory": 8.0}
    assert in_bits(nats, D) == pytest.approx(expected)
    assert in_bits(nats, None) == {}


def test_only_a_density_is_scored_in_bits(folders: list[Path], images: Images) -> None:
    model = VAE.from_run(folders[1])
    found = bound(model, images, episode_length=4, binarisation="dequantised")
    assert found["bits_per_dim"] == pytest.approx(by_hand(found["bound_nats"]))
    assert "bits_per_dim" not in bound(model, images, episode_length=4, binarisation="dynamic")


def test_a_score_and_its_table(folders: list[Path], images: Images) -> None:
    km, vae = (score(run, images) for run in read_runs(folders))
    assert km.bits.keys() == set(BIT_KEYS) and km.test_images == 8
    assert all(key.endswith("_nats") for key in km.nats)
    key = "_with_kl_memory"
    expected = by_hand(km.nats[f"bound{key}_nats"])
    assert km.bits[f"bits_per_dim{key}"] == pytest.approx(expected)
    assert vae.bits["bits_per_dim_sampled_memory"] == vae.bits["bits_per_dim"]
    _, head, line, *_, gap, _ = text_table([km, vae]).splitlines()
    assert head.split("  ")[-1] == "KL(M)/T" and all(title in head for title in BITS)
    assert line.split()[1] == f"{km.bits['bits_per_dim']:.3f}"
    apart = abs(km.bits["bits_per_dim"] - vae.bits["bits_per_dim"])
    assert gap.endswith(f"the VAE per image, {apart:.3f} bits per dimension.")


def test_a_memory_without_a_kl_is_scored_in_bits_too(
    folders: list[Path], dnc: Path, images: Images
) -> None:
    scores = [score(run, images) for run in read_runs([*folders, dnc])]
    km, rival, _ = scores
    assert rival.bits == {"bits_per_dim": pytest.approx(by_hand(rival.nats["bound_nats"]))}
    assert not rival.nats.keys() & set(PRICED)
    _, _, _, line, _, gap, *_ = text_table(scores).splitlines()
    assert line.split()[:4] == ["DNC", f"{rival.bits['bits_per_dim']:.3f}", "-", "-"]
    assert line.split()[-1] == "-" and line.count("-") == 3 + (rival.nats["bound_nats"] < 0)
    apart = abs(km.bits["bits_per_dim"] - rival.bits["bits_per_dim"])
    assert gap.endswith(f"the DNC per image, {apart:.3f} bits per dimension.")


def test_the_report_of_a_rival_keeps_the_colours_of_photos(
    folders: list[Path], dnc: Path, images: Images
) -> None:
    html = report([dnc, folders[1]], passes=1).read_text()
    assert "DNC and VAE on CIFAR-10" in html and "uniform one costs 8" in html
    assert html.count('<img class="photo"') == 3 and html.count("<img alt") == 2
    entry, _ = json.loads((dnc / "evaluate.json").read_text())["models"]
    assert {key for key in entry if key.startswith("bits")} == {"bits_per_dim"}


def test_a_rival_s_gap_is_recorded_in_nats_and_bits(
    folders: list[Path], dnc: Path, images: Images, tmp_path: Path
) -> None:
    report([*folders, dnc], passes=1)
    record_runs([*folders, dnc], tmp_path / "results")
    rows = {(row.setting, row.metric): row.value for row in read(tmp_path / "results")}
    for rival in ("dnc", "vae"):
        for metric in ("bound_nats", "bits_per_dim"):
            apart = rows[rival, metric] - rows["km", metric]
            assert rows[f"km-under-{rival}", metric] == pytest.approx(apart, abs=2e-3)
    measured = {metric for setting, metric in rows if setting == "dnc"}
    assert measured & set(BIT_KEYS) == {"bits_per_dim"} and not measured & set(PRICED)


def test_a_rival_alone_has_a_table_in_bits(dnc: Path, images: Images, tmp_path: Path) -> None:
    report([dnc], passes=1)
    record_runs([dnc], tmp_path / "results")
    rows = read(tmp_path / "results")
    made = with_tables("<!-- results: cifar10 --><!-- /results -->", rows)
    bits = next(row.value for row in rows if row.metric == "bits_per_dim")
    assert f"\n| DNC | {bits:.3f} |  |  |" in made


def test_the_report_is_in_bits_and_photos_keep_their_colours(
    folders: list[Path], images: Images
) -> None:
    html = report(folders, passes=1).read_text()
    assert "Kanerva Machine and VAE on CIFAR-10" in html
    assert "bits per dimension (" in html and "uniform one costs 8" in html
    assert html.count('<img class="photo"') == 4 and html.count("<img alt") == 2
    saved = json.loads((folders[0] / "evaluate.json").read_text())
    assert saved["conditions"]["test images"] == "8, 1 pass, seed 0"
    for entry in saved["models"]:
        assert entry["bits_per_dim"] == pytest.approx(by_hand(entry["bound_nats"]))
        assert entry["test_images"] == 8


def test_training_is_shown_in_bits(folders: list[Path]) -> None:
    bits, *others = training(read_runs(folders)).figure.axes
    assert bits.get_title(loc="left") == "bits per dimension"
    assert others[0].get_title(loc="left") == "reconstruction"
    low, high = bits.get_ylim()
    assert 6 < low < 7.25 and 7.5 < high < 9


def test_results_and_the_readme(folders: list[Path], images: Images, tmp_path: Path) -> None:
    report(folders, passes=1)
    record_runs(folders, tmp_path / "results")
    rows = {(row.setting, row.metric): row for row in read(tmp_path / "results")}
    km, vae = (rows[kind, "bits_per_dim"].value for kind in ("km", "vae"))
    assert km == pytest.approx(by_hand(rows["km", "bound_nats"].value), rel=1e-4)
    assert rows["km-under-vae", "bits_per_dim"].value == pytest.approx(vae - km, abs=1e-4)
    assert rows["km", "bits_per_dim_with_kl_memory"].experiment == "cifar10"
    curves = list(csv.DictReader((tmp_path / "results" / "cifar10" / "km.csv").open()))
    values = {line["metric"]: line["value"] for line in curves}
    assert (values["train/bits_per_dim"], values["test/bits_per_dim"]) == ("7.5", "7.25")

    made = with_tables("<!-- results: cifar10 --><!-- /results -->", list(rows.values()))
    _, _, head, _, first, *_, last, _, told = made.partition("\n\n<details>")[0].splitlines()
    assert head.split(" | ")[1:5] == [*BITS, "bound"] and "sampled" not in head
    assert first.startswith(f"| KM | {km:.3f} |")
    assert last.startswith(f"| KM under VAE | {rows['km-under-vae', 'bits_per_dim'].value:.3f} |")
    unit = "Bits per dimension (bits/dim) and nats per image of a test set of 8 images, "
    assert told.startswith(f"{unit}lower is better.")


def test_an_experiment_of_another_split_has_its_own_name(
    folders: list[Path], images: Images, tmp_path: Path
) -> None:
    other = finished(tmp_path / "w", VAE.from_run(folders[1]), **CONFIG, split="validation")
    report([other], passes=1)
    record_runs([other], tmp_path / "results")
    rows: list[Row] = read(tmp_path / "results")
    name = "cifar10-validation-dequantised"
    assert {row.experiment for row in rows} == {name, f"{name}-training"}
    with pytest.raises(InputError, match=r"split=images.*split=validation"):
        read_runs([folders[0], other])
