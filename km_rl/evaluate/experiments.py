"""The numbers behind the figures: in a run's folder, and over seeds in the results.

Of a run, evaluate.json keeps ``{exhibit: [[series, x, metric, value], ...]}``. In the results an
exhibit of an experiment is an experiment of its own, ``<experiment>-<exhibit>``: numbers without
an x are its rows, and all its numbers lie in ``<experiment>/<exhibit>.csv``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from km_rl.evaluate.csv_file import number, write_csv
from km_rl.evaluate.exhibit import Exhibit, Point

Measured = Mapping[str, Sequence[tuple[str, float | None, str, float]]]
"""By exhibit: series, x, metric and value of one run's numbers."""


def measured(label: str, shown: Iterable[Exhibit]) -> dict[str, list[list[Any]]]:
    """One run's numbers among those of every exhibit."""
    mine = {one.name: [list(p[1:]) for p in one.points if p.label == label] for one in shown}
    return {name: points for name, points in mine.items() if points}


def write_points(path: Path, points: Sequence[Point]) -> Path:
    """The numbers behind one figure as a file."""
    return write_csv(path, ("run", *Point._fields[1:]), (_cells(*point) for point in points))


def over_seeds(seeds: Sequence[Measured]) -> Iterator[tuple[str, str, str, list[float]]]:
    """(exhibit, series, metric, a value for each seed) of numbers that all seeds have."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for one in seeds:
        for exhibit, points in one.items():
            for series, x, metric, value in points:
                if x is None:
                    found.setdefault((exhibit, series, metric), []).append(value)
    for names, values in found.items():
        if len(values) == len(seeds):
            yield (*names, values)


def write_curves(place: Path, runs: Sequence[tuple[str, int, Measured]]) -> list[Path]:
    """A file for each exhibit with the numbers of all runs, each a setting, a seed and numbers."""
    lines: dict[str, list[list[str]]] = {}
    for setting, seed, numbers in runs:
        for exhibit, points in numbers.items():
            mine = lines.setdefault(exhibit, [])
            mine += [[*_cells(setting, *point), str(seed)] for point in points]
    header = ("setting", *Point._fields[1:], "seed")
    return [write_csv(place / f"{name}.csv", header, rows) for name, rows in lines.items()]


def _cells(label: str, series: str, x: float | None, metric: str, value: float) -> list[str]:
    return [label, series, "" if x is None else number(x), metric, number(value)]
