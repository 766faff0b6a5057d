r"""The memory with a restricted covariance: slots that are independent of one another.

After each item the posterior p of eqs. 7-9 is replaced by the q with a diagonal U that is closest
to it in KL(p || q), which has the same mean and the same variances:

.. math::
    \sigma_z^2 = \sum_k w_k^2 u_k + \sigma^2, \qquad g_k = w_k u_k / \sigma_z^2

    R \leftarrow R + g \, (z - w^T R), \qquad u_k \leftarrow u_k - g_k w_k u_k

Slots cannot agree then on who holds what, and the order of an episode matters. It is there to be
compared with the full one.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from km_rl.core.memory import Memory
from km_rl.nn.precision import full_precision


class DiagonalMemory(Memory):
    """A `Memory` whose ``cov`` is diagonal and stays so when it is written."""

    __slots__ = ()

    def write(
        self,
        w: Float[Tensor, "*#B T K"],
        z: Float[Tensor, "*#B T C"],
        noise_var: Float[Tensor, ""] | float,
        mask: Bool[Tensor, "*#B T"] | None = None,
    ) -> DiagonalMemory:
        """Condition on the items (w, z) in their order; see `condition_diagonally`."""
        if mask is not None:
            w, z = (torch.where(mask[..., None], x, 0) for x in (w, z))
        u = self.cov.diagonal(dim1=-2, dim2=-1)
        R, u = condition_diagonally(self.mean, u, w, z, noise_var)
        return DiagonalMemory(R, torch.diag_embed(u))


def condition_diagonally(
    R: Float[Tensor, "*#B K C"],
    u: Float[Tensor, "*#B K"],
    w: Float[Tensor, "*#B T K"],
    z: Float[Tensor, "*#B T C"],
    noise_var: Float[Tensor, ""] | float,
) -> tuple[Float[Tensor, "... K C"], Float[Tensor, "... K"]]:
    """The mean R and the variances u after the items, one at a time; in float64 within."""
    dtype = R.dtype
    with full_precision(R):
        R, u, w, z = (x.double() for x in (R, u, w, z))
        batch = torch.broadcast_shapes(R.shape[:-2], w.shape[:-2])
        R, u = R.expand(*batch, -1, -1), u.expand(*batch, -1)
        for w_t, z_t in zip(w.unbind(-2), z.unbind(-2), strict=True):
            cov_c = w_t * u
            var_z = (cov_c * w_t).sum(-1, keepdim=True) + noise_var
            gain = cov_c / var_z
            delta = z_t[..., None, :] - w_t[..., None, :] @ R
            R, u = R + gain[..., None] * delta, u - gain * cov_c
    return R.to(dtype), u.to(dtype)
