"""The classical facts at sizes where they take a second."""

from __future__ import annotations

import pytest
import torch

from km_rl.baselines.sdm import critical_distance, radius_for
from km_rl.errors import InputError
from km_rl.evaluate.classical import (
    coins,
    crossing,
    doublings_per_unit,
    entropy,
    hebbian_capacity,
    modern_capacity,
    sdm_critical_distance,
    turned,
    without_end,
)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_exactly_so_many_units_are_turned() -> None:
    patterns = coins(30, 50, rng())
    assert ((turned(patterns, 7, rng()) != patterns).sum(1) == 7).all()
    assert abs(patterns.mean()) < 0.1


@pytest.mark.parametrize(
    ("ys", "level", "x"), [([0, 1, 3], 2.0, 2.5), ([4, 2, 0], 3.0, 1.5), ([0, 2, 4], 2.0, 2.0)]
)
def test_a_crossing_lies_on_the_line(ys: list[float], level: float, x: float) -> None:
    assert crossing([1, 2, 3], ys, level) == pytest.approx(x)


def test_no_crossing_is_no_number() -> None:
    with pytest.raises(InputError, match="wider range"):
        crossing([1, 2, 3], [0, 1, 3], 4.0)


def test_hebbs_rule_fails_a_little_beyond_the_published_load() -> None:
    loads = [0.10, 0.12, 0.14, 0.16, 0.18, 0.20, 0.22]
    found = [hebbian_capacity(600, loads, seed) for seed in range(2)]
    assert 0.138 < sum(found) / 2 < 0.19


def test_only_patterns_that_were_written_are_asked_for() -> None:
    """At the first of these loads there are 16, fewer than are asked for later."""
    found = hebbian_capacity(200, (0.08, 0.12, 0.16, 0.20, 0.26, 0.4), 0)
    assert 0.16 < found < 0.24


def test_a_net_without_end_lies_on_the_line() -> None:
    assert without_end([100, 400, 2500], [0.15, 0.10, 0.07]) == pytest.approx(0.05)
    assert without_end([10, 20, 50], [0.15, 0.10, 0.07], power=1) == pytest.approx(0.05)
    with pytest.raises(InputError, match="two different"):
        without_end([100, 100], [0.1, 0.2])


def test_the_sparse_memorys_limit_is_near_its_estimate() -> None:
    expected = critical_distance(500, 5000, radius_for(500, 5000**-0.5), 100)
    assert sdm_critical_distance(500, 5000, 100, seed=0) == pytest.approx(expected, rel=0.15)


def test_the_modern_net_doubles_with_every_few_units() -> None:
    sizes = [16, 24, 32]
    held = [modern_capacity(size, 0.25, 2**11, seed=0) for size in sizes]
    slope, explained = doublings_per_unit(sizes, held)
    assert slope > 0.1 and explained > 0.9
    assert held[-1] > 0.138 * 32


def test_a_straight_line_is_found() -> None:
    slope, explained = doublings_per_unit([2, 4, 6], [2.0, 4.0, 8.0])
    assert slope == pytest.approx(0.5) and explained == pytest.approx(1.0)


def test_entropy_is_in_bits() -> None:
    assert entropy(0.5) == 1.0 and entropy(0.0) == 0.0
    assert entropy(0.11) == pytest.approx(0.4999, abs=1e-3)
