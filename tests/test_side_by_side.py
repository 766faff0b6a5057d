"""Jobs side by side: all are done, at most so many at a time, and none begins after a failure."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from km_rl.side_by_side import side_by_side

JOB = """
import signal, sys, time
from pathlib import Path
from km_rl.side_by_side import side_by_side

def make(folder):
    def save(*_):
        Path(folder, "saved").touch()
        sys.exit()

    signal.signal(signal.SIGTERM, save)
    Path(folder, "begun").touch()
    time.sleep(60)

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


def test_a_job_hears_that_its_parent_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "jobs.py"
    script.write_text(JOB)
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)])
    _wait_for(tmp_path / "begun")
    parent.kill()
    parent.wait()
    _wait_for(tmp_path / "saved")


def _wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"{path.name} did not appear within a minute")
