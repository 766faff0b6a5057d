"""Capacity: the bound of episodes longer and shorter than those of training, of few classes.

Episodes of every length T are cut from the same sequences of images, each of a class set of its
own. So the curve of a model without a memory is flat, and what bends another's is its memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from km_rl.data import Images
from km_rl.evaluate.bound import undisturbed
from km_rl.evaluate.exhibit import Exhibit, Point, plotted, random_episodes
from km_rl.evaluate.runs import Run

SEQUENCES = {2: 32, 8: 16, 32: 8, None: 8}
"""Classes in an episode (None is all) to the sequences behind every number, at least: of few
classes, each differs much from the next."""


def capacity(runs: Sequence[Run], test: Images, seed: int, images: int) -> Exhibit:
    """The bound against T, from an eighth of what it was in training to eight times that."""
    points = [point for run in runs for point in _capacity(run, test, seed, images)]
    T = runs[0].conditions.episode_length
    return Exhibit(
        "capacity",
        "Capacity",
        f"Look for a machine that stays under its rivals as episodes grow, and for lower curves "
        f"where an episode has few classes and images share what is stored. The bound in nats per "
        f"image against the images in an episode, T, the same ones at every T; all were trained "
        f"at T = {T}. Classes that hold too few test images give some more than once.",
        plotted(points, {"bound_nats": ""}, "T", log=True),
        points=points,
    )


def lengths(trained: int, most: int) -> list[int]:
    """T from an eighth of the trained length to eight times that, at most ``most``."""
    return sorted({T for power in range(-3, 4) if 1 <= (T := int(trained * 2**power)) <= most})


def _capacity(run: Run, test: Images, seed: int, images: int) -> Iterator[Point]:
    known = len(test.labels.unique())
    every = lengths(run.conditions.episode_length, len(test.images))
    for classes in SEQUENCES:
        series = "all classes" if classes is None else f"{classes} classes"
        for T in every:
            if classes is None or classes <= known:
                value = bound_at(run, test, T, every[-1], classes, seed, images)
                yield Point(run.label, series, T, "bound_nats", value)
                yield Point(run.label, series, None, f"bound_nats@{T}", value)


def bound_at(
    run: Run, test: Images, T: int, longest: int, classes: int | None, seed: int, images: int
) -> float:
    """The bound on random episodes of T images, the memory at its mean, in nats per image.

    Args:
        longest: images in a sequence, from which the episodes are cut.
        classes: in a sequence, a key of `SEQUENCES`.
        images: in all, unless the fewest sequences hold more.
    """
    fewest = SEQUENCES[classes]
    sequences = random_episodes(
        run, test, images, seed=seed, length=longest, classes=classes, fewest=fewest
    )
    with undisturbed(run.model, seed) as device:
        nats = [run.model(cut(one, T).to(device)).bound.flatten().double() for one in sequences]
    return float(torch.cat(nats).mean())


def cut(sequences: Tensor, T: int) -> Tensor:
    """(B, longest, ...) to episodes (B longest // T, T, ...); what fills none is left out."""
    whole = sequences.shape[1] // T
    return sequences[:, : whole * T].unflatten(1, (whole, T)).flatten(0, 1)
