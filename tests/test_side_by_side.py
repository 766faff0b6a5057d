"""Jobs side by side: all are done, at most so many at a time, and none begins after a failure."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from km_rl.errors import InputError
from km_rl.side_by_side import side_by_side

JOB = """
import os, signal, sys, time
from pathlib import Path
from km_rl.side_by_side import side_by_side

def make(folder):
    heard = []
    signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    Path(folder, "begun").write_text(str(os.getpid()))
    while not heard:
        time.sleep(0.1)
    Path(folder, "saved").touch()

if __name__ == "__main__":
    list(side_by_side(make, [sys.argv[1]], 1))
"""


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "km_rl.side_by_side.ProcessPoolExecutor", lambda n, *_, **__: ThreadPoolExecutor(n)
    )


@pytest.mark.usefixtures("threads")
def test_all_are_done_and_so_many_at_a_time() -> None:
    meeting = threading.Barrier(2, timeout=10)  # passes only if two jobs are under way at once

    def make(job: int) -> None:
        begun.append(job)
        meeting.wait()

    begun: list[int] = []
    assert sorted(side_by_side(make, range(6), 2)) == sorted(begun) == list(range(6))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_none_begins_after_a_failure(error: type[BaseException]) -> None:
    def make(job: int) -> None:
        begun.append(job)
        if job == 1:
            raise error

    begun: list[int] = []
    with pytest.raises(error):
        list(side_by_side(make, range(6), 1))
    assert begun == [0, 1]


def test_a_process_that_was_killed_is_told_of() -> None:
    with pytest.raises(InputError, match=r"A run was killed, .*: give fewer --workers"):
        list(side_by_side(os._exit, [1], 1))


def test_a_job_whose_parent_was_killed_hears_it_and_ends(tmp_path: Path) -> None:
    script, begun, saved = (tmp_path / name for name in ("jobs.py", "begun", "saved"))
    script.write_text(JOB)
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)])
    _wait_until(lambda: begun.exists() and bool(begun.read_text()))
    parent.kill()
    parent.wait()
    _wait_until(saved.exists)
    _wait_until(lambda: not _runs(int(begun.read_text())))


def _runs(process: int) -> bool:
    """As far as /proc tells."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _wait_until(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come true within a minute")
