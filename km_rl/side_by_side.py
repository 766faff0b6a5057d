"""Runs side by side, each in a process of its own, with its progress on a line of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.sharedctypes import Synchronized
from typing import Any, TypeVar

from km_rl.errors import InputError
from km_rl.progress import stand_on_line

Job = TypeVar("Job")
Make = Callable[[Job], object]
"""Does a job."""


def side_by_side(make: Make[Job], jobs: Iterable[Job], workers: int) -> Iterator[Job]:
    """Each job as it ends.

    None begins before there is room for it, so that after an error or Ctrl-C, which the runs under
    way hear too, no other begins. Where this process is killed they hear a SIGTERM.

    Args:
        make: a function of a module, for it is sent to another process.
        workers: how many at a time.

    Raises:
        Exception: that of the first job that fails, when those under way have ended.
        InputError: a process was killed.
    """
    waiting = iter(jobs)
    running: dict[Future[object], Job] = {}
    spawn = multiprocessing.get_context("spawn")
    shared = spawn.Value("i", 0), spawn.RLock()
    with ProcessPoolExecutor(workers, spawn, initializer=_begin, initargs=shared) as pool:
        while True:
            for job in islice(waiting, workers - len(running)):
                running[pool.submit(_do, make, job)] = job
            if not running:
                return
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                try:
                    ended.result()
                except BrokenProcessPool as error:
                    raise InputError(
                        f"A run was killed, perhaps for want of memory where {workers} ran side "
                        f"by side: give fewer --workers; the same command goes on."
                    ) from error
                yield running.pop(ended)


def _do(make: Make[Job], job: Job) -> None:
    """The job. No other is waited for where nobody is left to give it."""
    try:
        make(job)
    finally:
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            os._exit(1)


def _begin(begun: Synchronized[int], lock: Any) -> None:
    """A process: it ends with its parent, and its bars have the next line."""
    with begun.get_lock():
        line, begun.value = begun.value, begun.value + 1
    stand_on_line(line, lock)
    threading.Thread(target=_terminate_after_parent, daemon=True).start()


def _terminate_after_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
