"""How files are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from km_rl.errors import InputError
from km_rl.files import locked, written_beside


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), written_beside(path) as beside:
        beside.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and [*tmp_path.iterdir()] == [path]


def test_a_place_that_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match="cannot be written"),
        written_beside(tmp_path / "file" / "x") as beside,
    ):
        beside.write_text("lost")


def test_a_file_is_no_folder_to_lock(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"lock' cannot be written .*: give a folder that exists"):
        locked(tmp_path / "file")
