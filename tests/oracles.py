"""The memory's posterior and densities from textbook definitions, slow and in float64.

Nothing here knows that the columns of a memory share a covariance, that items can be written one
by one, or that the posterior has a closed form in R and U: it is the general conditioning of a
joint Gaussian, and the densities of scipy.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import matrix_normal, multivariate_normal
from torch import Tensor


def joint_gaussian(
    R: Tensor, U: Tensor, w: Tensor, noise_var: Tensor | float
) -> tuple[Tensor, Tensor]:
    """Mean and covariance of ``[vec M; vec Z]``, both row by row, for one episode.

    ``vec M`` has covariance ``U (x) I`` and ``vec Z = (w (x) I) vec M + noise``.
    """
    eye = torch.eye(R.shape[-1], dtype=R.dtype)
    cov_m, H = torch.kron(U, eye), torch.kron(w, eye)
    noise = noise_var * torch.eye(H.shape[0], dtype=R.dtype)
    rows = [
        torch.cat([cov_m, cov_m @ H.mT], 1),
        torch.cat([H @ cov_m, H @ cov_m @ H.mT + noise], 1),
    ]
    mean_m = R.reshape(-1)
    return torch.cat([mean_m, H @ mean_m]), torch.cat(rows)


def conditional(mean: Tensor, cov: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the first entries of a Gaussian given its last ones."""
    n = len(mean) - len(given)
    gain = torch.linalg.solve(cov[n:, n:], cov[n:, :n]).mT
    return mean[:n] + gain @ (given - mean[n:]), cov[:n, :n] - gain @ cov[n:, :n]


def full_posterior(
    R: Tensor, U: Tensor, w: Tensor, z: Tensor, noise_var: Tensor | float
) -> tuple[Tensor, Tensor]:
    """Mean (K, C) and covariance (K, C, K, C) of M given one episode."""
    mean, cov = conditional(*joint_gaussian(R, U, w, noise_var), z.reshape(-1))
    return mean.reshape(R.shape), cov.reshape(*R.shape, *R.shape)


def brute_force(
    R: Tensor,
    U: Tensor,
    w: Tensor,
    z: Tensor,
    noise_var: Tensor | float,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """(R, U) of every episode of a batch from `full_posterior`; masked items are left out."""
    batch = torch.broadcast_shapes(R.shape[:-2], w.shape[:-2])
    if mask is None:
        mask = torch.ones(w.shape[:-1], dtype=torch.bool)
    R, U, w, z = (x.expand(*batch, *x.shape[-2:]) for x in (R, U, w, z))
    means, covs = [], []
    for b in product(*map(range, batch)):
        keep = mask[b]
        mean, cov = full_posterior(R[b], U[b], w[b][keep], z[b][keep], noise_var)
        means.append(mean)
        covs.append(cov[:, 0, :, 0])
    return (
        torch.stack(means).reshape(*batch, *R.shape[-2:]),
        torch.stack(covs).reshape(*batch, *U.shape[-2:]),
    )


def log_marginal(R: Tensor, U: Tensor, w: Tensor, z: Tensor, noise_var: float) -> float:
    """ln p(Z|W) in nats with M integrated out, for one episode: one Gaussian per column."""
    mean, cov = _numpy(w @ R), _numpy(w @ U @ w.mT) + noise_var * np.eye(len(w))
    columns = zip(mean.T, _numpy(z).T, strict=True)
    return float(sum(multivariate_normal(m, cov).logpdf(z_c) for m, z_c in columns))


def log_matrix_normal(M: Tensor, R: Tensor, U: Tensor) -> float:
    """ln MN(M; R, U, I) in nats, for one memory."""
    return float(matrix_normal(_numpy(R), _numpy(U), np.eye(R.shape[1])).logpdf(_numpy(M)))


def log_likelihood(M: Tensor, w: Tensor, z: Tensor, noise_var: float) -> float:
    """ln p(Z|W, M) in nats, for one episode."""
    noise = noise_var * np.eye(z.numel())
    return float(multivariate_normal(_numpy(w @ M).ravel(), noise).logpdf(_numpy(z).ravel()))


def _numpy(x: Tensor) -> NDArray[np.float64]:
    return x.detach().double().numpy()
