from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from km_rl.errors import InputError
from km_rl.results.spread import (
    across_tasks,
    improvement,
    iqm,
    mean,
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
    told = spread(values).iqm
    assert (told is None) == (len(values) < 4)
    assert told is None or told.value == pytest.approx(by_hand)


def test_mean_and_number() -> None:
    told = spread([1, 2, 3, 4, 1000])
    assert (told.mean.value, told.n) == (202, 5)


def test_the_interval_of_a_mean_is_that_of_the_t_test() -> None:
    """All means that a test at 5% does not refuse: at its ends p is 0.05."""
    values = [3.0, 1.0, 4.0]
    value, low, high = mean(values)
    assert value == pytest.approx(8 / 3)
    for end in (low, high):
        assert stats.ttest_1samp(values, end).pvalue == pytest.approx(0.05)
    assert mean([7.0]) == (7.0, None, None)
    assert spread(values).mean == mean(values)


def test_an_interval_of_three_holds_the_mean_as_often_as_it_says() -> None:
    drawn = np.random.default_rng(0).normal(5.0, 2.0, (500, 3)).tolist()
    ends = [mean(values)[1:] for values in drawn]
    hits = [low <= 5.0 <= high for low, high in ends if low is not None and high is not None]
    assert len(hits) == 500 and 0.92 < np.mean(hits) < 0.98


def test_intervals_hold_the_truth_as_often_as_is_said() -> None:
    """Of 400 fives of normal values; 89% is what the module says of the bootstrap."""
    held = np.zeros(2)
    drawn = np.random.default_rng(0).normal(size=(400, 5))
    for values in drawn:
        told = spread(values.tolist())
        for i, (_, low, high) in enumerate(filter(None, (told.mean, told.iqm))):
            assert low is not None and high is not None
            held[i] += low < 0 < high
    assert held / 400 == pytest.approx([0.95, 0.89], abs=0.03)


def test_the_interval_of_the_iqm_holds_its_share_of_all_resamples() -> None:
    """Five values can be drawn in 5^5 equally likely ways: all of them, against the bootstrap."""
    values = [0.3, 1.0, 4.2, 7.9, 17.0]
    every_way = iqm(np.array(list(product(values, repeat=5))))
    told = spread(values).iqm
    assert told is not None
    exact = np.quantile(every_way, [0.025, 0.975])
    assert told[1:] == pytest.approx(exact.tolist(), abs=0.25)


def test_the_interval_is_the_same_each_time_and_closes_where_nothing_varies() -> None:
    values = [3.0, 1.0, 4.0, 1.0, 5.0]
    assert spread(values) == spread(values)
    assert spread([2.0] * 5).iqm == spread([2.0] * 5).mean == (2, 2, 2)


def test_few_values_have_no_iqm_and_four_no_interval_of_it() -> None:
    assert spread([1.0, 2.0, 6.0]).iqm is None
    assert spread([1.0, 2.0, 6.0, 9.0]).iqm == (4.0, None, None)


def test_a_seed_counts_once_with_all_its_tasks() -> None:
    values = np.array([[0.0, 10.0], [1.0, 12.0], [3.0, 17.0]])
    found = across_tasks(values)
    assert found.mean == pytest.approx(mean(values.mean(1)))
    assert found.n == 3 and found.iqm is not None
    _, low, high = mean(iqm(values))
    assert low is not None and high is not None
    middle = float(iqm(values.ravel()))
    half = (high - low) / 2
    assert found.iqm == pytest.approx((middle, middle - half, middle + half))
    assert across_tasks(values[:1]).mean == (5.0, None, None)


def test_what_the_tasks_of_a_seed_share_makes_the_interval_wide() -> None:
    """One net serves 20 tasks: as many runs, but only five draws of the luck they share."""
    rng = np.random.default_rng(0)
    luck = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    shared = luck[:, None] + 0.01 * rng.normal(size=(5, 20))
    apart = rng.permuted(np.repeat(luck[:, None], 20, 1), axis=0)
    for values in (shared, apart):
        assert across_tasks(values).mean.value == pytest.approx(0, abs=0.01)
    assert across_tasks(shared).mean == pytest.approx(mean(luck), abs=0.05)
    _, low, high = across_tasks(apart).mean
    assert low is not None and high is not None and high - low < 1.5


def test_the_improvement_and_its_interval_are_over_seeds_with_all_tasks() -> None:
    a = np.array([[1.0, 5.0], [2.0, 0.0], [4.0, 2.0]])
    b = np.array([[1.0, 1.0], [3.0, 1.0], [0.0, 2.0], [2.0, 1.0]])
    better = [probability_of_improvement(*columns) for columns in zip(a.T, b.T, strict=True)]
    value, low, high = improvement(a, b)
    assert value == pytest.approx(np.mean(better))
    rows = [np.mean([probability_of_improvement([x[t]], b[:, t]) for t in (0, 1)]) for x in a]
    columns = [np.mean([probability_of_improvement(a[:, t], [y[t]]) for t in (0, 1)]) for y in b]
    error = (np.var(rows, ddof=1) / 3 + np.var(columns, ddof=1) / 4) ** 0.5
    half = stats.t.ppf(0.975, 2) * error
    assert low == pytest.approx(max(0, value - half)) and high == pytest.approx(
        min(1, value + half)
    )
    assert improvement(a[:1], b)[1:] == (None, None)
    assert improvement(a + 10, b) == (1.0, None, None)  # three seeds that always won are no proof
    with pytest.raises(InputError, match="finite"):
        improvement(a, [[float("nan"), 1.0]])


def test_the_improvement_of_many_seeds_holds_the_truth_as_often_as_is_said() -> None:
    """Of equal settings it is one half."""
    drawn = np.random.default_rng(0).normal(size=(400, 2, 8, 3))
    held = [
        low <= 0.5 <= high
        for a, b in drawn
        if (e := improvement(a, b))
        for low, high in [e[1:]]
        if low is not None and high is not None
    ]
    assert np.mean(held) == pytest.approx(0.95, abs=0.03)


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
