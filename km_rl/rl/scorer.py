"""The logits of a few pairs at a time, fast: one call for every step of a rollout.

For eight rows torch spends its time on calls, not on arithmetic, so this is the same computation
in numpy, for memories and weights that stay as they are. Its readable twin, and its oracle, is
`Discriminator.logits_expert_is_high` in evaluation mode.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from torch import Tensor, nn

from km_rl.core.memory import Memory
from km_rl.rl.channel import Channel, LearnedAddress, RandomAddress
from km_rl.rl.evidence import BOTH, EXPERT, LOG_2PI, POLICY
from km_rl.rl.heads import SURE, LeastSquares, Ratio

if TYPE_CHECKING:
    from km_rl.rl.discriminator import Discriminator
    from km_rl.rl.meta import MetaDiscriminator

Array = np.ndarray[Any, np.dtype[Any]]
Function = Callable[[Array], Array]
FEW = 64
"""Rows up to which numpy is faster than torch."""


class Scorer:
    """What a discriminator says now, whatever becomes of it."""

    def __init__(self, net: Discriminator | MetaDiscriminator) -> None:
        memories = net.written().memories
        self.mean = _array(net.stats.mean)
        self.scale = _array((net.stats.var + net.stats.EPS).rsqrt())
        self.limit, self.bound = net.stats.LIMIT, net.options.bound
        self.weigh = _head(net.head)
        reader: type[_Labels | _Codes] = _Labels if net.labelled else _Codes
        self.channels = [
            reader(cast(Channel, channel), memory, float(noise_var))
            for channel, memory, noise_var in zip(
                net.channels, memories, net.noise_var, strict=True
            )
        ]

    def __call__(self, rows: Array) -> Array:
        """Pairs (N, D) in float32 -> logits (N,), high for the expert."""
        x = ((rows - self.mean) * self.scale).clip(-self.limit, self.limit)
        logit = self.weigh([channel(x) for channel in self.channels])
        return self.bound * np.tanh(logit / self.bound)


class _Reader:
    """The address of a pair in a channel, and what the memories there are."""

    def __init__(self, channel: Channel, memory: Memory, noise_var: float) -> None:
        self.mode, self.state = channel.mode, channel.state
        self.mean, self.cov, self.noise_var = *map(_array, memory), noise_var
        self.address = _address(channel.address)

    def where(self, x: Array) -> Array:
        """Normalised pairs (N, D) -> addresses (N, K)."""
        return self.address(x[:, : self.state] if self.mode == "h" else x)


class _Labels(_Reader):
    """The label that both memories, merged, predict."""

    def __call__(self, x: Array) -> Array:
        """Normalised pairs (N, D) -> labels (N,)."""
        return (self.where(x) @ self.mean[BOTH])[:, 0]


class _Codes(_Reader):
    """The log ratio of codes, and the statistics for the correction."""

    def __init__(self, channel: Channel, memory: Memory, noise_var: float) -> None:
        super().__init__(channel, memory, noise_var)
        self.code = _perceptron(channel.code) if channel.features == "learned" else None

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Normalised pairs (N, D) -> nats per entry of the code (N,), statistics (N, 2 (2C+4))."""
        w = self.where(x)
        if self.code is not None:
            z = np.tanh(self.code(x))
        else:
            z = x[:, self.state :] if self.mode == "h" else x
        residual, doubt = z - w @ self.mean, ((w @ self.cov) * w).sum(-1).clip(0)
        C, var = z.shape[-1], doubt + self.noise_var
        log_var, share = np.log(var), doubt / var
        distance = np.square(residual).sum(-1) / var
        log_prob = -0.5 * (distance / C + LOG_2PI + log_var)
        gain = 0.5 * (log_var - math.log(self.noise_var) - share + share * distance / C)
        scalars = np.stack([log_var, np.log1p(distance), log_prob, gain], -1)
        told = np.concatenate([z - residual, residual, scalars], -1)
        return log_prob[EXPERT] - log_prob[POLICY], np.concatenate(told, -1)


def _head(head: LeastSquares | Ratio) -> Callable[[list[Any]], Array]:
    return _least_squares(head) if isinstance(head, LeastSquares) else _ratio(head)


def _least_squares(head: LeastSquares) -> Callable[[list[Array]], Array]:
    bias = float(head.bias)
    return lambda labels: 2 * np.arctanh(np.mean(labels, 0).clip(-SURE, SURE)) + bias


def _ratio(head: Ratio) -> Callable[[list[tuple[Array, Array]]], Array]:
    temperature, bias = _array(head.temperature), float(head.bias)
    correction = None if head.correction is None else _perceptron(head.correction)

    def weigh(said: list[tuple[Array, Array]]) -> Array:
        logit = np.stack([ratio for ratio, _ in said], -1) @ temperature + bias
        if correction is not None:
            logit = logit + correction(np.concatenate([told for _, told in said], -1))[:, 0]
        return logit

    return weigh


def _address(module: nn.Module) -> Function:
    if isinstance(module, RandomAddress):
        frequency, phase = _array(module.frequency), _array(module.phase)
        third = np.float32(3**-0.5)
        length, scale = third * (2 / len(phase)) ** 0.5, third * len(frequency) ** -0.5
        return lambda x: np.concatenate(
            [
                np.float32(length) * np.cos(x @ frequency + phase),
                np.float32(scale) * x,
                np.full_like(x[:, :1], third),
            ],
            -1,
        )
    assert isinstance(module, LearnedAddress)
    net = _perceptron(module.net)
    return lambda x: _unit(net(x))


def _unit(x: Array) -> Array:
    return x / np.maximum(np.sqrt(np.square(x).sum(-1, keepdims=True)), 1e-12)


def _perceptron(net: nn.Sequential) -> Function:
    """The `km_rl.nn.mlp.mlp` in numpy."""
    first, _, last = net
    W1, b1, W2, b2 = (_array(p) for layer in (first, last) for p in layer.parameters())
    W1, W2 = W1.T, W2.T
    return lambda x: np.maximum(x @ W1 + b1, 0) @ W2 + b2


def _array(x: Tensor | nn.Module) -> Array:
    assert isinstance(x, Tensor)
    return x.detach().cpu().numpy().copy()
