r"""The memory: a matrix-normal posterior, written by Bayes' rule (Wu et al. 2018, section 3).

.. math::
    p(M) = \mathcal{MN}(R, U, I_C), \qquad z_t = w_t^T M + \epsilon_t, \quad
    \epsilon_t \sim \mathcal N(0, \sigma^2 I_C)

Writing T items at addresses :math:`W` with codes :math:`Z` is conditioning on them, eqs. 7-9:

.. math::
    \Delta = Z - W R, \quad \Sigma_c = W U, \quad \Sigma_z = W U W^T + \sigma^2 I_T

    R \leftarrow R + \Sigma_c^T \Sigma_z^{-1} \Delta, \qquad
    U \leftarrow U - \Sigma_c^T \Sigma_z^{-1} \Sigma_c

Axes: ``B`` memories in a batch, ``T`` items in an episode, ``K`` slots, ``C`` code width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from km_rl.core.linalg import cholesky, log_det
from km_rl.nn.precision import full_precision

CHUNK = 128
"""Items conditioned on at once: a longer episode is written in turns, which is the same thing."""


class Memory(NamedTuple):
    """The posterior ``MN(mean, cov, I)`` over a K x C memory matrix, for each episode of a batch.

    Attributes:
        mean: R, with shape (*B, K, C).
        cov: U, the covariance of the slots, shared by the C columns, with shape (*B, K, K).
    """

    mean: Float[Tensor, "*B K C"]
    cov: Float[Tensor, "*B K K"]

    def write(
        self,
        w: Float[Tensor, "*#B T K"],
        z: Float[Tensor, "*#B T C"],
        noise_var: Float[Tensor, ""] | float,
        mask: Bool[Tensor, "*#B T"] | None = None,
    ) -> Memory:
        """Condition on the items (w, z); see `condition`."""
        return Memory(*condition(self.mean, self.cov, w, z, noise_var, mask))

    def read(
        self, w: Float[Tensor, "*#B T K"], noise_var: Float[Tensor, ""] | float
    ) -> tuple[Float[Tensor, "... T C"], Float[Tensor, "... T"]]:
        r"""p(z|w) with M integrated out: mean :math:`w^T R`, variance :math:`w^T U w + \sigma^2`.

        The variance is the same for each of the C entries of a code.
        """
        with full_precision(self.mean):
            w = w.to(self.mean.dtype)
            return w @ self.mean, ((w @ self.cov) * w).sum(-1) + noise_var

    def sample(self, generator: torch.Generator | None = None) -> Float[Tensor, "*B K C"]:
        r"""One draw of M: :math:`R + L \epsilon` with :math:`L L^T = U`."""
        noise = torch.randn(
            self.mean.shape, generator=generator, dtype=self.mean.dtype, device=self.mean.device
        )
        with full_precision(noise):
            return self.mean + cholesky(self.cov) @ noise

    def kl(self, prior: Memory) -> Float[Tensor, "*B"]:
        r"""KL(self || prior) in nats, exactly: the sum over the C columns, which share U.

        .. math:: \tfrac12 \left[ C\,\mathrm{tr}(U_0^{-1} U) + \mathrm{tr}((R - R_0)^T U_0^{-1}
            (R - R_0)) - K C + C (\ln\det U_0 - \ln\det U) \right]
        """
        K, C = self.mean.shape[-2:]
        L, L0 = cholesky(self.cov), cholesky(prior.cov)
        trace = _norm2(torch.linalg.solve_triangular(L0, L, upper=False))
        maha = _norm2(torch.linalg.solve_triangular(L0, self.mean - prior.mean, upper=False))
        return 0.5 * (C * trace + maha - K * C + C * (log_det(L0) - log_det(L)))


def condition(
    R: Float[Tensor, "*#B K C"],
    U: Float[Tensor, "*#B K K"],
    w: Float[Tensor, "*#B T K"],
    z: Float[Tensor, "*#B T C"],
    noise_var: Float[Tensor, ""] | float,
    mask: Bool[Tensor, "*#B T"] | None = None,
    chunk: int = CHUNK,
) -> tuple[Float[Tensor, "... K C"], Float[Tensor, "... K K"]]:
    r"""Eqs. 7-9: the posterior (R, U) after the items (w, z), whatever their order.

    With :math:`L L^T = \Sigma_z`, :math:`X = L^{-1} W U` and :math:`D = L^{-1} (Z - W R)` the
    update is :math:`R + X^T D` and :math:`U - X^T X`: U stays symmetric by construction, and only
    a T x T factor is ever taken and inverted. D and X are computed in float64, whatever comes in:
    machines learn addresses of length 20 and more and codes of 20 times their noise, of which
    float32 loses a quarter of a standard deviation in 64 items. What is given back has the dtype
    of R; give long streams a float64 R and U, or a `NaturalMemory`.

    Args:
        R, U: what is known; one prior of shape (K, C), (K, K) serves all episodes of a batch.
        noise_var: :math:`\sigma^2`, the variance of the codes around their read-out.
        mask: items to write; the others change nothing. All, by default.
        chunk: at most this many items are conditioned on at once.

    Raises:
        NotPositiveDefiniteError: the T x T covariance could not be factored.
    """
    dtype = R.dtype
    with full_precision(R):
        w, z = w.double(), z.double()
        if w.shape[-2] > chunk:  # nothing is rounded between two chunks
            R, U = R.double(), U.double()
        if mask is not None:
            w, z = (torch.where(mask[..., None], x, 0) for x in (w, z))
        for w_t, z_t in zip(w.split(chunk, -2), z.split(chunk, -2), strict=True):
            R, U = _condition_block(R, U, w_t, z_t, noise_var)
    return R.to(dtype), U.to(dtype)


def _condition_block(
    R: Tensor, U: Tensor, W: Tensor, Z: Tensor, noise_var: Tensor | float
) -> tuple[Tensor, Tensor]:
    WU = W @ U.double()
    # The inverse of a factor this small, then products: twice as fast as solving for D and X.
    _, L_inv = _factor(WU, W, noise_var)
    D, X = L_inv @ (Z - W @ R.double()), L_inv @ WU
    D, X = D.to(R.dtype), X.to(R.dtype)
    return R + X.mT @ D, U - X.mT @ X


def sample_written(
    prior: Memory,
    w: Float[Tensor, "*#B T K"],
    z: Float[Tensor, "*#B T C"],
    noise_var: Float[Tensor, ""] | float,
) -> Float[Tensor, "... K C"]:
    r"""One draw of M ~ q(M|X), without factoring the posterior's U (Matheron's rule).

    A draw of the prior, conditioned on codes with noise added, is a draw of the posterior.
    """
    batch = torch.broadcast_shapes(w.shape[:-2], z.shape[:-2], prior.mean.shape[:-2])
    M = Memory(*(x.expand(*batch, *x.shape[-2:]) for x in prior)).sample()
    noise = torch.as_tensor(noise_var, dtype=M.dtype).sqrt() * torch.randn_like(z, dtype=M.dtype)
    return condition(M, prior.cov, w, z + noise, noise_var)[0]


def kl_written(
    prior: Memory,
    w: Float[Tensor, "*#B T K"],
    z: Float[Tensor, "*#B T C"],
    noise_var: Float[Tensor, ""] | float,
) -> Tensor:
    r"""KL(q(M|X) || p(M)) in nats, from the T x T side: `Memory.kl` of what `condition` returns.

    No K x K factor is taken, and the small ones are taken in float64: episodes written at nearly
    dependent addresses leave a covariance whose determinant float32 cannot tell. With
    :math:`L L^T = \Sigma_z` and :math:`D = L^{-1} \Delta`,

    .. math:: \tfrac12 \left[ C (\ln\det \Sigma_z - T \ln \sigma^2 - T
        + \sigma^2 |L^{-1}|^2) + |D|^2 - \sigma^2 |L^{-T} D|^2 \right]
    """
    T, C = z.shape[-2:]
    with full_precision(w):
        R, U, w, z = (x.double() for x in (*prior, w, z))
        noise_var = torch.as_tensor(noise_var, dtype=R.dtype, device=R.device)
        L, L_inv = _factor(w @ U, w, noise_var)
        D = L_inv @ (z - w @ R)
        volume = log_det(L) - T * noise_var.log() - T + noise_var * _norm2(L_inv)
        kl = 0.5 * (C * volume + _norm2(D) - noise_var * _norm2(L_inv.mT @ D))
    return kl.to(prior.mean.dtype)


def _factor(WU: Tensor, W: Tensor, noise_var: Tensor | float) -> tuple[Tensor, Tensor]:
    r"""The lower factor of :math:`\Sigma_z = W U W^T + \sigma^2 I_T` and its inverse."""
    eye = torch.eye(W.shape[-2], dtype=W.dtype, device=W.device)
    L = cholesky(WU @ W.mT + noise_var * eye)
    return L, torch.linalg.solve_triangular(L, eye, upper=False)


def _norm2(A: Tensor) -> Tensor:
    """Squared Frobenius norm of each matrix."""
    return A.square().sum((-2, -1))


def condition_sequentially(
    R: Float[Tensor, "*#B K C"],
    U: Float[Tensor, "*#B K K"],
    w: Float[Tensor, "*#B T K"],
    z: Float[Tensor, "*#B T C"],
    noise_var: Float[Tensor, ""] | float,
    mask: Bool[Tensor, "*#B T"] | None = None,
) -> tuple[Float[Tensor, "... K C"], Float[Tensor, "... K K"]]:
    """The paper's on-line form, one item at a time: `condition`'s slow and readable twin."""
    for t in range(w.shape[-2]):
        w_t, z_t = w[..., t, None, :], z[..., t, None, :]
        if mask is not None:
            w_t, z_t = (torch.where(mask[..., t, None, None], x, 0) for x in (w_t, z_t))
        delta = z_t - w_t @ R
        cov_c = w_t @ U
        var_z = cov_c @ w_t.mT + noise_var
        gain = cov_c.mT / var_z
        R, U = R + gain @ delta, U - gain @ cov_c
    return R, U
