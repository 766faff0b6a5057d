from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from km_rl.errors import InputError
from km_rl.evaluate.spread import (
    Estimate,
    across_tasks,
    improvement,
    interval,
    iqm,
    probability_of_improvement,
    spread,
)


@pytest.mark.parametrize(
    ("values", "by_hand"),
    [
        ([7], 7),
        ([1, 5], 3),
        ([0, 3, 9], 4),
        ([100, 2, 4, -50], 3),
        ([1, 2, 3, 4, 1000], 3),
        ([9, 8, 1, 2, 3, 4, -70, 700], (2 + 3 + 4 + 8) / 4),
    ],
)
def test_iqm_is_the_mean_of_the_middle_half(values: list[float], by_hand: float) -> None:
    assert iqm(values) == pytest.approx(by_hand)
    assert spread(values).iqm.value == pytest.approx(by_hand)


def test_mean_and_number() -> None:
    told = spread([1, 2, 3, 4, 1000])
    assert (told.mean.value, told.n) == (202, 5)


@pytest.mark.parametrize("statistic", [np.mean, iqm])
def test_the_interval_holds_its_share_of_all_resamples(
    statistic: Callable[..., np.ndarray],
) -> None:
    """Five values can be drawn in 5^5 equally likely ways: all of them, against the bootstrap."""
    values = [0.3, 1.0, 4.2, 7.9, 17.0]
    every_way = statistic(np.array(list(product(values, repeat=5))), axis=-1)
    exact = np.quantile(every_way, [0.025, 0.975])
    assert interval(values, statistic) == pytest.approx(exact.tolist(), abs=0.25)


def test_the_interval_is_the_same_each_time_and_closes_where_nothing_varies() -> None:
    values = [3.0, 1.0, 4.0, 1.0, 5.0]
    assert spread(values) == spread(values)
    assert spread([2.0] * 4).iqm == (2, 2, 2)


def test_seeds_are_drawn_with_all_their_tasks() -> None:
    """Three seeds can be drawn in 27 equally likely ways."""
    values = np.array([[0.0, 10.0], [1.0, 12.0], [3.0, 17.0]])
    every_way = np.array([values[list(way)].ravel() for way in product(range(3), repeat=3)])
    found = across_tasks(values)
    told: list[tuple[Callable[..., np.ndarray], Estimate]]
    told = [(np.mean, found.mean), (iqm, found.iqm)]
    for statistic, (value, low, high) in told:
        told_of_all = statistic(every_way, axis=-1)
        exact = np.quantile(told_of_all, [0.025, 0.975], method="inverted_cdf")
        assert value == pytest.approx(float(statistic(values.ravel(), axis=-1)))
        assert [low, high] == pytest.approx(exact.tolist())
    assert found.n == 3
    assert across_tasks(values[:2]).mean == (5.75, None, None)


def test_what_the_tasks_of_a_seed_share_makes_the_interval_wide() -> None:
    """One net serves 20 tasks: as many runs, but only five draws of the luck they share."""
    rng = np.random.default_rng(0)
    luck = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    shared = luck[:, None] + 0.01 * rng.normal(size=(5, 20))
    apart = rng.permuted(np.repeat(luck[:, None], 20, 1), axis=0)
    for values in (shared, apart):
        assert across_tasks(values).mean.value == pytest.approx(0, abs=0.01)
    _, low, high = across_tasks(shared).mean
    assert low is not None and high is not None
    assert [low, high] == pytest.approx(interval(luck, np.mean), abs=0.05)
    _, low, high = across_tasks(apart).mean
    assert low is not None and high is not None and high - low < 1


def test_the_improvement_is_over_tasks_and_its_seeds_are_drawn_with_all_of_them() -> None:
    a = np.array([[1.0, 5.0], [2.0, 0.0], [4.0, 2.0]])
    b = np.array([[1.0, 1.0], [3.0, 1.0], [0.0, 2.0], [2.0, 1.0]])
    better = [probability_of_improvement(*columns) for columns in zip(a.T, b.T, strict=True)]
    every_way = [
        np.mean([probability_of_improvement(a[list(i), t], b[list(j), t]) for t in (0, 1)])
        for i in product(range(3), repeat=3)
        for j in product(range(4), repeat=4)
    ]
    value, low, high = improvement(a, b)
    assert value == pytest.approx(np.mean(better))
    assert [low, high] == pytest.approx(np.quantile(every_way, [0.025, 0.975]).tolist(), abs=0.03)
    assert improvement(a[:2], b)[1:] == (None, None)
    with pytest.raises(InputError, match="finite"):
        improvement(a, [[float("nan"), 1.0]])


def test_no_interval_from_two_values() -> None:
    assert spread([1.0, 2.0]).mean == (1.5, None, None)
    assert spread([1.0, 2.0]).iqm == (1.5, None, None)


@pytest.mark.parametrize(
    ("a", "b", "by_hand"),
    [
        ([2, 3], [0, 1], 1),
        ([0, 1], [2, 3], 0),
        ([1, 3], [2], 1 / 2),
        ([1, 1], [1], 1 / 2),
        ([1, 4, 5], [1, 2], (0.5 + 0 + 1 + 1 + 1 + 1) / 6),
    ],
)
def test_probability_of_improvement(a: list[float], b: list[float], by_hand: float) -> None:
    assert probability_of_improvement(a, b) == pytest.approx(by_hand)
    assert probability_of_improvement(b, a) == pytest.approx(1 - by_hand)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf")]])
def test_values_that_are_none(values: list[float]) -> None:
    with pytest.raises(InputError, match="finite"):
        spread(values)
    with pytest.raises(InputError, match="finite"):
        probability_of_improvement([1.0], values)
