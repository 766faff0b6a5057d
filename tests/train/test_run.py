"""The run folder: config first, one run a folder, metrics that follow the checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_runs import TINY, new_model

from km_rl.errors import InputError
from km_rl.train.provenance import describe
from km_rl.train.run import Run


def test_the_config_is_there_before_anything_else(tmp_path: Path) -> None:
    about = describe(new_model(TINY))
    Run(tmp_path / "run", TINY, about)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert saved["slots"] == TINY.slots
    assert saved["about"] == about
    assert about["parameters"] > 0
    assert {"commit", "torch", "hardware", "command"} < about.keys()


def test_another_config_is_refused_by_its_first_field(tmp_path: Path) -> None:
    Run(tmp_path, TINY)
    written = (tmp_path / "config.json").read_bytes()
    with pytest.raises(
        InputError, match=r"slots = 4 where this command has 7: give another --run-dir"
    ):
        Run(tmp_path, replace(TINY, slots=7, filters=9))
    assert (tmp_path / "config.json").read_bytes() == written


def test_what_does_not_change_a_step_may_differ(tmp_path: Path) -> None:
    Run(tmp_path, TINY)
    Run(tmp_path, replace(TINY, data_dir=Path("elsewhere"), log_every=9, threads=3))


def test_a_setting_that_an_older_version_did_not_name_was_at_its_default(tmp_path: Path) -> None:
    Run(tmp_path, TINY)
    saved = json.loads((tmp_path / "config.json").read_text())
    del saved["diagonal_covariance"]
    (tmp_path / "config.json").write_text(json.dumps(saved))
    Run(tmp_path, TINY)
    with pytest.raises(InputError, match="_covariance = False where this command has True"):
        Run(tmp_path, replace(TINY, diagonal_covariance=True))


def test_an_unreadable_config_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"steps": ')
    with pytest.raises(InputError, match="not readable as JSON"):
        Run(tmp_path, TINY)


def test_an_unwritable_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(InputError, match=r"cannot be written .* --run-dir"):
            Run(folder, TINY)


def test_a_line_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    run = Run(tmp_path, TINY)
    run.start(0)
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(InputError, match=r"metrics\.jsonl' cannot be written .*: make room"):
        run.log(1, 8, 0.5, {"train/bound": 1.0})
    run.close()


def test_lines_beyond_the_checkpoint_and_a_cut_off_line_are_dropped(tmp_path: Path) -> None:
    run = Run(tmp_path, TINY)
    run.start(0)
    for step in (1, 2, 3):
        run.log(step, 8 * step, 0.5, {"train/bound": 1.0 / step})
    run.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "ima')
    again = Run(tmp_path, TINY)
    again.start(2)
    assert [line["step"] for line in again.metrics()] == [1, 2]
    again.log(3, 24, 0.5, {"train/bound": 7.0})
    again.close()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1]) == {"step": 3, "images": 24, "seconds": 0.5, "train/bound": 7.0}
    assert len(lines) == 3


def test_a_run_that_goes_on_elsewhere_says_so_with_its_first_line(tmp_path: Path) -> None:
    begun = {"commit": "abc", "hardware": "a core", "command": "python x", "torch": "2"}
    Run(tmp_path, TINY, begun)
    for code, hardware in (("abc", "a core"), ("abc", "a GPU"), ("def", "a core")):
        again = Run(tmp_path, TINY, {**begun, "commit": code, "hardware": hardware})
        again.start(0)
        before = json.loads((tmp_path / "config.json").read_text())["about"]
        again.log(1, 8, 0.5, {})
        again.close()
    assert before["commit"] == "abc" and before["hardware"] == "a core + a GPU"
    told = json.loads((tmp_path / "config.json").read_text())["about"]
    assert told == {**begun, "commit": "abc+def", "hardware": "a core + a GPU"}


def test_a_run_is_trained_by_one_process_at_a_time(tmp_path: Path) -> None:
    run, again = Run(tmp_path, TINY), Run(tmp_path, TINY)
    run.start(0)
    with pytest.raises(InputError, match=r"Another process writes to .* another folder"):
        again.start(0)
    run.close()
    again.start(0)
    again.close()


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    run = Run(tmp_path / "run", TINY)
    run.start(0)
    run.log(1, 8, 0.5, {})
    assert not (tmp_path / "run").exists()


def test_a_training_without_its_config_is_refused(tmp_path: Path) -> None:
    (tmp_path / "training.pt").touch()
    with pytest.raises(InputError, match="holds a training without its config"):
        Run(tmp_path, TINY)
    assert not (tmp_path / "config.json").exists()


def test_other_data_are_refused_and_another_place_of_the_same_is_not(tmp_path: Path) -> None:
    Run(tmp_path, TINY, {"data": "a"})
    Run(tmp_path, replace(TINY, data_dir=Path("elsewhere")), {"data": "a"})
    with pytest.raises(InputError, match="learned from other data than this command gives"):
        Run(tmp_path, TINY, {"data": "b"})
