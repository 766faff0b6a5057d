"""Numbers as files of comma-separated values, in which a diff shows what moved."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path

from km_rl.errors import make_folder, written_beside


def write_csv(path: Path, header: Sequence[str], lines: Iterable[Iterable[str]]) -> Path:
    """Write a file of comma-separated values as a whole, its folder too; returns the path.

    Raises:
        InputError: it cannot be written.
    """
    make_folder(path.parent)
    with written_beside(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *lines])
    return path


def number(value: float) -> str:
    """A finite number with 6 significant digits and no exponent; whole ones in full."""
    if value == int(value):
        return str(int(value))
    return f"{Decimal(f'{value:.6g}'):f}"
