"""What several seeds say together: mean, interquartile mean, interval, probability of improvement.

After Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice":
the interquartile mean (IQM) forgets the luckiest and the unluckiest quarter of the runs, and an
interval by the bootstrap belongs to every number. From few seeds that interval is too narrow: a
resample of n values has, on average, only (n - 1) / n of the variance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from km_rl.errors import InputError

RESAMPLES = 10_000
FEWEST = 3
"""Values below which there is no interval."""


class Estimate(NamedTuple):
    """A number with its 95% interval; ``low`` and ``high`` are None below `FEWEST` values."""

    value: float
    low: float | None
    high: float | None


class Spread(NamedTuple):
    """What n values of one setting come to."""

    mean: Estimate
    iqm: Estimate
    n: int


def spread(values: Sequence[float]) -> Spread:
    """Mean and IQM of the runs of one setting, one value a seed.

    Raises:
        InputError: no values, or one that is not finite.
    """
    x = _checked(values)
    return Spread(_estimate(x, np.mean), _estimate(x, iqm), len(x))


def iqm(values: Sequence[float] | np.ndarray, axis: int = -1) -> np.ndarray:
    """The mean of the middle half: a quarter of the values, rounded down, is cut off each end."""
    return stats.trim_mean(values, 0.25, axis=axis)


def interval(
    values: Sequence[float] | np.ndarray, statistic: Callable[..., np.ndarray]
) -> tuple[float, float] | None:
    """The 95% interval of a statistic by the percentile bootstrap; None below `FEWEST` values.

    Args:
        statistic: takes an array and ``axis``.

    Raises:
        InputError: a value that is not finite.
    """
    x = _checked(values)
    if len(x) < FEWEST:
        return None
    found = stats.bootstrap(
        (x,),
        statistic,
        n_resamples=RESAMPLES,
        method="percentile",
        random_state=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def stratified(values: Sequence[Sequence[float]] | np.ndarray) -> Spread:
    """Mean and IQM over runs (n, tasks), the bootstrap drawing runs anew within each task.

    As Agarwal et al. have it, so the interval is about other runs on these very tasks.

    Raises:
        InputError: no values, or one that is not finite.
    """
    x = np.asarray(values, dtype=np.float64)
    flat = _checked(x)
    return Spread(_stratified(x, flat, np.mean), _stratified(x, flat, iqm), len(x))


def _stratified(x: np.ndarray, flat: np.ndarray, statistic: Callable[..., np.ndarray]) -> Estimate:
    value = float(statistic(flat, axis=-1))
    if len(x) < FEWEST:
        return Estimate(value, None, None)

    def of_all(*tasks: np.ndarray, axis: int) -> np.ndarray:
        return statistic(np.concatenate(tasks, axis=axis), axis=axis)

    found = stats.bootstrap(
        tuple(x.T),
        of_all,
        n_resamples=RESAMPLES,
        method="percentile",
        random_state=np.random.default_rng(0),
    ).confidence_interval
    return Estimate(value, float(found.low), float(found.high))


def probability_of_improvement(
    a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray
) -> float:
    """How often a run of ``a`` beats one of ``b``: P(A > B) + P(A = B) / 2 over all pairs.

    Mann and Whitney's U over the number of pairs.

    Raises:
        InputError: no values, or one that is not finite.
    """
    x, y = _checked(a)[:, None], _checked(b)[None, :]
    return float(((x > y) + 0.5 * (x == y)).mean())


def _estimate(x: np.ndarray, statistic: Callable[..., np.ndarray]) -> Estimate:
    return Estimate(float(statistic(x, axis=-1)), *(interval(x, statistic) or (None, None)))


def _checked(values: Sequence[float] | np.ndarray) -> np.ndarray:
    x = np.asarray(values, dtype=np.float64).ravel()
    if not x.size or not np.isfinite(x).all():
        raise InputError(
            f"The values of a setting are {x.tolist()}: at least one, and finite numbers only, "
            f"are expected; leave out runs that have no result yet."
        )
    return x
