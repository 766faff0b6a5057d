"""The numbers of the few-shot comparison, and how they are put together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from km_rl.train.provenance import joined_once

Key = TypeVar("Key", bound=Hashable)
WITHOUT_PAIRS = ("return", "parameters")
"""Metrics whose pairs are the comparison's, or none."""


class Point(NamedTuple):
    """A number of one setting, seed and held-out task; an agent's after so many steps.

    Attributes:
        pairs: of the expert, that were told.
        commit: of the code that had a part in it, joined by a plus.
        hardware: on which it was measured.
    """

    setting: str
    metric: str
    pairs: int
    task: str
    seed: int
    value: float
    step: int = 0
    commit: str = ""
    hardware: str = ""


def table(points: Sequence[Point]) -> str:
    """A row for each setting and a column for each metric, means over tasks and seeds."""
    by: dict[str, dict[str, list[float]]] = {}
    for p in ends(points):
        by.setdefault(p.setting, {}).setdefault(named(p), []).append(p.value)
    columns = list(dict.fromkeys(named(p) for p in points))
    lines = [f"{'':18}" + "".join(f"{c:>18}" for c in columns)]
    for setting, found in by.items():
        cells = (f"{short(np.mean(found[c])):>18}" if c in found else " " * 18 for c in columns)
        lines.append(f"{setting:18}" + "".join(cells))
    return "\n".join(lines)


def short(value: float | np.floating) -> str:
    """Three decimals, or none of a whole number."""
    return f"{value:.0f}" if value == int(value) else f"{value:.3f}"


def ends(points: Sequence[Point]) -> list[Point]:
    """The points without those on an agent's way: of each, the one of the last step."""
    last: dict[Hashable, Point] = {}
    for p in points:
        place = p._replace(value=0.0, step=0)
        if place not in last or p.step >= last[place].step:
            last[place] = p
    return list(last.values())


def grouped(points: Sequence[Point], key: Callable[[Point], Key]) -> dict[Key, np.ndarray]:
    """The values (seeds, tasks) of the points of each key."""
    found: dict[Key, dict[int, list[float]]] = {}
    for p in points:
        found.setdefault(key(p), {}).setdefault(p.seed, []).append(p.value)
    return {k: np.array(list(by_seed.values())) for k, by_seed in found.items()}


def named(point: Point) -> str:
    """The metric's name in the results."""
    alone = point.metric in WITHOUT_PAIRS
    return point.metric if alone else f"{point.metric}@{point.pairs}"


def provenance(points: Sequence[Point]) -> tuple[str, str]:
    """Hardware and commits of what had a part in any of these, each once."""
    hardware = joined_once(" + ", (p.hardware for p in points))
    return hardware, joined_once("+", (p.commit for p in points))
