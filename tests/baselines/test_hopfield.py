"""Hopfield nets: energies that fall, capacities, and the modern net as attention."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch
from recall_laws import flipped, random_patterns
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.testing import assert_close

from km_rl.baselines.hopfield import RULES, UPDATES, Hopfield, ModernHopfield, Rule, Update
from km_rl.errors import InputError

D = 24


def walked(net: Hopfield, states: Tensor, sweeps: int) -> list[Tensor]:
    """The states after every sweep."""
    passes = [states]
    for _ in range(sweeps):
        passes.append(net.read(passes[-1]))
    return passes


@pytest.mark.parametrize("rule", RULES)
def test_the_energy_is_its_double_sum(rule: Rule) -> None:
    net, states = Hopfield.empty(D, rule).write(random_patterns(5, D)), random_patterns(3, D, 1)
    W, s = net.weights.tolist(), states.tolist()
    pairs = [(i, j) for i, j in product(range(D), range(D)) if i != j]
    sums = [sum(-0.5 * W[i][j] * one[i] * one[j] for i, j in pairs) for one in s]
    assert_close(net.energy(states), torch.tensor(sums))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("load", [3, 12, 40])
def test_the_energy_never_rises_unit_by_unit(rule: Rule, load: int) -> None:
    net = Hopfield.empty(D, rule).write(random_patterns(load, D))
    energies = [net.energy(s) for s in walked(net, random_patterns(50, D, 1), 6)]
    for before, after in pairwise(energies):
        assert (after <= before + 1e-5).all()


@pytest.mark.parametrize("rule", RULES)
def test_at_once_the_energy_of_two_states_in_a_row_never_rises(rule: Rule) -> None:
    net = Hopfield.empty(D, rule, "synchronous").write(random_patterns(12, D))
    states = walked(net, random_patterns(50, D, 1), 8)
    pairs = [-(b * net.fields(a)).sum(-1) for a, b in pairwise(states)]
    for before, after in pairwise(pairs):
        assert (after <= before + 1e-5).all()


def test_unit_by_unit_it_comes_to_rest_where_at_once_may_not() -> None:
    net = Hopfield.empty(D).write(random_patterns(12, D))
    rest = net.read(random_patterns(50, D, 1), steps=100)
    assert torch.equal(net._replace(update="synchronous").read(rest), rest)


@pytest.mark.parametrize("update", UPDATES)
def test_the_pseudo_inverse_keeps_what_hebb_forgets(update: Update) -> None:
    patterns = random_patterns(D // 2, D)
    kept = {
        rule: (Hopfield.empty(D, rule, update).write(patterns).read(patterns, 5) == patterns)
        for rule in RULES
    }
    assert kept["pseudo-inverse"].all()
    assert kept["hebbian"].float().mean() < 0.95


def test_the_pseudo_inverse_is_numpys() -> None:
    patterns = random_patterns(9, D)
    dependent = torch.cat([patterns, -patterns[:2], patterns[:1]])
    W = Hopfield.empty(D, "pseudo-inverse").write(dependent[:4]).write(dependent[4:]).weights
    assert_close(W, torch.linalg.pinv(patterns.double()).float() @ patterns, rtol=0, atol=1e-5)


def test_hebbs_capacity_is_a_cliff() -> None:
    size = 500
    error = {
        load: wrong(Hopfield.empty(size, update="synchronous"), random_patterns(load, size))
        for load in (int(0.10 * size), int(0.20 * size))
    }
    low, high = error.values()
    assert low < 0.02 and high > 0.15


def wrong(net: Hopfield, patterns: Tensor) -> float:
    """The share of wrong units after reading from the patterns themselves."""
    return float((net.write(patterns).read(patterns, 40) != patterns).float().mean())


def test_the_modern_net_is_attention() -> None:
    patterns, states = random_patterns(7, D), torch.randn(5, D)
    net = ModernHopfield.empty(D, 7, beta=0.3).write(patterns)
    by_hand = (0.3 * states @ patterns.mT).softmax(-1) @ patterns
    assert_close(net.settle(states), by_hand)
    attention = scaled_dot_product_attention(states, patterns, patterns, scale=0.3)
    assert_close(net.settle(states), attention)
    assert_close(net.settle(states, 2), net.settle(net.settle(states)))


def test_the_modern_nets_energy_never_rises() -> None:
    net = ModernHopfield.empty(D, 7, beta=0.2).write(random_patterns(7, D))
    states = 2 * torch.randn(40, D)
    for _ in range(5):
        after = net.settle(states)
        assert (net.energy(after) <= net.energy(states) + 1e-5).all()
        states = after


def test_the_modern_net_holds_far_more_than_units() -> None:
    patterns = random_patterns(40 * D, 2 * D)
    net = ModernHopfield.empty(2 * D, len(patterns)).write(patterns)
    assert (net.read(flipped(patterns, 4)) == patterns).all(1).float().mean() > 0.99


def test_the_oldest_give_way() -> None:
    patterns = random_patterns(5, D)
    net = ModernHopfield.empty(D, 3).write(patterns[:2]).write(patterns[2:])
    assert torch.equal(net.patterns, patterns[2:])


@pytest.mark.parametrize("beta", [0.0, -1.0, float("nan"), float("inf")])
def test_a_beta_that_is_not_positive_is_refused(beta: float) -> None:
    with pytest.raises(InputError, match="beta is"):
        ModernHopfield.empty(D, 3, beta)


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(InputError, match="rule 'hebb' is not known"):
        Hopfield.empty(D, "hebb")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="update 'both' is not known"):
        Hopfield.empty(D, update="both")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="size is 0"):
        Hopfield.empty(0)
    with pytest.raises(InputError, match="written is 0"):
        ModernHopfield.empty(D, 3).read(random_patterns(1, D))
