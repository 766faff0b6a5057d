"""Progress of long work: at once on a terminal, twice a minute in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

TERMINAL_S, LOG_S = 0.5, 30
"""Seconds between two updates."""
_usual: dict[str, int] = {}
"""Options of every bar on a terminal."""


def progress_bar(over: Iterable[Any] | None = None, **options: Any) -> Any:
    """A bar of `tqdm`, with its options, as wide as the terminal, that does not flood a log."""
    own: dict[str, Any] = {"mininterval": LOG_S}
    if sys.stderr.isatty():
        own = {"mininterval": TERMINAL_S, **_usual}
    return tqdm(over, dynamic_ncols=True, **own, **options)


def stand_on_line(line: int, lock: Any) -> None:
    """Draw this process's bars on a line of the terminal of their own, below others'.

    Args:
        lock: of all processes that draw there, held while a bar is drawn.
    """
    tqdm.set_lock(lock)
    _usual["position"] = line
