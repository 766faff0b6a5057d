"""The paper's experiments, all of them, at their smallest."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from commands import ROOT, run, run_here

from km_rl.evaluate.table import FULL
from km_rl.results.summary import Row, read, record
from km_rl.train.provenance import commit


def test_the_whole_paper_at_its_smallest(tmp_path: Path) -> None:
    if not (code := commit()):
        pytest.skip("results name a commit, and this is no checkout")
    places = ("--run-dir", tmp_path / "runs", "--record", tmp_path / "results")
    parts = ("--parts", "compared", "ablations", "--seeds", 1, "--dnc-seeds", 1)
    command = ("paper.py", "--preset", "debug", *parts, *places)
    told = run(*command, "--workers", 2)
    page = tmp_path / "results" / "README.md"
    assert told.splitlines()[-1] == str(page)
    debug = page.read_text().split("## debug")[1]
    assert "not measured" not in debug and debug.count("**") > 2 * 9
    assert (tmp_path / "results" / "debug-ablations" / "ablations.png").exists()
    kept = {path: path.read_bytes() for path in page.parent.rglob("*.csv")}
    again = run(*command)
    kept_evaluations = 0 if code.endswith("-dirty") else 2
    assert told.count(" is there, ") == 0 and again.count(" is there, ") == kept_evaluations
    assert {path: path.read_bytes() for path in page.parent.rglob("*.csv")} == kept


@pytest.mark.slow
def test_the_full_bound_in_two_pieces(tmp_path: Path) -> None:
    if not commit():
        pytest.skip("results name a commit, and this is no checkout")
    places = ("--run-dir", tmp_path / "runs", "--record", tmp_path / "results")
    of = ("--preset", "debug", "--parts", "full-bound", "--classes", 2, "--seeds", 1)
    metrics = tmp_path / "runs" / "debug-2classes-full-bound-km-0" / "metrics.jsonl"
    run_here("paper.py", *of, "--weights", 0.1, *places)
    first = metrics.read_bytes()
    run_here("paper.py", *of, "--weights", 0, *places)
    assert metrics.read_bytes() == first
    rows = [row for row in read(tmp_path / "results") if row.metric == FULL]
    experiment = "debug-2classes-full-bound"
    commands = {row.setting: row.command for row in rows if row.experiment == experiment}
    weights = ("memory_kl_weight=0.0, sample_memory=False", "memory_kl_weight=0.1")
    assert commands.keys() == {"km", "km-under-vae", "vae", *(f"km, {one}" for one in weights)}
    assert "--classes 2" in commands["km"] and "--memory-kl-weight 1" in commands["km"]
    assert (tmp_path / "results" / "debug-rate-distortion.png").exists()


def test_the_smallest_photographs_have_a_density(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    paper = import_module("paper")
    likelihoods = {
        name: paper.Args(preset="debug", dataset=name).usual.likelihood
        for name in ("strokes", "omniglot", "cifar10")
    }
    assert likelihoods == {"strokes": "bernoulli", "omniglot": "bernoulli", "cifar10": "gaussian"}


def test_more_seeds_are_not_replaced_by_fewer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is trained."""
    monkeypatch.syspath_prepend(ROOT / "scripts")
    made = ("an abacus", "python x", "abc")
    record([Row("debug", "km", "bound_nats", 1.0, None, None, 3, *made)], tmp_path / "results")
    places = ["--run-dir", str(tmp_path / "runs"), "--record", str(tmp_path / "results")]
    with pytest.raises(SystemExit) as stopped:
        import_module("paper").main(["--preset", "debug", "--seeds", "2", *places])
    told = capsys.readouterr().err
    assert stopped.value.code == 2 and len(told.splitlines()) == 1
    assert "holds 3 seeds of km in debug where 2 are asked for" in told
    assert not (tmp_path / "runs").exists()
