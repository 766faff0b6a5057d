"""Walks from one image to another: in the weights w, in the codes z and in the pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from km_rl.core.machine import KanervaMachine
from km_rl.data import Images
from km_rl.evaluate import figures
from km_rl.evaluate.bound import undisturbed
from km_rl.evaluate.exhibit import Exhibit, Point, episodes_of
from km_rl.evaluate.runs import Run

SHOWN = 3
"""Pairs of images in the figure."""
PLACES = 10
"""On each walk, both ends among them."""


def interpolation(run: Run, machine: KanervaMachine, test: Images, seed: int) -> Exhibit:
    """Straight walks between two images of each of several episodes."""
    written = episodes_of(run, test, seed)
    a, b = written[:, 0], written[:, -1]
    walks = {"w": walked(machine, written, a, b, PLACES, seed)}
    walks["z"] = walked(machine, written, a, b, PLACES, seed, codes=True)
    shares = torch.linspace(0, 1, PLACES).view(-1, 1, 1, 1)
    walks["pixels"] = torch.lerp(a[:, None], b[:, None], shares)
    shown = torch.stack(list(walks.values()), 1)[:SHOWN]
    blocks = [
        [_repeated(start), middle, _repeated(end)]
        for start, middle, end in zip(a, shown, b, strict=False)
    ]
    points = list(_points(run, walks))
    middles = "; ".join(
        f"{p.value:.1f} in {p.series}" for p in points if p.metric == "added_uncertainty_nats"
    )
    found = f" Nats of doubt about ink half way, beyond the ends': {middles}." if middles else ""
    return Exhibit(
        "interpolation",
        "Interpolation between two addresses",
        "Look for a smooth change through pictures that could be in the data. In the first row of "
        "each block the weights w go in a straight line from one image's address to another's and "
        "the memory is read on the way; in the second the codes z that are read for the two "
        "images do; in the third their pixels, which fades one into the other." + found,
        figures.pictures(
            blocks,
            columns={0: "from", (PLACES + 1) / 2: "on the way", PLACES + 1: "to"},
            rows={i: name for i, name in enumerate(list(walks) * len(blocks))},
        ),
        points=points,
    )


def _repeated(image: Tensor) -> Tensor:
    """One image (channels, H, W) as a column of three."""
    return image.expand(3, 1, *image.shape)


def walked(
    machine: KanervaMachine,
    written: Tensor,
    a: Tensor,
    b: Tensor,
    n: int,
    seed: int,
    codes: bool = False,
) -> Tensor:
    """Pictures on the way in w, or in z, with shape (B, n, channels, H, W), on the CPU."""
    with undisturbed(machine, seed) as device:
        memory = machine.write(written.to(device))
        walk = machine.interpolate_codes if codes else machine.interpolate
        return walk(memory, a.to(device), b.to(device), n).cpu()


def _points(run: Run, walks: Mapping[str, Tensor]) -> Iterator[Point]:
    """Whether the picture half way is blurred (of ink alone), and whether there is a jump."""
    for series, pictures in walks.items():
        steps = pictures.diff(dim=1).square().sum((-3, -2, -1)).sqrt()
        for x, length in enumerate(steps.mean(0).tolist(), start=1):
            yield Point(run.label, series, x, "step_length", length)
        largest = (steps.amax(1) / steps.sum(1).clamp_min(1e-6)).mean()
        yield Point(run.label, series, None, "largest_step_share", float(largest))
        if run.conditions.binarisation != "dequantised":
            added = float(added_uncertainty(pictures).mean())
            yield Point(run.label, series, None, "added_uncertainty_nats", added)


def added_uncertainty(walk: Tensor) -> Tensor:
    """By how much the ink half way is more in doubt than at the ends: (B, n, ...) to (B,).

    Of an even number n of pictures the one before the middle is taken.
    """
    doubt = uncertainty(walk)
    return doubt[:, (walk.shape[1] - 1) // 2] - (doubt[:, 0] + doubt[:, -1]) / 2


def uncertainty(pictures: Tensor) -> Tensor:
    """Entropy of the ink of each picture in nats, (..., channels, H, W) to (...)."""
    p = pictures.double()
    return (torch.special.entr(p) + torch.special.entr(1 - p)).sum((-3, -2, -1))
