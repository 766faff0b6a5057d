"""One thing that the report shows: its figure, the numbers behind it, the episodes they are of.

In the results an exhibit of an experiment is an experiment of its own, ``<experiment>-<exhibit>``:
numbers without an x are its rows, and all its numbers lie in ``<experiment>/<exhibit>.csv``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from km_rl.data import Images, draw_episodes
from km_rl.evaluate import figures
from km_rl.evaluate.csv_file import number, write_csv
from km_rl.evaluate.figures import Line
from km_rl.evaluate.runs import Run

AT_ONCE = 512
"""Images scored at once."""
Measured = Mapping[str, Sequence[tuple[str, float | None, str, float]]]
"""By exhibit: series, x, metric and value of one run's numbers."""


class Point(NamedTuple):
    """A number behind a figure.

    Attributes:
        label: the run's.
        series: what else tells it from others at the same x; may be empty.
        x: where it stands: a step, a length, a count. None for a number that stands for a whole
            series: it is recorded in the summary of the results too.
        metric: with its unit at the end.
    """

    label: str
    series: str
    x: float | None
    metric: str
    value: float


class Exhibit(NamedTuple):
    """A figure of the report; its files are called ``name``. Photos keep their colours."""

    name: str
    title: str
    look_for: str
    figure: Figure
    photos: bool = False
    points: Sequence[Point] = ()


def plotted(
    points: Sequence[Point], words: Mapping[str, str], x: str, log: bool = False
) -> Figure:
    """A panel for each metric of ``words`` and each series, in it a line for each run."""
    panels: dict[str, dict[str, Line]] = {}
    for metric, told in words.items():
        for one in points:
            if one.metric == metric and one.x is not None:
                title = ", ".join(filter(None, (told, one.series)))
                line = panels.setdefault(title, {}).setdefault(one.label, Line([], []))
                line.xs.append(one.x)
                line.ys.append(one.value)
    return figures.lines(panels, x, log)


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


def _cells(label: str, series: str, x: float | None, metric: str, value: float) -> list[str]:
    return [label, series, "" if x is None else number(x), metric, number(value)]


def episodes_of(
    run: Run, test: Images, seed: int, classes: int | None = None, episodes: int = 8
) -> Tensor:
    """Test episodes like the run's own, or of so many classes."""
    conditions = run.conditions
    return draw_episodes(
        test,
        episodes,
        conditions.episode_length,
        generator=torch.Generator().manual_seed(seed),
        classes=classes or conditions.classes,
        binarisation=conditions.binarisation,
    )


def random_episodes(
    run: Run,
    test: Images,
    images: int,
    *,
    seed: int,
    length: int | None = None,
    classes: int | None = None,
    fewest: int = 1,
    at_once: int = AT_ONCE,
) -> Iterator[Tensor]:
    """About so many test images in random episodes, in batches.

    Args:
        length: T; the run's own by default.
        classes: in an episode; all by default.
        fewest: episodes in any case.
    """
    T = length or run.conditions.episode_length
    generator = torch.Generator().manual_seed(seed)
    left = max(fewest, images // T)
    while left > 0:
        episodes = min(left, max(1, at_once // T))
        left -= episodes
        yield draw_episodes(
            test,
            episodes,
            T,
            generator=generator,
            classes=classes,
            binarisation=run.conditions.binarisation,
        )
