"""What made a number."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tiny_runs import TINY, new_model

from km_rl.errors import InputError
from km_rl.train import provenance
from km_rl.train.provenance import commit, commit_to_record, describe, joined_once


def test_the_command_may_be_given(tmp_path: Path) -> None:
    about = describe(new_model(TINY), ["scripts/train_generative.py", "--model", "km"])
    assert about["command"] == "python scripts/train_generative.py --model km"


def test_the_command_of_several_processes_has_their_launcher(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    told = describe(new_model(TINY), ["scripts/train_generative.py"])["command"]
    launched = "python -m torch.distributed.run --nproc_per_node 2"
    assert told == f"{launched} scripts/train_generative.py"


def test_what_is_recorded_leaves_the_code_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("results", "km_rl/train"):
        (tmp_path / place).mkdir(parents=True)
    files = [
        tmp_path / name
        for name in ("results/summary.csv", "README.md", "km_rl/train/provenance.py")
    ]
    for file in files:
        file.write_text("before")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr(provenance, "__file__", str(files[-1]))
    clean = commit()
    assert clean is not None and len(clean) == 40
    for file in files[:2]:
        file.write_text("after")
    assert commit() == clean == commit_to_record()
    files[2].write_text("after")
    assert commit() == f"{clean}-dirty"


def test_nothing_is_recorded_without_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "a" / "b" / "run.py"))
    with pytest.raises(InputError, match="no git checkout"):
        commit_to_record()


def test_machines_and_commits_are_told_once() -> None:
    assert joined_once(" + ", ["A + B", "A", None, ""]) == "A + B"
    assert joined_once("+", ["c+d", "e", "c"]) == "c+d+e"
