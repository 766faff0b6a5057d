"""The trained parts of the memory: its prior and its addresses."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from km_rl.core.addressing import Addressing
from km_rl.core.prior import MemoryPrior


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("std", [0.01, 1.0, 30.0, 1000.0])
def test_the_prior_starts_with_any_std(std: float, diagonal: bool) -> None:
    prior = MemoryPrior(3, 2, initial_std=std, diagonal_covariance=diagonal)
    assert_close(prior().cov, std**2 * torch.eye(3), rtol=0.05, atol=0.0)


def test_the_prior_starts_as_asked() -> None:
    prior = MemoryPrior(slots=4, code=3, noise_var=0.25, initial_std=2.0)
    memory = prior()
    assert_close(memory.mean, torch.zeros(4, 3))
    assert_close(memory.cov, 4 * torch.eye(4), rtol=1e-3, atol=1e-3)
    assert prior.noise_var.item() == pytest.approx(0.25)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_the_prior_is_positive_definite_whatever_is_trained(scale: float) -> None:
    prior = MemoryPrior(slots=5, code=2).double()
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    L = torch.linalg.cholesky(prior().cov)
    assert_close(L.tril(-1), prior.below.tril(-1))


def test_a_full_covariance_is_trained_through_its_lower_factor() -> None:
    prior = MemoryPrior(slots=4, code=2)
    (prior().cov * torch.randn(4, 4)).sum().backward()
    assert prior.below.grad is not None
    assert (prior.below.grad.tril(-1) != 0).sum() == 6
    assert (prior.below.grad.triu() == 0).all()


@pytest.mark.parametrize("learn", [True, False])
def test_the_noise_is_trained_only_on_request(learn: bool) -> None:
    assert MemoryPrior(3, 2, learn_noise=learn).log_noise_var.requires_grad == learn


def test_the_length_of_an_address_does_not_matter() -> None:
    addressing, y = Addressing(slots=6, key=3), torch.randn(2, 5, 3)
    before = addressing(y)
    with torch.no_grad():
        addressing.addresses.mul_(torch.rand(6, 1) + 0.5)
    assert_close(addressing(y), before)


def test_weights_are_inner_products_of_key_and_address() -> None:
    addressing, y = Addressing(slots=6, key=3), torch.randn(2, 5, 3)
    rows = addressing.addresses / addressing.addresses.norm(dim=1, keepdim=True)
    w = addressing(y)
    assert w.shape == (2, 5, 6)
    assert_close(w, torch.einsum("bts,ks->btk", addressing.key(y), rows))
    assert (w < 0).any()
