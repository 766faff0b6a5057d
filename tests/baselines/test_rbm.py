"""A restricted Boltzmann machine against sums over all its states."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from recall_laws import random_patterns
from torch import Tensor
from torch.testing import assert_close

from km_rl.baselines.rbm import RBM
from km_rl.errors import InputError


def small(visible: int, hidden: int) -> RBM:
    """A net in float64 with weights that matter."""
    generator = torch.Generator().manual_seed(0)
    randn = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
    rbm = RBM.empty(visible, hidden)
    return rbm._replace(
        weights=randn(visible, hidden), visible=randn(visible), hidden=randn(hidden)
    )


def states(units: int) -> Tensor:
    return torch.tensor(list(product([0.0, 1.0], repeat=units)), dtype=torch.float64)


def log_joint(rbm: RBM) -> Tensor:
    """The negative energy of every pair of states, visible by hidden."""
    v, h = states(len(rbm.visible)), states(len(rbm.hidden))
    return (v @ rbm.visible)[:, None] + h @ rbm.hidden + v @ rbm.weights @ h.mT


@pytest.mark.parametrize(("visible", "hidden"), [(6, 4), (4, 6), (10, 10)])
def test_free_energy_and_likelihood_are_enumerations(visible: int, hidden: int) -> None:
    rbm = small(visible, hidden)
    joint = log_joint(rbm)
    assert_close(rbm.free_energy(states(visible)), -joint.logsumexp(1))
    assert_close(rbm.log_partition(), joint.flatten().logsumexp(0))
    by_hand = joint.logsumexp(1) - joint.flatten().logsumexp(0)
    assert_close(rbm.log_likelihood(2 * states(visible) - 1), by_hand)
    assert_close(rbm.log_likelihood(2 * states(visible) - 1).exp().sum().item(), 1.0)


def test_its_conditionals_are_those_of_the_joint() -> None:
    rbm = small(3, 2)
    joint = log_joint(rbm).exp()
    h_given_v = (joint / joint.sum(1, keepdim=True)) @ states(2)
    v_given_h = (joint / joint.sum(0)).mT @ states(3)
    assert_close(rbm.hidden_given(states(3)), h_given_v)
    assert_close(rbm.visible_given(states(2)), v_given_h)


def test_gibbs_samples_are_the_joints() -> None:
    rbm = small(3, 2)._replace(weights=0.3 * small(3, 2).weights)
    v = torch.zeros(20_000, 3, dtype=torch.float64)
    for _ in range(20):
        v = rbm.gibbs(v)
    found = torch.bincount((v @ torch.tensor([4.0, 2, 1], dtype=v.dtype)).long(), minlength=8)
    expected = rbm.log_likelihood(2 * states(3) - 1).exp()
    assert_close(found.double() / len(v), expected, atol=0.015, rtol=0)


def test_an_update_climbs_the_likelihoods_gradient() -> None:
    rbm = small(4, 3)
    data = states(4)[[3, 5, 5, 12]]
    leaves = [x.clone().requires_grad_() for x in (rbm.weights, rbm.visible, rbm.hidden)]
    leaf = rbm._replace(weights=leaves[0], visible=leaves[1], hidden=leaves[2])
    gradient = torch.autograd.grad(leaf.log_likelihood(2 * data - 1).mean(), leaves)
    share = rbm.log_likelihood(2 * states(4) - 1).exp()
    drawn = torch.multinomial(share, 400_000, replacement=True)
    climbed = rbm._climbed(data.repeat(100_000, 1), states(4)[drawn], rate=1.0)
    for after, before, slope in zip(climbed[:3], rbm[:3], gradient, strict=True):
        assert_close(after - before, slope, atol=5e-3, rtol=0)


def test_learning_raises_the_likelihood() -> None:
    patterns = random_patterns(6, 10)
    rbm = RBM.empty(10, 8, rate=0.2)
    before = rbm.log_likelihood(patterns).mean()
    after = rbm.write(patterns).log_likelihood(patterns).mean()
    assert after > before + 1


def test_a_large_net_is_not_enumerated() -> None:
    with pytest.raises(InputError, match="21 units"):
        RBM.empty(30, 21).log_partition()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"hidden": 0}, "hidden is 0"),
        ({"rate": 0.0}, "rate is 0"),
        ({"updates": 0}, "updates is 0"),
        ({"batch": 0}, "batch is 0"),
    ],
)
def test_what_cannot_learn_is_refused(options: dict[str, float], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        RBM.empty(**{"size": 4, "hidden": 3} | options)  # type: ignore[arg-type]
