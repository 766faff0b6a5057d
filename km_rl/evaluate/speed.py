"""How far writing and a training step are from their floor or rival, timed in the same run.

A time means little on another machine; its ratio to what ran beside it means more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor

from km_rl.core.memory import condition, condition_sequentially
from km_rl.evaluate.runs import MODELS, Model


class WriteSpeed(NamedTuple):
    """Seconds to write B episodes of T items, medians.

    Attributes:
        floor: the matrix products that eqs. 7-9 cannot do without.
        forward: `condition`.
        both: `condition` and its gradients.
        sequential: `condition_sequentially`, forward.
    """

    floor: float
    forward: float
    both: float
    sequential: float


def medians(repeats: int, *calls: Callable[[], object]) -> list[float]:
    """Median seconds of each call, the calls taken in turns so that all see the same machine."""
    times: list[list[float]] = [[] for _ in calls]
    for repeat in range(repeats + 3):
        for call, seconds in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            if repeat >= 3:
                seconds.append(time.perf_counter() - start)
    return [median(seconds) for seconds in times]


def products(B: int, T: int, K: int, C: int) -> Callable[[], None]:
    """The matrix products of one write, into memory allocated beforehand."""
    sizes = [(T, K, K), (T, K, T), (T, K, C), (T, T, K + C), (K, T, C), (K, T, K)]
    operands = [
        (torch.randn(B, m, k), torch.randn(B, k, n), torch.empty(B, m, n)) for m, k, n in sizes
    ]

    def run() -> None:
        for a, b, out in operands:
            torch.bmm(a, b, out=out)

    return run


def write_speed(B: int, T: int, K: int, C: int, repeats: int) -> WriteSpeed:
    """Time writes of this shape, their floor in turns with them."""
    R, U = torch.zeros(B, K, C), torch.eye(K).repeat(B, 1, 1)
    w, z = 0.3 * torch.randn(B, T, K), torch.randn(B, T, C)
    floor = products(B, T, K, C)
    with torch.no_grad():
        (sequential,) = medians(3, lambda: condition_sequentially(R, U, w, z, 1.0))
        least, forward = medians(repeats, floor, lambda: condition(R, U, w, z, 1.0))
    both, _ = medians(repeats, lambda: _with_gradients(R, U, w, z), floor)
    return WriteSpeed(least, forward, both, sequential)


def _with_gradients(*case: Tensor) -> None:
    R, U, w, z = (tensor.detach().requires_grad_() for tensor in case)
    written = condition(R, U, w, z, 1.0)
    torch.autograd.backward(written, [torch.ones_like(x) for x in written])


def step_speed(episodes: int, length: int, repeats: int, bf16: bool = False) -> dict[str, float]:
    """Median seconds of a training step at the paper's sizes on the same images, by kind of model.

    The steps of all models are taken in turns.
    """
    images = (torch.rand(episodes, length, 1, 28, 28) < 0.1).float()
    steps = (_stepper(model.build(), images, bf16) for model in MODELS.values())
    return dict(zip(MODELS, medians(repeats, *steps), strict=True))


def _stepper(model: Model, images: Tensor, bf16: bool) -> Callable[[], None]:
    """Forward, backward and Adam on the images."""
    optimiser = torch.optim.Adam(model.parameters(), fused=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(images).loss()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step
