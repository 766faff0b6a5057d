"""A bar is lively on a terminal and quiet in a log."""

from __future__ import annotations

import pytest

from km_rl.progress import LOG_S, TERMINAL_S, progress_bar


@pytest.mark.parametrize(("terminal", "seconds"), [(True, TERMINAL_S), (False, LOG_S)])
def test_a_log_is_not_flooded(
    terminal: bool, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    with progress_bar(range(3), unit="step") as bar:
        assert (bar.mininterval, bar.total, list(bar)) == (seconds, 3, [0, 1, 2])
