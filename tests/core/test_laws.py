"""Every way to write a memory obeys the laws of writing."""

from __future__ import annotations

from functools import partial

import pytest
from laws import Write, WriteLaws
from oracles import brute_force
from torch import Tensor

from km_rl.core.memory import condition, condition_sequentially
from km_rl.core.natural import NaturalMemory


def natural(
    R: Tensor, U: Tensor, w: Tensor, z: Tensor, noise_var: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    memory = NaturalMemory.prior(R, U).write(w, z, noise_var, mask).moments()
    return memory.mean, memory.cov


WRITERS: dict[str, Write] = {
    "block": condition,
    "blocks-of-3": partial(condition, chunk=3),
    "blocks-of-1": partial(condition, chunk=1),
    "sequential": condition_sequentially,
    "natural": natural,
    "brute-force": brute_force,
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
class TestWriting(WriteLaws):
    """One suite over all of them, the oracle included."""
