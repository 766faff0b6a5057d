"""Numbers as files of comma-separated values, in which a diff shows what moved."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from km_rl.errors import InputError
from km_rl.files import make_folder, written_beside

Line = TypeVar("Line")


def write_csv(path: Path, header: Sequence[str], lines: Iterable[Iterable[str]]) -> Path:
    """Write a file of comma-separated values as a whole, its folder too; returns the path.

    Raises:
        InputError: it cannot be written.
    """
    make_folder(path.parent)
    with written_beside(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *lines])
    return path


def read_csv(path: Path, line: Callable[[Mapping[str, str]], Line]) -> list[Line]:
    """The lines of such a file, each as ``line`` makes it of its values by column.

    Raises:
        InputError: it cannot be read, or ``line`` fails for want of a column or of a number.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [line(values) for values in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(f"'{path}' cannot be read ({error}): restore it from git.") from error


def number(value: float) -> str:
    """A finite number with 6 significant digits and no exponent; whole ones in full."""
    if value == int(value):
        return str(int(value))
    return f"{Decimal(f'{value:.6g}'):f}"
