r"""The importance-weighted bound (Burda et al. 2016), given the memory.

An episode is written once. For each of its images k draws of (y, z) share that memory:

.. math::
    L_k = -\mathbb E \ln \frac1k \sum_{i=1}^k v_i, \qquad
    v_i = \frac{p(y_i)\, p(z_i|y_i, M)\, p(x|z_i)}{q(y_i|x)\, q(z_i|x, y_i, M)}

As :math:`\mathbb E v_i = p(x|M)`, every L_k is at least -ln p(x|M), averaged over the memories
that writing gives. L_1 is the paper's bound, L_k does not rise with k, and as k goes to
infinity what is left is what the memory explains, not what inference wastes.

M itself is drawn once and is not weighted: a weight of M would be shared by the T images of an
episode. So with M ~ q(M|X) the sum L_k + KL(q(M|X)||p(M))/T bounds -ln p(X)/T for every k, and at
the mean of M only the conditional reading holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from km_rl.data import Images
from km_rl.errors import InputError
from km_rl.evaluate.bound import undisturbed
from km_rl.evaluate.exhibit import Exhibit, Point, plotted, random_episodes
from km_rl.evaluate.runs import Run

COUNTS = (1, 10, 100)
"""k. Each divides the last, so that all are estimated from the same draws."""
AT_ONCE = 128
"""Images weighted at once."""


def importance(runs: Sequence[Run], test: Images, seed: int, images: int) -> Exhibit:
    """L_k against k, the memory at its mean and drawn."""
    points = [point for run in runs for point in _importance(run, test, seed, images)]
    return Exhibit(
        "importance",
        "The importance-weighted bound",
        "Look for curves that fall: inference wastes at least so much. They cannot rise; one that "
        "is flat does not say that nothing is wasted, for where q is too narrow a hundred draws "
        "miss what it leaves out. Nats per image against the draws k of address and code "
        f"that share one memory; the memory itself is not weighted. They are of about {images} "
        f"test images: compare them with each other, not with the table.",
        plotted(points, {"bound_nats": ""}, "k", log=True),
        points=points,
    )


def _importance(run: Run, test: Images, seed: int, images: int) -> Iterator[Point]:
    found = {"M at its mean": ("", importance_bound(run, test, seed, images, False, COUNTS))}
    if run.episodic is not None and run.prices_memory:
        drawn = importance_bound(run, test, seed, images, True, COUNTS)
        kl = kl_memory(run, test, seed, images)
        full = {k: nats + kl for k, nats in drawn.items()}
        found["M drawn"] = ("_sampled_memory", drawn)
        found["M drawn, with KL(M)/T"] = ("_with_kl_memory", full)
    for series, (name, bounds) in found.items():
        for k, nats in bounds.items():
            yield Point(run.label, series, k, "bound_nats", nats)
            yield Point(run.label, "", None, f"bound_iw{k}{name}_nats", nats)


def kl_memory(run: Run, test: Images, seed: int, images: int) -> float:
    """KL(q(M|X)||p(M))/T on the episodes of `importance_bound`, in nats per image."""
    with undisturbed(run.model, seed) as device:
        drawn = _episodes(run, test, seed, images)
        rates = [run.model(batch.to(device)).rate_memory.flatten() for batch in drawn]
    return float(torch.cat(rates).double().mean())


def _episodes(run: Run, test: Images, seed: int, images: int) -> Iterator[Tensor]:
    classes = run.conditions.classes
    return random_episodes(run, test, images, seed=seed, classes=classes, at_once=AT_ONCE)


def importance_bound(
    run: Run,
    test: Images,
    seed: int,
    images: int,
    sample_memory: bool = False,
    counts: Sequence[int] = COUNTS,
) -> dict[int, float]:
    """L_k for each k of ``counts``, the mean over random test episodes in nats per image.

    Raises:
        InputError: a count that does not divide the largest.
    """
    most = max(counts, default=0)
    if most < 1 or any(k < 1 or most % k for k in counts):
        raise InputError(
            f"Counts of {tuple(counts)} were given: give whole numbers of at least 1 that divide "
            f"the largest."
        )
    found: dict[int, list[Tensor]] = {k: [] for k in counts}
    with undisturbed(run.model, seed) as device:
        for batch in _episodes(run, test, seed, images):
            weights = run.model.log_weights(batch.to(device), most, sample_memory)
            for k, nats in found.items():
                nats.append(nats_of(weights, k).flatten().double().cpu())
    return {k: float(torch.cat(nats).mean()) for k, nats in found.items()}


def nats_of(log_weights: Tensor, k: int) -> Tensor:
    """-ln of the mean of k weights, averaged over the groups of k among all: (n, ...) to (...)."""
    grouped = log_weights.unflatten(0, (-1, k))
    return (math.log(k) - grouped.logsumexp(1)).mean(0)
