"""Progress of long work: at once on a terminal, twice a minute in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

TERMINAL_S, LOG_S = 0.5, 30
"""Seconds between two updates."""


def progress_bar(over: Iterable[Any] | None = None, **options: Any) -> Any:
    """A bar of `tqdm`, with its options, as wide as the terminal, that does not flood a log."""
    seconds = TERMINAL_S if sys.stderr.isatty() else LOG_S
    return tqdm(over, dynamic_ncols=True, mininterval=seconds, **options)
