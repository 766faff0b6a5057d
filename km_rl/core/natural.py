r"""The same posterior in natural form, where writing is addition.

.. math::
    \Lambda = U^{-1}, \quad \eta = U^{-1} R, \qquad
    \Lambda \leftarrow \Lambda + W^T W / \sigma^2, \quad \eta \leftarrow \eta + W^T Z / \sigma^2

Because the items only add, their order does not matter, memories of several workers merge exactly,
an item is forgotten exactly, and all leave-one-out scores cost one factor of a K x K matrix.
Statistics are kept in float64: in float32 they are useless after many writes at low-rank
addresses.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from km_rl.core.linalg import cholesky
from km_rl.core.memory import Memory
from km_rl.errors import InputError


class NaturalMemory(NamedTuple):
    """The posterior as sums over what was written, beside the prior it started from.

    Attributes:
        precision: Lambda, with shape (*B, K, K), float64.
        shift: eta, with shape (*B, K, C), float64.
        prior_precision: Lambda_0, the precision before anything was written.
        prior_shift: eta_0.
    """

    precision: Float[Tensor, "*B K K"]
    shift: Float[Tensor, "*B K C"]
    prior_precision: Float[Tensor, "*B K K"]
    prior_shift: Float[Tensor, "*B K C"]

    @classmethod
    def prior(cls, mean: Float[Tensor, "*B K C"], cov: Float[Tensor, "*B K K"]) -> NaturalMemory:
        """An empty memory with prior ``MN(mean, cov, I)``."""
        precision = torch.cholesky_inverse(cholesky(cov.double()))
        shift = precision @ mean.double()
        return cls(precision, shift, precision, shift)

    def write(
        self,
        w: Float[Tensor, "*B T K"],
        z: Float[Tensor, "*B T C"],
        noise_var: Float[Tensor, ""] | float,
        weight: Bool[Tensor, "*B T"] | Float[Tensor, "*B T"] | None = None,
    ) -> NaturalMemory:
        """Add items; an item of weight 2 counts as if written twice, one of weight 0 not at all.

        Args:
            noise_var: sigma^2, the variance of the codes around their read-out.
            weight: a weight or a mask for each item; all ones by default.
        """
        w, z = w.double(), z.double()
        weighted = w
        if weight is not None:
            w, z = (torch.where(weight[..., None] != 0, x, 0) for x in (w, z))
            weighted = w * weight[..., None]
        if isinstance(noise_var, Tensor):
            noise_var = noise_var.double()
        return self._replace(
            precision=self.precision + weighted.mT @ w / noise_var,
            shift=self.shift + weighted.mT @ z / noise_var,
        )

    def forget(
        self,
        w: Float[Tensor, "*B T K"],
        z: Float[Tensor, "*B T C"],
        noise_var: Float[Tensor, ""] | float,
    ) -> NaturalMemory:
        """Take items out again, exactly as if they had never been written.

        An item written before n calls of `decay` weighs less by now: give `write` the weight
        ``-(1 - rate)**n`` instead.
        """
        weight = torch.full(w.shape[:-1], -1.0, dtype=torch.float64, device=w.device)
        return self.write(w, z, noise_var, weight)

    def merge(self, *others: NaturalMemory) -> NaturalMemory:
        """The memory of everything written to this one or to any of the others (same prior)."""
        return self._replace(
            precision=self.precision + sum(m.precision - m.prior_precision for m in others),
            shift=self.shift + sum(m.shift - m.prior_shift for m in others),
        )

    def decay(self, rate: float) -> NaturalMemory:
        r"""Stabilised forgetting: :math:`\Lambda \leftarrow \rho \Lambda_0 + (1 - \rho) \Lambda`,
        and :math:`\eta` likewise.

        What was written n calls ago weighs :math:`(1 - \rho)^n`; the prior is never lost.

        Raises:
            InputError: a rate outside 0..1.
        """
        if not 0 <= rate <= 1:
            raise InputError(f"rate is {rate}: a number from 0 (keep) to 1 (forget) is expected.")
        return self._replace(
            precision=torch.lerp(self.precision, self.prior_precision, rate),
            shift=torch.lerp(self.shift, self.prior_shift, rate),
        )

    def all_reduce(self) -> NaturalMemory:
        """Merge with the memories of all processes of `torch.distributed` (same prior).

        Gradients do not flow through it.
        """
        written = torch.cat(
            [self.precision - self.prior_precision, self.shift - self.prior_shift], -1
        )
        torch.distributed.all_reduce(written)
        K = self.precision.shape[-1]
        return self._replace(
            precision=self.prior_precision + written[..., :K],
            shift=self.prior_shift + written[..., K:],
        )

    def leave_one_out(
        self,
        w: Float[Tensor, "*B T K"],
        z: Float[Tensor, "*B T C"],
        noise_var: Float[Tensor, ""] | float,
    ) -> tuple[Float[Tensor, "*B T C"], Float[Tensor, "*B T"]]:
        r"""Score items that are in the memory as if each had never been written.

        With :math:`h = w^T U w / \sigma^2` (U after the write), the residual is
        :math:`(z - w^T R) / (1 - h)` and the predictive variance :math:`\sigma^2 / (1 - h)`: the
        leave-one-out identity of ridge regression (the prior's mean included). It holds for items
        that were written once, with weight 1 and this noise variance. Where addresses are long
        beside the noise h is nearly 1, so all of it is in float64.

        Returns:
            Residuals with shape (*B, T, C) and predictive variances with shape (*B, T), float64.
        """
        w, z = w.double(), z.double()
        mean, var = self.moments().read(w, noise_var)
        kept = 1 - (var - noise_var) / noise_var
        return (z - mean) / kept[..., None], noise_var / kept

    def moments(self) -> Memory:
        r"""Back to :math:`U = \Lambda^{-1}`, :math:`R = U \eta`, in float64: one K x K factor."""
        L = cholesky(self.precision)
        return Memory(torch.cholesky_solve(self.shift, L), torch.cholesky_inverse(L))
