"""Few-shot generation: dreams from memories of a few classes, and whether reading settles them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from km_rl.core.episodic import EpisodicModel
from km_rl.data import Images
from km_rl.evaluate import figures
from km_rl.evaluate.bound import undisturbed
from km_rl.evaluate.exhibit import Exhibit, Point, episodes_of, plotted
from km_rl.evaluate.runs import Run

SHOWN_STEPS = (1, 2, 4, 6, 8, 12)
STEPS = max(SHOWN_STEPS)
CLASSES = (2, 4, 12)
"""Classes in the episodes that are written."""
SETTLES = 6
"""The step by which samples settle in the paper."""
SETTLED = 0.1
"""Of the first change: samples have settled once every later change is smaller."""


def samples(run: Run, machine: EpisodicModel[Any], test: Images, seed: int) -> Exhibit:
    """Dreams from memories of episodes of 2, 4 and 12 classes, and of the trained kind."""
    n = 4
    blocks: list[list[Tensor]] = []
    for written in (episodes := _episodes_by_classes(run, test, seed)).values():
        dreams = _dreams(machine, written, n, seed)
        steps = torch.stack([dreams[step - 1, 0] for step in SHOWN_STEPS], 1)
        blocks.append([_tiled(written[0], n), steps])
    wide = blocks[0][0].shape[1]
    columns: dict[float, str] = dict(enumerate(step_names(), start=wide))
    columns[(wide - 1) / 2] = "written"
    return Exhibit(
        "samples",
        "Samples from memory, by reading step",
        "Look for images that sharpen and settle by about the sixth step, and that belong to "
        "what was written on the left. Each row of dreams starts at a random address; every step "
        "reads the memory with the picture of the step before.",
        figures.pictures(
            blocks,
            columns=columns,
            rows={n * i + (n - 1) / 2: label for i, label in enumerate(episodes)},
        ),
    )


def step_names() -> list[str]:
    """The headings of `SHOWN_STEPS`."""
    return [f"step {step}" if step == 1 else str(step) for step in SHOWN_STEPS]


def _dreams(machine: EpisodicModel[Any], written: Tensor, n: int, seed: int) -> Tensor:
    """The pictures of every step, on the CPU, with shape (steps, B, n, channels, H, W)."""
    with undisturbed(machine, seed) as device:
        return machine.generate(machine.write(written.to(device)), n, STEPS).cpu()


def _episodes_by_classes(run: Run, test: Images, seed: int) -> dict[str, Tensor]:
    made = _few_classes(run, test, seed, 1)
    own = run.conditions.classes
    label = f"{own} classes" if own else "any class"
    made.setdefault(label, episodes_of(run, test, seed, own, 1))
    return made


def _few_classes(run: Run, test: Images, seed: int, episodes: int) -> dict[str, Tensor]:
    known = len(test.labels.unique())
    return {
        f"{classes} classes": episodes_of(run, test, seed, classes, episodes)
        for classes in sorted({min(classes, known) for classes in CLASSES})
    }


def _tiled(images: Tensor, rows: int) -> Tensor:
    """Images (T, channels, H, W) as a block of so many rows, white where they run out."""
    columns = -(-len(images) // rows)
    white = 0.0 if images.shape[1] == 1 else 1.0
    blank = images.new_full((rows * columns - len(images), *images.shape[1:]), white)
    return torch.cat([images, blank]).unflatten(0, (rows, columns))


def convergence(runs: Sequence[Run], test: Images, seed: int) -> Exhibit:
    """How far dreams move from step to step, and how far they are from what was written."""
    points = [point for run in runs for point in _convergence(run, test, seed)]
    words = {"change": "change", "error_to_written": "nearest written"}
    return Exhibit(
        "convergence",
        "Whether samples settle",
        f"Look for changes that fall to nothing by about the sixth step (upper row), and for "
        f"dreams that come close to the nearest image that was written (lower row). Squared "
        f"errors per image, means over 64 dreams; samples count as settled if no change after "
        f"step {SETTLES} is above {SETTLED:.0%} of the first.",
        plotted(points, words, "reading step"),
        points=points,
    )


def _convergence(run: Run, test: Images, seed: int) -> Iterator[Point]:
    if run.episodic is None:
        return
    for series, written in _few_classes(run, test, seed, 8).items():
        dreams = _dreams(run.episodic, written, 8, seed)
        changes = dreams.diff(dim=0).square().sum((-3, -2, -1)).mean((1, 2)).tolist()
        nearest = [error_to_nearest(step, written) for step in dreams]
        for step, change in enumerate(changes, start=2):
            yield Point(run.label, series, step, "change", change)
        for step, error in enumerate(nearest, start=1):
            yield Point(run.label, series, step, "error_to_written", error)
        yield Point(run.label, series, None, "late_change", late_change(changes))
        yield Point(run.label, series, None, "error_to_written@1", nearest[0])
        yield Point(run.label, series, None, f"error_to_written@{STEPS}", nearest[-1])


def error_to_nearest(pictures: Tensor, written: Tensor) -> float:
    """Squared error to the nearest written image: (B, n, ...) and (B, T, ...) to the mean."""
    apart = torch.cdist(pictures.flatten(2), written.flatten(2))
    return float(apart.amin(-1).square().mean())


def late_change(changes: Sequence[float]) -> float:
    """The largest change after step `SETTLES`, as a share of the first; changes[0] is 1 to 2."""
    return max(changes[SETTLES - 1 :]) / changes[0] if changes[0] > 0 else 0.0
