"""The trained prior of the memory: R_0, U_0 and the noise of the codes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from km_rl.core.diagonal import DiagonalMemory
from km_rl.core.memory import Memory
from km_rl.nn.precision import full_precision


class MemoryPrior(nn.Module):
    r"""p(M) = MN(R_0, U_0, I) with U_0 = L_0 L_0^T, L_0 lower with a positive diagonal.

    Args:
        slots: K.
        code: C.
        noise_var: sigma^2 of p(z|w, M); the paper has 1.
        learn_noise: train sigma^2 too.
        initial_std: the std of every entry of M at the start of training.
        learn_mean: train R_0; it stays 0 otherwise.
        diagonal_covariance: U_0 and every U written from it are diagonal.
    """

    def __init__(
        self,
        slots: int,
        code: int,
        noise_var: float = 1.0,
        learn_noise: bool = False,
        initial_std: float = 1.0,
        learn_mean: bool = True,
        diagonal_covariance: bool = False,
    ) -> None:
        super().__init__()
        self.full = not diagonal_covariance
        self.mean = nn.Parameter(torch.zeros(slots, code), requires_grad=learn_mean)
        self.below = nn.Parameter(torch.zeros(slots, slots), requires_grad=self.full)
        std = torch.tensor(initial_std)
        start = std if std > 20 else std.expm1().log()  # softplus, which is linear from 20 on
        self.diagonal = nn.Parameter(start.expand(slots).clone())
        self.log_noise_var = nn.Parameter(torch.tensor(noise_var).log(), requires_grad=learn_noise)

    @property
    def noise_var(self) -> Float[Tensor, ""]:
        """sigma^2: the variance of a code around its read-out."""
        return self.log_noise_var.exp()

    def forward(self) -> Memory:
        """The prior, with shapes (K, C) and (K, K)."""
        stds = softplus(self.diagonal) + 1e-4
        if not self.full:
            return DiagonalMemory(self.mean, torch.diag_embed(stds.square()))
        L = self.below.tril(-1) + torch.diag_embed(stds)
        with full_precision(L):
            return Memory(self.mean, L @ L.mT)
