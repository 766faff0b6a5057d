r"""What a memory says about a pair: how well it predicts it, how much it would learn from it.

A pair has an address w and a code z, :math:`z \mid w, M \sim \mathcal N(w^T M, \sigma^2 I_C)`.
With :math:`s = w^T U w` and :math:`v = s + \sigma^2`,

.. math::
    \ln p(z \mid w) = -\tfrac12 \left[ |z - w^T R|^2 / v + C \ln 2 \pi v \right]

    \mathrm{KL}(q(M \mid w, z) \,\|\, q(M)) = \tfrac12 \left[ C \left( \ln \tfrac{v}{\sigma^2}
        - \tfrac{s}{v} \right) + \tfrac{s}{v^2} |z - w^T R|^2 \right]

A pair that the memory holds is scored as if it had been left out: with its weight :math:`\omega`
in the memory and :math:`h = \omega s / \sigma^2`, both the residual and s are divided by
:math:`1 - h` (the leave-one-out identity of weighted ridge regression).

Axes: ``N`` pairs, ``K`` slots, ``C`` code width; memories may have further axes in front.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from km_rl.core.memory import Memory

LOG_2PI = math.log(2 * math.pi)
LEAST_KEPT = 1e-3
"""Least 1 - h: a pair of which float32 keeps no more was known through itself alone."""
EXPERT, POLICY, BOTH = 0, 1, 2
"""Places in a stack of memories; the third is the first two merged."""


class Evidence(NamedTuple):
    """What a memory, or a stack of them, says about N pairs.

    Attributes:
        read: the code that the memory expects, with shape (*, N, C).
        residual: the code less what was expected, with shape (*, N, C).
        log_var: ln v, the predictive variance of each entry of the code, with shape (*, N).
        distance: the squared Mahalanobis distance of the code, with shape (*, N).
        log_prob: ln p(z|w), in nats, with shape (*, N).
        gain: nats that the memory would learn by writing the pair, with shape (*, N).
    """

    read: Tensor
    residual: Tensor
    log_var: Tensor
    distance: Tensor
    log_prob: Tensor
    gain: Tensor


def consult(
    memory: Memory, w: Tensor, z: Tensor, noise_var: Tensor, held: Tensor | None = None
) -> Evidence:
    """What ``memory`` says about pairs, each as if it had never been written.

    Args:
        memory: moments with shapes (*, K, C) and (*, K, K).
        w: addresses with shape (N, K).
        z: codes with shape (N, C), or (*, N, C) where each memory has its own.
        noise_var: sigma^2.
        held: the weight with which each pair is in each memory, with shape (*, N); 0 where it is
            not. None: no pair is.
    """
    read, var = memory.read(w, noise_var)
    residual, doubt = z - read, (var - noise_var).clamp(min=0)
    if held is not None:
        kept = (1 - held * doubt / noise_var).clamp(min=LEAST_KEPT)
        residual, doubt = residual / kept[..., None], doubt / kept
        read, var = z - residual, doubt + noise_var
    C, log_var, share = z.shape[-1], var.log(), doubt / var
    distance = residual.square().sum(-1) / var
    return Evidence(
        read,
        residual,
        log_var,
        distance,
        log_prob=-0.5 * (distance + C * (LOG_2PI + log_var)),
        gain=0.5 * (C * (log_var - noise_var.log() - share) + share * distance),
    )
