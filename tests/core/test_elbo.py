"""The arithmetic of the bound's four terms."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from km_rl.core.elbo import Elbo


@pytest.fixture
def elbo() -> Elbo:
    terms = (torch.full((2, 3), value) for value in (10.0, 2.0, 3.0, 100.0))
    return Elbo(*terms)


def test_the_paper_counts_all_but_the_memory(elbo: Elbo) -> None:
    assert_close(elbo.bound, torch.full((2, 3), 15.0))
    assert_close(elbo.full_bound, torch.full((2, 3), 115.0))


@pytest.mark.parametrize(("weight", "loss"), [(0.0, 15.0), (0.25, 40.0), (1.0, 115.0)])
def test_the_loss_weighs_the_memory(elbo: Elbo, weight: float, loss: float) -> None:
    assert elbo.loss(weight).item() == pytest.approx(loss)
    assert elbo.loss().item() == pytest.approx(15.0)


def test_an_uncounted_memory_cannot_spoil_the_loss(elbo: Elbo) -> None:
    spoilt = elbo._replace(rate_memory=torch.full((2, 3), torch.inf))
    assert spoilt.loss(0.0).item() == pytest.approx(15.0)


def test_the_loss_can_weigh_the_address(elbo: Elbo) -> None:
    full, half = elbo.loss(), elbo.loss(address_kl_weight=0.5)
    assert_close(full - half, 0.5 * elbo.rate_y.mean())
