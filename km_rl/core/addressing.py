"""Where to write and read: a learned address, or the one that fits the memory best.

The Kanerva Machine learns it (Wu et al. 2018a, section 3.1): key b = f(y), weights w = A b. Its
dynamic successor solves for it (Wu et al. 2018b): w is a ridge regression of the code on M.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from km_rl.core.linalg import cholesky
from km_rl.nn.mlp import mlp
from km_rl.nn.precision import at_least_single, full_precision

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
        look_at_few(self.key, min(START_DIMS, key))

    def forward(self, y: Float[Tensor, "*B S"]) -> Float[Tensor, "*B K"]:
        """w = A b with b = f(y), the rows of A scaled to length 1."""
        with full_precision(y):
            A = normalize(self.addresses, dim=-1)
            return self.key(at_least_single(y)) @ A.mT


@torch.no_grad()
def look_at_few(net: nn.Sequential, dims: int) -> None:
    """Let an `mlp` start to look at its first inputs only, with kinks all over their range."""
    first: nn.Linear = net[0]  # type: ignore[assignment]
    first.weight[:, :dims] *= (first.in_features / dims) ** 0.5
    first.weight[:, dims:] *= 0.02
    nn.init.normal_(first.bias)


def least_squares_address(
    M: Float[Tensor, "*#B K C"],
    z: Float[Tensor, "*#B T C"],
    noise_var: Float[Tensor, ""] | float,
) -> Float[Tensor, "... T K"]:
    r"""The most likely address of each code under w ~ N(0, I_K) and z ~ N(w M, sigma^2 I_C).

    .. math::
        w = \arg\min_w \tfrac{1}{\sigma^2} |z - w M|^2 + |w|^2
          = z M^T (M M^T + \sigma^2 I_K)^{-1} = z (M^T M + \sigma^2 I_C)^{-1} M^T

    The second form is solved where there are more slots than columns: the smaller side is
    factored, and either is well conditioned by the ridge.

    Raises:
        NotPositiveDefiniteError: the factored side holds NaN.
    """
    K, C = M.shape[-2:]
    with full_precision(M):
        side = M @ M.mT if K <= C else M.mT @ M
        L = cholesky(side + noise_var * torch.eye(min(K, C), dtype=M.dtype, device=M.device))
        if K <= C:
            return _solved(L, z.to(M.dtype) @ M.mT)
        return _solved(L, z.to(M.dtype)) @ M.mT


def _solved(L: Tensor, rows: Tensor) -> Tensor:
    """rows (L L^T)^-1, by two triangular solves, which a CUDA graph can hold."""
    half = torch.linalg.solve_triangular(L, rows.mT, upper=False)
    return torch.linalg.solve_triangular(L.mT, half, upper=True).mT
