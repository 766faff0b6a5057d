"""A memory of independent slots: its twin by the full rule, and the machine that has one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from km_rl.core.diagonal import DiagonalMemory
from km_rl.core.machine import KanervaMachine
from km_rl.core.memory import Memory

B, T, K, C = 2, 5, 4, 3
NOISE_VAR = 0.3


def prior() -> DiagonalMemory:
    variances = torch.rand(K, dtype=torch.float64) + 0.5
    return DiagonalMemory(torch.randn(K, C, dtype=torch.float64), torch.diag(variances))


def items() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(B, T, K).double(), torch.randn(B, T, C).double()


def test_each_item_is_the_full_rule_and_then_only_the_diagonal_is_kept() -> None:
    w, z = items()
    memory = Memory(*(x.expand(B, *x.shape) for x in prior()))
    start = DiagonalMemory(*memory)
    for t in range(T):
        R, U = memory.write(w[:, t : t + 1], z[:, t : t + 1], NOISE_VAR)
        memory = Memory(R, torch.diag_embed(U.diagonal(dim1=-2, dim2=-1)))
    written = start.write(w, z, NOISE_VAR)
    assert isinstance(written, DiagonalMemory)
    assert_close(tuple(written), tuple(memory))


def test_one_slot_is_written_as_by_the_full_rule() -> None:
    w, z = items()
    start = Memory(torch.zeros(1, C).double(), torch.eye(1).double())
    found = DiagonalMemory(*start).write(w[..., :1], z, NOISE_VAR)
    assert_close(tuple(found), tuple(start.write(w[..., :1], z, NOISE_VAR)))


def test_items_that_are_masked_change_nothing() -> None:
    w, z = items()
    start = prior()
    mask = torch.tensor([[True, True, False, False, False], [True, True, False, False, False]])
    written = start.write(w, z, NOISE_VAR, mask)
    assert_close(tuple(written), tuple(start.write(w[:, :2], z[:, :2], NOISE_VAR)))


def test_a_machine_of_independent_slots() -> None:
    machine = KanervaMachine.build(
        filters=2, slots=4, code=3, key=3, diagonal_covariance=True, learn_prior_mean=False
    )
    images = torch.rand(2, 5, 1, 28, 28).round()
    memory = machine.write(images)
    assert isinstance(memory, DiagonalMemory)
    assert_close(memory.cov, torch.diag_embed(memory.cov.diagonal(dim1=-2, dim2=-1)))
    for sample_memory in (False, True):
        elbo = machine.elbo(images, sample_memory)
        assert elbo.full_bound.isfinite().all() and (elbo.rate_memory > 0).all()
    elbo.loss(memory_kl_weight=1.0).backward()
    prior = machine.prior
    assert prior.diagonal.grad is not None and prior.diagonal.grad.abs().sum() > 0
    assert prior.below.grad is None and prior.mean.grad is None
    torch.manual_seed(0)
    memory = machine.write(images)
    torch.manual_seed(0)
    expected = memory.kl(prior()) / 5
    assert_close(machine.elbo(images).rate_memory, expected[:, None].expand(2, 5))


def test_without_a_trained_mean_it_stays_zero() -> None:
    machine = KanervaMachine.build(filters=2, slots=4, code=3, key=3, learn_prior_mean=False)
    assert not machine.prior.mean.requires_grad and machine.prior.below.requires_grad
    assert (machine.prior.mean == 0).all()


def test_what_is_written_twice_is_held_more_firmly() -> None:
    machine = KanervaMachine.build(filters=2, slots=4, code=3, key=3).eval()
    images = torch.rand(2, 5, 1, 28, 28).round()
    torch.manual_seed(0)
    once = machine.elbo(images)
    torch.manual_seed(0)
    assert_close(tuple(machine.elbo(images, writes=1)), tuple(once))
    assert (machine.elbo(images, writes=8).rate_memory > once.rate_memory).all()


@torch.no_grad()
@pytest.mark.parametrize("diagonal_covariance", [False, True])
def test_the_bound_of_a_long_episode_of_like_images(diagonal_covariance: bool) -> None:
    options: dict[str, Any] = {"noise_var": 1e-4, "prior_std": 30.0}
    machine = KanervaMachine.build(
        filters=2, slots=4, code=3, key=3, diagonal_covariance=diagonal_covariance, **options
    ).eval()
    images = torch.rand(1, 1, 1, 28, 28).round().expand(1, 256, 1, 28, 28)
    for sample_memory in (False, True):
        elbo = machine.elbo(images, sample_memory)
        assert elbo.full_bound.dtype == torch.float32 and elbo.full_bound.isfinite().all()


def test_nothing_written_leaves_a_memory_for_each_episode() -> None:
    memory = DiagonalMemory(torch.zeros(3, 2), torch.eye(3))
    written = memory.write(torch.zeros(4, 0, 3), torch.zeros(4, 0, 2), 0.1)
    assert_close(written.mean, torch.zeros(4, 3, 2))
    assert_close(written.cov, torch.eye(3).expand(4, 3, 3))
