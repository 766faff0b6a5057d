"""Progress of long work: at once on a terminal, twice a minute in a log."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

TERMINAL_S, LOG_S = 0.5, 30
"""Seconds between two updates."""


def progress_bar(*args: Any, **options: Any) -> Any:
    """A `tqdm` bar with these arguments, as wide as the terminal, that does not flood a log."""
    seconds = TERMINAL_S if sys.stderr.isatty() else LOG_S
    return tqdm(*args, dynamic_ncols=True, mininterval=seconds, **options)
