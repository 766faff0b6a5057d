"""Each script does its job at its smallest, and refuses bad input with one sentence."""

from __future__ import annotations

import csv
import json
from importlib import import_module
from pathlib import Path

import pytest
from commands import ROOT, run, run_here

MODELS = ("km", "dkm", "dnc", "lrua", "vae")
TRAINING = ("train_generative.py", "retrieval.py", "paper.py")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Every model, the machine first, trained for 20 steps each."""
    folder = tmp_path_factory.mktemp("runs")
    common = ("--preset", "debug", "--run-dir", folder, "--threads", 1)
    for model in MODELS:
        started = run_here if model in MODELS[1:] else run
        told = started("train_generative.py", *common, "--model", model)
        assert told.splitlines()[-1].endswith("report.html")
    return [folder / f"debug-{model}-0" for model in MODELS]


def test_training_leaves_a_whole_run_folder(runs: list[Path]) -> None:
    for folder in runs:
        names = {path.name for path in folder.iterdir()}
        assert {"config.json", "metrics.jsonl", "model.safetensors", "report.html"} <= names
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        assert json.loads(lines[-1])["step"] == 20


def test_evaluation_compares_and_results_are_recorded(runs: list[Path], tmp_path: Path) -> None:
    told = run("evaluate.py", *runs, "--threads", 1, "--limit", 64, "--passes", 1)
    assert "nats" in told and told.splitlines()[-1] == str(runs[0] / "report.html")
    config = json.loads((runs[0] / "config.json").read_text())
    if not config["about"]["commit"]:
        pytest.skip("results name a commit, and this is no checkout")
    run("results.py", *runs, "--folder", tmp_path)
    with (tmp_path / "summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    settings = {row["setting"] for row in rows if row["experiment"] == "debug"}
    assert settings == {*MODELS, *(f"km-under-{model}" for model in MODELS[1:])}


def test_a_finished_run_is_not_trained_again(runs: list[Path]) -> None:
    before = (runs[0] / "metrics.jsonl").read_bytes()
    where = ("--run-dir", runs[0].parent, "--threads", 1)
    run_here("train_generative.py", "--preset", "debug", *where)
    assert (runs[0] / "metrics.jsonl").read_bytes() == before


def test_a_benchmark_prints_its_ratio() -> None:
    told = run("benchmark.py", "step", "--repeats", 1, "--episodes", 1, "--length", 2)
    for ratio in ("ratio_to_vae", *(f"{kind}_ratio_to_machine" for kind in MODELS[1:-1])):
        assert ratio in told


def test_all_memories_are_compared(tmp_path: Path) -> None:
    folders = ("--run-dir", tmp_path / "runs", "--folder", tmp_path)
    told = run("retrieval.py", "--preset", "debug", "--seeds", 1, *folders)
    assert "error_percent_strokes" in told and "write_us@20" in told
    experiments = {line.split()[0] for line in told.splitlines() if line.startswith("retrieval")}
    assert experiments == {f"retrieval-{x}" for x in ("facts", "strokes", "strokes-cost")}
    assert told.splitlines()[-1] == str(tmp_path / "retrieval-strokes" / "retrieval.png")


@pytest.mark.parametrize(
    ("script", "arguments", "sentence"),
    [
        ("train_generative.py", ["--dataset", "omniglot", "--data-dir", "nowhere"], "nowhere"),
        ("train_generative.py", ["--dataset", "cifar10", "--data-dir", "nowhere"], "CIFAR-10 was"),
        ("train_generative.py", ["--slots", "0"], "slots"),
        ("train_generative.py", ["--episode-length", "0"], "--episode-length is 0"),
        ("train_generative.py", ["--episode-length", "5000"], "5000"),
        ("train_generative.py", ["--classes", "9999"], "9999"),
        ("train_generative.py", ["--preset", "none"], "none"),
        ("evaluate.py", ["nowhere"], "nowhere"),
        ("evaluate.py", ["runs/strokes-km-77"], "--preset strokes --model km --seed 77"),
        (
            "evaluate.py",
            ["elsewhere/paper-omniglot-4000-steps-km-7"],
            "scripts/paper.py --dataset omniglot --data-dir DIR --run-dir elsewhere",
        ),
        ("results.py", ["nowhere"], "nowhere"),
        ("results.py", [], "--tables"),
        ("retrieval.py", ["--dataset", "omniglot", "--data-dir", "nowhere"], "nowhere"),
        ("retrieval.py", ["--seeds", "0"], "seeds is 0"),
        (
            "retrieval.py",
            ["--preset", "debug", "--record", "results"],
            "--preset debug makes none",
        ),
        ("paper.py", ["--dataset", "omniglot", "--data-dir", "nowhere"], "nowhere"),
        ("paper.py", ["--dataset", "cifar10", "--data-dir", "nowhere"], "CIFAR-10 was"),
        ("paper.py", ["--dnc-seeds", "0"], "dnc_seeds is 0"),
        ("paper.py", ["--steps", "0"], "steps is 0"),
        ("paper.py", ["--parts", "none"], "no part 'none'"),
        ("paper.py", ["--weights", "-1"], "is -1.0"),
        ("paper.py", ["--classes", "0", "all"], "classes is 0"),
        ("paper.py", ["--classes", "33"], "at most 32 classes"),
    ],
)
def test_bad_input_is_one_sentence(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    arguments: list[str],
    sentence: str,
) -> None:
    where = ["--run-dir", str(tmp_path / "runs")] if script in TRAINING else []
    monkeypatch.syspath_prepend(ROOT / "scripts")
    main = import_module(Path(script).stem).main
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, *where])
    told = capsys.readouterr().err
    assert stopped.value.code == 2
    assert sentence in told and len(told.splitlines()) == 1
    assert not list(tmp_path.iterdir())
