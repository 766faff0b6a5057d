"""Files of comma-separated values: what is read is what was written, or a sentence tells why."""

from __future__ import annotations

from pathlib import Path

import pytest

from km_rl.errors import InputError
from km_rl.evaluate.csv_file import read_csv, write_csv


def test_lines_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a" / "b.csv", ["task", "value"], [["x, y", "0.5"], ["z", "2"]])
    assert read_csv(path, dict) == [
        {"task": "x, y", "value": "0.5"},
        {"task": "z", "value": "2"},
    ]
    assert read_csv(path, lambda line: float(line["value"])) == [0.5, 2.0]


@pytest.mark.parametrize("text", ["task\nx\n", "value\nmany\n", "task,value\nx\n"])
def test_a_file_of_something_else_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "b.csv").write_text(text)
    with pytest.raises(InputError, match=r"b.csv' cannot be read \(.*\): restore it from git"):
        read_csv(tmp_path / "b.csv", lambda line: float(line["value"]))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"b.csv' cannot be read .*: restore it from git"):
        read_csv(tmp_path / "b.csv", dict)
