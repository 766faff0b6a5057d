"""A bar is lively on a terminal and quiet in a log."""

from __future__ import annotations

import threading
from io import StringIO

import pytest
from tqdm import tqdm

from km_rl import progress
from km_rl.progress import LOG_S, TERMINAL_S, progress_bar, stand_on_line


@pytest.mark.parametrize(("terminal", "seconds"), [(True, TERMINAL_S), (False, LOG_S)])
def test_a_log_is_not_flooded(
    terminal: bool, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    with progress_bar(range(3), unit="step") as bar:
        assert (bar.mininterval, bar.total, list(bar)) == (seconds, 3, [0, 1, 2])


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("screen", [Terminal, StringIO])
def test_bars_of_several_processes_stand_below_one_another_on_a_terminal_alone(
    screen: type[StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_usual", {})
    monkeypatch.setattr("sys.stderr", seen := screen())
    before = tqdm.get_lock()
    stand_on_line(2, threading.RLock())
    with progress_bar(range(3), unit="step") as bar:
        list(bar)
    tqdm.set_lock(before)
    assert seen.getvalue().startswith("\n\n\r" if screen is Terminal else "\r")
