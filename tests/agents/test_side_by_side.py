"""Jobs side by side: all are done, at most so many at a time, and none begins after a failure."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from agents.side_by_side import side_by_side


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "agents.side_by_side.ProcessPoolExecutor", lambda n, _: ThreadPoolExecutor(n)
    )


def test_all_are_done_and_so_many_at_a_time() -> None:
    meeting = threading.Barrier(2, timeout=10)  # passes only if two jobs are under way at once

    def make(job: int) -> None:
        begun.append(job)
        meeting.wait()

    begun: list[int] = []
    assert sorted(side_by_side(make, range(6), 2)) == sorted(begun) == list(range(6))


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
