"""The laws of writing, whatever the implementation.

A test class inherits `WriteLaws` and parametrises ``write``, a function with the signature of
`km_rl.core.memory.condition`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from oracles import brute_force
from torch import Tensor
from torch.testing import assert_close

Write = Callable[..., tuple[Tensor, Tensor]]


class Size(NamedTuple):
    items: int
    slots: int
    code: int


SIZES = [
    Size(5, 4, 2),
    Size(4, 2, 5),
    Size(9, 4, 3),
    Size(3, 7, 2),
    Size(1, 3, 2),
    Size(4, 1, 3),
    Size(130, 3, 2),
]
"""More slots than columns and fewer, more items than slots and fewer, one of each, two chunks."""

BATCHES: list[tuple[int, ...]] = [(), (2,), (2, 3)]


class Case(NamedTuple):
    """A prior, by mean and factor of its covariance, and an episode to write; all leaves."""

    mean: Tensor
    factor: Tensor
    w: Tensor
    z: Tensor
    noise_var: Tensor

    @property
    def prior(self) -> tuple[Tensor, Tensor]:
        return self.mean, self.factor @ self.factor.mT


def draw_case(size: Size, batch: tuple[int, ...] = (), seed: int = 0) -> Case:
    """A random case in float64 whose leaves want gradients."""
    T, K, C = size
    generator = torch.Generator().manual_seed(seed)
    randn = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
    factor = randn(*batch, K, K).tril(-1) / K + torch.eye(K, dtype=torch.float64)
    noise_var = torch.tensor(0.3, dtype=torch.float64)
    leaves = (randn(*batch, K, C), factor, randn(*batch, T, K), randn(*batch, T, C), noise_var)
    return Case(*(leaf.requires_grad_() for leaf in leaves))


def gradients(write: Write, case: Case) -> tuple[Tensor, ...]:
    """Of a fixed random projection of (R, U) with respect to every leaf of the case."""
    R, U = write(*case.prior, case.w, case.z, case.noise_var)
    generator = torch.Generator().manual_seed(1)
    like_R, like_U = (torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in (R, U))
    return torch.autograd.grad((R * like_R).sum() + (U * like_U).sum(), list(case))


def close(actual: object, expected: object, tolerance: float = 1e-10) -> None:
    """Equal to ``tolerance``, relative and absolute."""
    assert_close(actual, expected, rtol=tolerance, atol=tolerance)


class WriteLaws:
    """What holds for every way to write."""

    @pytest.mark.parametrize("batch", BATCHES, ids=str)
    @pytest.mark.parametrize("size", SIZES, ids=str)
    def test_it_is_the_conditional_of_the_joint_gaussian(
        self, write: Write, size: Size, batch: tuple[int, ...]
    ) -> None:
        case = draw_case(size, batch)
        episode = (*case.prior, case.w, case.z, case.noise_var)
        close(write(*episode), brute_force(*episode))

    @pytest.mark.parametrize("batch", BATCHES, ids=str)
    @pytest.mark.parametrize("size", SIZES, ids=str)
    def test_its_gradients_are_those_of_the_joint_gaussian(
        self, write: Write, size: Size, batch: tuple[int, ...]
    ) -> None:
        case = draw_case(size, batch)
        close(gradients(write, case), gradients(brute_force, case), 1e-8)

    def test_gradcheck(self, write: Write) -> None:
        mean, factor, w, z, noise_var = draw_case(Size(3, 2, 2))

        def from_factor(mean: Tensor, factor: Tensor, *episode: Tensor) -> tuple[Tensor, Tensor]:
            return write(mean, factor @ factor.mT, *episode)

        assert torch.autograd.gradcheck(from_factor, (mean, factor, w, z, noise_var))

    @pytest.mark.parametrize("size", SIZES, ids=str)
    def test_the_order_of_items_does_not_matter(self, write: Write, size: Size) -> None:
        R, U, w, z, noise_var = _detached(draw_case(size, (2,)))
        order = torch.randperm(size.items)
        shuffled = write(R, U, w[:, order], z[:, order], noise_var)
        close(write(R, U, w, z, noise_var), shuffled)

    @pytest.mark.parametrize("size", SIZES, ids=str)
    def test_two_halves_are_the_whole(self, write: Write, size: Size) -> None:
        R, U, w, z, noise_var = _detached(draw_case(size, (2,)))
        half = size.items // 2
        first = write(R, U, w[:, :half], z[:, :half], noise_var)
        close(write(*first, w[:, half:], z[:, half:], noise_var), write(R, U, w, z, noise_var))

    @pytest.mark.parametrize("size", SIZES, ids=str)
    def test_the_covariance_shrinks_and_stays_one(self, write: Write, size: Size) -> None:
        R, before, w, z, noise_var = _detached(draw_case(size, (2,)))
        after = write(R, before, w, z, noise_var)[1]
        close(after, after.mT, 1e-12)
        assert torch.linalg.eigvalsh(after).min() > 0
        assert torch.linalg.eigvalsh(before - after).min() > -1e-12

    @pytest.mark.parametrize("size", SIZES[:3], ids=str)
    def test_episodes_may_share_one_prior(self, write: Write, size: Size) -> None:
        _, _, w, z, noise_var = _detached(draw_case(size, (2, 3)))
        R, U = _detached(draw_case(size, seed=1))[:2]
        expanded = R.expand(2, 3, *R.shape), U.expand(2, 3, *U.shape)
        close(write(R, U, w, z, noise_var), write(*expanded, w, z, noise_var))

    @pytest.mark.parametrize("junk", [1e3, float("nan"), float("inf")])
    def test_masked_items_change_nothing(self, write: Write, junk: float) -> None:
        R, U, w, z, noise_var = _detached(draw_case(Size(6, 4, 3), (2,)))
        mask = torch.tensor([True, False, True, True, False, True]).expand(2, 6)
        dirty = (torch.where(mask[..., None], x, junk) for x in (w, z))
        kept = (x[:, mask[0]] for x in (w, z))
        close(write(R, U, *dirty, noise_var, mask), write(R, U, *kept, noise_var))

    def test_masked_items_get_no_gradient(self, write: Write) -> None:
        R, U, w, z, noise_var = _detached(draw_case(Size(4, 3, 2)))
        mask = torch.tensor([True, True, False, True])
        w, z = (torch.where(mask[:, None], x, torch.nan).requires_grad_() for x in (w, z))
        R, U = write(R, U, w, z, noise_var, mask)
        for gradient in torch.autograd.grad(R.sum() + U.sum(), [w, z]):
            assert gradient.isfinite().all()
            assert (gradient[2] == 0).all()

    def test_a_ragged_batch_is_each_episode_alone(self, write: Write) -> None:
        R, U, w, z, noise_var = _detached(draw_case(Size(5, 4, 2), (3,)))
        lengths = torch.tensor([5, 2, 0])
        mask = torch.arange(5) < lengths[:, None]
        together = write(R, U, w, z, noise_var, mask)
        for b, n in enumerate(lengths.tolist()):
            alone = write(R[b], U[b], w[b, :n], z[b, :n], noise_var)
            close((together[0][b], together[1][b]), alone)

    @pytest.mark.parametrize("masked", [True, False], ids=["masked", "empty"])
    def test_an_empty_episode_leaves_the_prior(self, write: Write, masked: bool) -> None:
        R, U, w, z, noise_var = _detached(draw_case(Size(4, 3, 2), (2,)))
        if masked:
            after = write(R, U, w, z, noise_var, torch.zeros(2, 4, dtype=torch.bool))
        else:
            after = write(R, U, w[:, :0], z[:, :0], noise_var)
        close(after, (R, U))


def _detached(case: Case) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    R, U = case.prior
    return R.detach(), U.detach(), case.w.detach(), case.z.detach(), case.noise_var.detach()
