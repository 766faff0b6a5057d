"""One thing that the report shows, with the numbers behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from km_rl.data import Images, draw_episodes
from km_rl.evaluate import figures
from km_rl.evaluate.figures import Line
from km_rl.evaluate.runs import Run

AT_ONCE = 512
"""Images scored at once."""


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
