"""Where memories are read: weights over the slots, and how many slots an address uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from km_rl.data import Images
from km_rl.evaluate import figures
from km_rl.evaluate.bound import undisturbed
from km_rl.evaluate.exhibit import Exhibit, Point, episodes_of
from km_rl.evaluate.runs import Run

BINS = 40


def addresses(runs: Sequence[Run], test: Images, seed: int) -> Exhibit:
    """How the weights w of every model with a memory are spread over its slots."""
    weights = {run.label: w for run in runs if (w := _weights(run, test, seed)) is not None}
    effective = {label: effective_slots(w) for label, w in weights.items()}
    used = " and ".join(
        f"{float(n.mean()):.1f} of {weights[label].shape[-1]} slots ({label})"
        for label, n in effective.items()
    )
    return Exhibit(
        "addresses",
        "Address weights",
        f"Look for weights spread over many slots, not one: an address uses {used} on average "
        f"(the exponential of the entropy of w squared, scaled to sum 1; random weights use "
        f"half). A memory that has collapsed uses one; of a DNC each head counts by itself.",
        figures.weights({label: (w, effective[label]) for label, w in weights.items()}),
        points=list(_points(weights, effective)),
    )


def effective_slots(w: Tensor) -> Tensor:
    """exp(entropy of w^2 / sum w^2): (..., K) to (...), from 1 (one slot) to K (all alike)."""
    total = w.square().sum(-1, keepdim=True)
    share = w.square() / total.clamp_min(torch.finfo(w.dtype).tiny)
    return torch.special.entr(share).sum(-1).exp()


def _weights(run: Run, test: Images, seed: int) -> Tensor | None:
    if run.episodic is None:
        return None
    images = episodes_of(run, test, seed)
    with undisturbed(run.episodic, seed) as device:
        return run.episodic.address_weights(images.to(device)).cpu()


def _points(weights: Mapping[str, Tensor], effective: Mapping[str, Tensor]) -> Iterator[Point]:
    """Both histograms; the slots of one address, and those that all images use together."""
    for label, w in weights.items():
        yield from _histogram(label, "w", w)
        yield from _histogram(label, "effective slots", effective[label])
        together = w.square().flatten(0, -2).mean(0).sqrt()
        yield Point(label, "", None, "effective_slots", float(effective[label].mean()))
        yield Point(label, "", None, "effective_slots_of_all", float(effective_slots(together)))
        yield Point(label, "", None, "slots", w.shape[-1])


def _histogram(label: str, series: str, values: Tensor) -> Iterator[Point]:
    counts, edges = torch.histogram(values.flatten().float(), BINS)
    centres = (edges[1:] + edges[:-1]) / 2
    for x, share in zip(centres.tolist(), (counts / counts.sum()).tolist(), strict=True):
        yield Point(label, series, x, "share", share)
