"""Numbers of which there is one for each setting, metric and seed, as results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from km_rl.results.spread import mean
from km_rl.results.summary import Row, check, read
from km_rl.results.summary import record as record_rows
from km_rl.train.provenance import hardware, joined_once


class BySeed(NamedTuple):
    """One of them, and the commits of whose code it is, joined by a plus."""

    setting: str
    metric: str
    value: float
    seed: int
    commit: str


def record(
    found: Sequence[BySeed],
    experiment: str,
    command: str,
    results: Path,
    write: Callable[[Path], list[Path]],
) -> list[Path]:
    """Write the experiment's files and put the summary's rows in place, the intervals Student's t
    over seeds; returns the paths.

    Args:
        write: writes the files into the folder that it is given.

    Raises:
        InputError: files that cannot be read or written, rows of more seeds are there, or runs
            that were not of a checkout.
    """
    rows = []
    for setting, metric in dict.fromkeys((one.setting, one.metric) for one in found):
        of = [one for one in found if (one.setting, one.metric) == (setting, metric)]
        made = hardware("cpu"), command, joined_once("+", (one.commit for one in of))
        told = mean([one.value for one in of])
        rows.append(Row(experiment, setting, metric, *told, len(of), *made))
    check(rows, read(results))
    return [*write(results / experiment), record_rows(rows, results)]
