"""What several seeds say together: mean, interquartile mean, interval, probability of improvement.

After Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice":
the interquartile mean (IQM) forgets the luckiest and the unluckiest quarter of the runs, and an
interval by the bootstrap belongs to every number. From few seeds that interval is too narrow: a
resample of n values has, on average, only (n - 1) / n of the variance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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
    _, low, high = _resampled(0.0, (x,), statistic)
    return None if low is None or high is None else (low, high)


def across_tasks(values: Sequence[Sequence[float]] | np.ndarray) -> Spread:
    """Mean and IQM over runs (seeds, tasks), the bootstrap drawing seeds with all tasks.

    The runs of a seed share a net and more luck than that, so they are drawn together; drawn task
    by task, as Agarwal et al. do where runs are independent, that luck would average out. The
    interval is about other seeds on these very tasks.

    Raises:
        InputError: no values, or one that is not finite.
    """
    x = np.asarray(values, dtype=np.float64)
    flat = _checked(x)
    return Spread(_across_tasks(x, flat, np.mean), _across_tasks(x, flat, iqm), len(x))


def _across_tasks(
    x: np.ndarray, flat: np.ndarray, statistic: Callable[..., np.ndarray]
) -> Estimate:
    def of_all(*tasks: np.ndarray, axis: int) -> np.ndarray:
        return statistic(np.concatenate(tasks, axis=axis), axis=axis)

    return _resampled(float(statistic(flat, axis=-1)), tuple(x.T), of_all, paired=True)


def improvement(
    a: Sequence[Sequence[float]] | np.ndarray, b: Sequence[Sequence[float]] | np.ndarray
) -> Estimate:
    """The `probability_of_improvement` of runs (seeds, tasks) over others, its mean over tasks.

    The bootstrap draws seeds of each anew, each with all tasks.

    Raises:
        InputError: no values, or one that is not finite.
    """
    x, y = (np.asarray(v, dtype=np.float64) for v in (a, b))
    for runs in (x, y):
        _checked(runs)
    better = (x[:, None] > y).mean(-1) + 0.5 * (x[:, None] == y).mean(-1)

    def of_seeds(i: np.ndarray, j: np.ndarray, axis: int) -> np.ndarray:
        i, j = np.moveaxis(i, axis, -1), np.moveaxis(j, axis, -1)
        return better[i[..., :, None], j[..., None, :]].mean((-2, -1))

    return _resampled(float(better.mean()), tuple(map(np.arange, better.shape)), of_seeds)


def _resampled(
    value: float, samples: tuple[np.ndarray, ...], statistic: Any, paired: bool = False
) -> Estimate:
    """With the percentile bootstrap's interval, unless a sample has fewer than `FEWEST`."""
    if min(map(len, samples)) < FEWEST:
        return Estimate(value, None, None)
    found = stats.bootstrap(
        samples,
        statistic,
        n_resamples=RESAMPLES,
        paired=paired,
        vectorized=True,
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
