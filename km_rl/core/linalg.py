"""Numerical safety for the whole floor: one Cholesky factor."""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Float
from torch import Tensor

from km_rl.errors import NonFiniteError

JITTERS = (1e-7, 1e-6, 1e-5, 1e-4)


class NotPositiveDefiniteError(NonFiniteError):
    """A covariance was not positive definite, not even with the largest jitter tried."""


def cholesky(A: Float[Tensor, "*B N N"]) -> Float[Tensor, "*B N N"]:
    r"""The lower factor L with :math:`L L^T = A`.

    Where A is not positive definite in floating point, growing multiples of its mean diagonal
    (``JITTERS``) are added, with a warning; the other matrices of a batch stay as they are. While
    a CUDA graph is recorded nothing can be asked of A: such a matrix gives NaN there.

    Raises:
        NotPositiveDefiniteError: no jitter helped, or A holds NaN.
    """
    L, info = torch.linalg.cholesky_ex(A)
    if A.is_cuda and torch.cuda.is_current_stream_capturing():
        return torch.where(info[..., None, None] > 0, torch.nan, L)
    if not info.any():
        return L
    scale = A.diagonal(dim1=-2, dim2=-1).mean(-1).where(info > 0, 0)[..., None, None]
    eye = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
    for jitter in JITTERS:
        L, info = torch.linalg.cholesky_ex(A + jitter * scale * eye)
        if not info.any():
            warnings.warn(f"a covariance needed a jitter of {jitter:.0e}", stacklevel=2)
            return L
    if not A.isfinite().all():
        raise NotPositiveDefiniteError(
            f"a {A.shape[-1]} x {A.shape[-1]} covariance holds NaN or infinity: look for it in "
            f"the addresses and codes that were written."
        )
    more = "forget only what was written" if A.dtype == torch.float64 else "use float64"
    raise NotPositiveDefiniteError(
        f"a {A.shape[-1]} x {A.shape[-1]} covariance in {A.dtype} is not positive definite; "
        f"jitters up to {JITTERS[-1]:.0e} of its mean diagonal were tried: "
        f"use a larger noise variance, or {more}."
    )


def log_det(L: Float[Tensor, "*B N N"]) -> Float[Tensor, "*B"]:
    r"""``ln det A`` in nats from its Cholesky factor: :math:`2 \sum_i \ln L_{ii}`."""
    return 2 * L.diagonal(dim1=-2, dim2=-1).log().sum(-1)
