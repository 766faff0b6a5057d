"""How bad input is refused and how files are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from km_rl.core.linalg import NotPositiveDefiniteError
from km_rl.errors import InputError, check_seeds, exit_on_input_error, locked, written_beside


@pytest.mark.parametrize("error", [InputError("no"), NotPositiveDefiniteError("no")])
def test_an_expected_failure_is_a_sentence(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped, exit_on_input_error():
        raise error
    assert stopped.value.code == 2 and capsys.readouterr().err == "no\n"


@pytest.mark.parametrize("seeds", [(), (1, 1), (0, -1), (2**32,)])
def test_seeds_that_cannot_be(seeds: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="each once, whole numbers from 0"):
        check_seeds(seeds)
    check_seeds((3, 0, 2**32 - 1))


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
