"""Capacity: the bound of episodes longer and shorter than those of training, of few classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from km_rl.data import Images
from km_rl.evaluate.bound import undisturbed
from km_rl.evaluate.exhibit import Exhibit, Point, plotted, random_episodes
from km_rl.evaluate.runs import Run

CLASSES = (2, 8, 32, None)
"""Classes in an episode; None is all."""
FEWEST = 16
"""Episodes behind every number: of few classes, each differs much from the next."""


def capacity(runs: Sequence[Run], test: Images, seed: int, images: int) -> Exhibit:
    """The bound against T, from an eighth of what it was in training to eight times that."""
    points = [point for run in runs for point in _capacity(run, test, seed, images)]
    T = runs[0].conditions.episode_length
    return Exhibit(
        "capacity",
        "Capacity",
        f"Look for a machine that stays under its rivals as episodes grow, and for lower curves "
        f"where an episode has few classes and images share what is stored. The bound in nats per "
        f"image against the images in an episode, T; all were trained at T = {T}. Classes that "
        f"hold fewer than T test images give some more than once.",
        plotted(points, {"bound_nats": ""}, "T", log=True),
        points=points,
    )


def lengths(trained: int, most: int) -> list[int]:
    """T from an eighth of the trained length to eight times that, at most ``most``."""
    return sorted({T for power in range(-3, 4) if 1 <= (T := int(trained * 2**power)) <= most})


def _capacity(run: Run, test: Images, seed: int, images: int) -> Iterator[Point]:
    known = len(test.labels.unique())
    for classes in CLASSES:
        series = "all classes" if classes is None else f"{classes} classes"
        for T in lengths(run.conditions.episode_length, len(test.images)):
            if classes is None or classes <= known:
                value = bound_at(run, test, T, classes, seed, images)
                yield Point(run.label, series, T, "bound_nats", value)
                yield Point(run.label, series, None, f"bound_nats@{T}", value)


def bound_at(
    run: Run, test: Images, length: int, classes: int | None, seed: int, images: int
) -> float:
    """The bound on random episodes, the memory at its mean, in nats per image."""
    kind: dict[str, Any] = {"length": length, "classes": classes, "fewest": FEWEST}
    episodes = random_episodes(run, test, images, seed=seed, **kind)
    with undisturbed(run.model, seed) as device:
        nats = [run.model(batch.to(device)).bound.flatten().double() for batch in episodes]
    return float(torch.cat(nats).mean())
