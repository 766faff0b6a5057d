r"""The importance-weighted bound (Burda et al. 2016), given the memory.

An episode is written once. For each of its images k draws of (y, z) share that memory:

.. math::
    L_k = -\mathbb E \ln \frac1k \sum_{i=1}^k v_i, \qquad
    v_i = \frac{p(y_i)\, p(z_i|y_i, M)\, p(x|z_i)}{q(y_i|x)\, q(z_i|x, y_i, M)}

As :math:`\mathbb E v_i = p(x|M)`, every L_k is at least -ln p(x|M), averaged over the memories
that writing gives. L_1 is the paper's bound, L_k does not rise with k, and for large k what is
left is what the memory explains, not what inference wastes.

M itself is drawn once and is not weighted: a weight of M would be shared by the T images of an
episode. So with M ~ q(M|X) the sum L_k + KL(q(M|X)||p(M))/T bounds -ln p(X)/T for every k, and at
the mean of M only the conditional reading holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from km_rl.data.episodes import Binarisation, Images, all_episodes
from km_rl.errors import InputError
from km_rl.evaluate.bound import first, undisturbed
from km_rl.evaluate.runs import Model

COUNTS = (1, 10, 100)
"""k. Each divides the last, so that all are estimated from the same draws."""


def importance_bound(
    model: Model,
    test: Images,
    *,
    episode_length: int,
    classes: int | None = None,
    binarisation: Binarisation = "dynamic",
    seed: int = 0,
    sample_memory: bool = False,
    limit: int | None = None,
    counts: Sequence[int] = COUNTS,
    batch: int = 4,
) -> dict[int, float]:
    """L_k for each k of ``counts``, the mean over a test set in nats per image.

    The other arguments are those of `km_rl.evaluate.bound.bound`.

    Raises:
        InputError: as `bound`, or a count that does not divide the largest.
    """
    most = max(counts, default=0)
    if most < 1 or any(k < 1 or most % k for k in counts):
        raise InputError(
            f"Counts of {tuple(counts)} were given: give whole numbers of at least 1 that divide "
            f"the largest."
        )
    test = test if limit is None else first(test, limit, seed)
    drawn = all_episodes(
        test, episode_length, seed=seed, binarisation=binarisation, classes=classes, batch=batch
    )
    found: dict[int, list[Tensor]] = {k: [] for k in counts}
    with undisturbed(model, seed) as device:
        for images in drawn:
            weights = model.log_weights(images.to(device), most, sample_memory)
            for k, nats in found.items():
                nats.append(nats_of(weights, k).flatten().double().cpu())
    return {k: float(torch.cat(nats).mean()) for k, nats in found.items()}


def nats_of(log_weights: Tensor, k: int) -> Tensor:
    """-ln of the mean of k weights, averaged over the groups of k among all: (n, ...) to (...)."""
    grouped = log_weights.unflatten(0, (-1, k))
    return (math.log(k) - grouped.logsumexp(1)).mean(0)


def named(at_mean: Mapping[int, float], drawn: Mapping[int, float] | None) -> dict[str, float]:
    """The bounds under the names of the results tables; ``drawn`` is with a draw of M."""
    names = {f"bound_iw{k}_nats": nats for k, nats in at_mean.items()}
    return names | {f"bound_iw{k}_sampled_memory_nats": v for k, v in (drawn or {}).items()}
