"""The ridge address: against two other ways to find it, values and gradients, on both sides."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from km_rl.core.addressing import least_squares_address
from km_rl.core.linalg import NotPositiveDefiniteError

Address = Callable[[Tensor, Tensor, Tensor], Tensor]
SIZES = [(3, 5), (5, 3), (4, 4), (1, 3), (3, 1)]
"""(K, C): more columns than slots and fewer, as many, one of each."""


def augmented(M: Tensor, z: Tensor, noise_var: Tensor) -> Tensor:
    """An ordinary least-squares problem with K more rows that pull w to 0, solved by QR."""
    K = M.shape[-2]
    pull = (noise_var.sqrt() * torch.eye(K, dtype=M.dtype)).expand(*M.shape[:-2], K, K)
    rows = torch.cat([M.mT, pull], -2)
    targets = torch.cat([z.mT, z.new_zeros(*z.shape[:-2], K, z.shape[-2])], -2)
    return torch.linalg.lstsq(rows, targets, driver="gels").solution.mT


def posterior_mode(M: Tensor, z: Tensor, noise_var: Tensor) -> Tensor:
    """The conditional mean of w in the joint Gaussian of (w, z)."""
    eye = torch.eye(M.shape[-1], dtype=M.dtype)
    return z @ torch.linalg.inv(M.mT @ M + noise_var * eye) @ M.mT


ORACLES: dict[str, Address] = {"augmented": augmented, "posterior-mode": posterior_mode}


def case(K: int, C: int, *batch: int) -> list[Tensor]:
    """M, four codes and the ridge, in float64; all want gradients."""
    M, z = (torch.randn(*batch, *s, dtype=torch.float64) for s in ((K, C), (4, C)))
    return [x.requires_grad_() for x in (M, z, torch.tensor(0.3, dtype=torch.float64))]


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)], ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("oracle", ORACLES.values(), ids=ORACLES)
def test_it_is_the_ridge_solution(
    oracle: Address, size: tuple[int, int], batch: tuple[int, ...]
) -> None:
    leaves = case(*size, *batch)
    w, expected = least_squares_address(*leaves), oracle(*leaves)
    assert_close(w, expected, rtol=1e-9, atol=1e-9)
    like = torch.randn_like(w)
    for mine, theirs in zip(
        torch.autograd.grad((w * like).sum(), leaves),
        torch.autograd.grad((expected * like).sum(), leaves),
        strict=True,
    ):
        assert_close(mine, theirs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("size", SIZES[:2], ids=str)
def test_gradcheck(size: tuple[int, int]) -> None:
    assert torch.autograd.gradcheck(least_squares_address, tuple(case(*size, 2)))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_no_address_is_more_likely(size: tuple[int, int]) -> None:
    M, z, noise_var = (x.detach() for x in case(*size))
    cost = lambda w: (z - w @ M).square().sum(-1) / noise_var + w.square().sum(-1)
    best = least_squares_address(M, z, noise_var)
    for _ in range(20):
        assert (cost(best + 0.1 * torch.randn_like(best)) > cost(best)).all()


def test_memories_and_codes_may_share() -> None:
    M, z, noise_var = (x.detach() for x in case(3, 5))
    many = least_squares_address(M.expand(2, 3, 5), z.expand(2, 4, 5), noise_var)
    assert_close(least_squares_address(M, z.expand(2, 4, 5), noise_var), many)
    assert_close(least_squares_address(M.expand(2, 3, 5), z, noise_var), many)


def test_a_memory_of_zeros_has_no_address() -> None:
    zeros = torch.zeros(3, 5)
    assert torch.equal(least_squares_address(zeros, torch.randn(4, 5), 0.1), torch.zeros(4, 3))


def test_codes_that_repeat_a_row_are_found_there() -> None:
    M = torch.randn(3, 50, dtype=torch.float64)
    w = least_squares_address(M, M, 1e-9)
    assert_close(w, torch.eye(3, dtype=torch.float64), atol=1e-6, rtol=0)


def test_a_memory_that_holds_nan_is_told() -> None:
    with pytest.raises(NotPositiveDefiniteError, match="NaN"):
        least_squares_address(torch.full((2, 3), torch.nan), torch.zeros(1, 3), 0.1)
