"""How bad input is refused."""

from __future__ import annotations

import pytest

from km_rl.core.linalg import NotPositiveDefiniteError
from km_rl.errors import InputError, check_seeds, exit_on_input_error


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
