"""One Cholesky factor: exact where it can be, else with a bounded warning or a named error."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from km_rl.core.linalg import JITTERS, NotPositiveDefiniteError, cholesky, log_det


def covariance(n: int, batch: tuple[int, ...] = ()) -> Tensor:
    root = torch.randn(*batch, n, n, dtype=torch.float64)
    return root @ root.mT + 0.1 * torch.eye(n, dtype=torch.float64)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)], ids=str)
def test_a_covariance_is_factored_without_a_warning(batch: tuple[int, ...]) -> None:
    A = covariance(5, batch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        L = cholesky(A)
    assert_close(L @ L.mT, A, rtol=1e-12, atol=1e-12)
    assert torch.equal(L, L.tril())
    assert_close(log_det(L), torch.linalg.slogdet(A).logabsdet)


def test_a_singular_covariance_gets_a_jitter_that_is_warned_and_bounded() -> None:
    direction = torch.randn(6, 1)
    A = direction @ direction.mT - 1e-7 * torch.eye(6)
    with pytest.warns(UserWarning, match="jitter of 1e-0"):
        L = cholesky(A)
    largest = 1.1 * JITTERS[-1] * A.diagonal().mean()
    assert (L @ L.mT - A).abs().max() < largest


def test_a_jitter_leaves_the_healthy_episodes_of_a_batch_alone() -> None:
    healthy = covariance(4)
    sick = torch.ones(4, 4, dtype=torch.float64) - 1e-9 * torch.eye(4, dtype=torch.float64)
    with pytest.warns(UserWarning, match="jitter"):
        together = cholesky(torch.stack([healthy, sick]))
    assert torch.equal(together[0], cholesky(healthy))


def test_what_no_jitter_can_mend_is_refused_by_name() -> None:
    A = covariance(3)
    A[1, 1] = -1.0
    with pytest.raises(NotPositiveDefiniteError) as caught:
        cholesky(A)
    for told in ("3 x 3", "float64", f"{JITTERS[-1]:.0e}"):
        assert told in str(caught.value)


@pytest.mark.parametrize("bad", [torch.nan, -torch.inf])
def test_nan_is_told_from_a_lack_of_precision(bad: float) -> None:
    A = covariance(3)
    A[1, 1] = bad
    with pytest.raises(NotPositiveDefiniteError, match="holds NaN or infinity"):
        cholesky(A)


def test_gradients_pass_through_the_jitter() -> None:
    root = torch.ones(3, 1, dtype=torch.float64, requires_grad=True)
    eye = torch.eye(3, dtype=torch.float64)
    with pytest.warns(UserWarning, match="jitter"):
        log_det(cholesky(root @ root.mT - 1e-9 * eye)).backward()
    assert root.grad is not None
    assert root.grad.isfinite().all()
