"""The learned address (Wu et al. 2018, section 3.1): key b = f(y), weights w = A b."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from km_rl.core.linalg import full_precision
from km_rl.nn.mlp import mlp

START_DIMS = 4
"""Entries of y that say something when training starts, the others being N(0, 1) noise."""

START_STD = 0.03
"""Their posterior std then. Few and sharp entries tell 32 images apart for about 15 nats; if all S
start equal and vague, KL(y) falls to zero before the memory is of any use."""


class Addressing(nn.Module):
    """From an address variable y to a weight for every slot. There is no softmax.

    Args:
        slots: K, the rows of A.
        key: S, the width of y, of the key b and of A.
    """

    def __init__(self, slots: int, key: int) -> None:
        super().__init__()
        self.key = mlp(key, key, key)
        self.addresses = nn.Parameter(torch.randn(slots, key))
        self._start(min(START_DIMS, key), key)

    def forward(self, y: Float[Tensor, "*B S"]) -> Float[Tensor, "*B K"]:
        """w = A b with b = f(y), the rows of A scaled to length 1."""
        with full_precision(y):
            A = normalize(self.addresses, dim=-1)
            return self.key(y.float()) @ A.mT

    @torch.no_grad()
    def _start(self, dims: int, key: int) -> None:
        """Let f look at the first entries of y only, with kinks all over their range."""
        first: nn.Linear = self.key[0]  # type: ignore[assignment]
        first.weight[:, :dims] *= (key / dims) ** 0.5
        first.weight[:, dims:] *= 0.02
        nn.init.normal_(first.bias)
