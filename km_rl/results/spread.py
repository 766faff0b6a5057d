"""What several seeds say together: mean, interquartile mean, intervals, who is better how often.

Seeds are few, so the interval of a mean is Student's t. The percentile bootstrap of three values
is the smallest and the largest of them, which hold the mean of normal ones three times in four.
After Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice",
the interquartile mean (IQM) forgets the luckiest and the unluckiest quarter of the runs. Its
interval is the bootstrap's, from five values on: of normal ones it holds 89% of the time with five
and 94% with ten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from km_rl.errors import InputError

RESAMPLES = 10_000
FEWEST = 3
"""Runs below which figures of returns have no band and tables no probability."""
FEWEST_IQM = 4
"""Values below which there is no quarter to leave out."""
FEWEST_RESAMPLED = 5
"""Values below which there is no bootstrap."""


class Estimate(NamedTuple):
    """A number with its 95% interval; ``low`` and ``high`` are None where values are too few."""

    value: float
    low: float | None
    high: float | None


class Spread(NamedTuple):
    """What n values of one setting come to; ``iqm`` is None below `FEWEST_IQM`."""

    mean: Estimate
    iqm: Estimate | None
    n: int


def spread(values: Sequence[float]) -> Spread:
    """Mean and IQM of the runs of one setting, one value a seed.

    Raises:
        InputError: no values, or one that is not finite.
    """
    x = _checked(values)
    return Spread(mean(x), _middle(x) if len(x) >= FEWEST_IQM else None, len(x))


def iqm(values: Sequence[float] | np.ndarray, axis: int = -1) -> np.ndarray:
    """The mean of the middle half: a quarter of the values, rounded down, is cut off each end."""
    return stats.trim_mean(values, 0.25, axis=axis)


def mean(values: Sequence[float] | np.ndarray) -> Estimate:
    """The mean and its 95% interval by Student's t; no interval from one value.

    Raises:
        InputError: no values, or one that is not finite.
    """
    x = _checked(values)
    return _about(float(x.mean()), x)


def across_tasks(values: Sequence[Sequence[float]] | np.ndarray) -> Spread:
    """Mean and IQM over runs (seeds, tasks); the interval is over seeds, each with all its tasks.

    The runs of a seed share a net and more luck than that, which would average out if each counted
    as a value of its own. So the interval is Student's t of what each seed comes to, about other
    seeds on these very tasks; of the IQM, of what each seed's is.

    Raises:
        InputError: no values, or one that is not finite.
    """
    x = np.asarray(values, dtype=np.float64)
    flat = _checked(x)
    middle = _about(float(iqm(flat)), iqm(x)) if len(flat) >= FEWEST_IQM else None
    return Spread(_about(float(flat.mean()), x.mean(-1)), middle, len(x))


def improvement(
    a: Sequence[Sequence[float]] | np.ndarray, b: Sequence[Sequence[float]] | np.ndarray
) -> Estimate:
    """The `probability_of_improvement` of runs (seeds, tasks) over others, its mean over tasks.

    The interval is Student's t with the variance of a two-sample U-statistic: that of what each
    seed of ``a`` wins against all of ``b``, over their number, and the same the other way round
    (Hoeffding 1948; DeLong et al. 1988). Seeds that all win alike say nothing of that variance, so
    then there is none.

    Raises:
        InputError: no values, or one that is not finite.
    """
    x, y = (np.asarray(v, dtype=np.float64) for v in (a, b))
    for runs in (x, y):
        _checked(runs)
    better = ((x[:, None] > y) + 0.5 * (x[:, None] == y)).mean(-1)
    value = float(better.mean())
    if min(better.shape) == 1:
        return Estimate(value, None, None)
    variance = sum(
        float(np.var(seeds, ddof=1)) / len(seeds) for seeds in (better.mean(1), better.mean(0))
    )
    if variance == 0:
        return Estimate(value, None, None)
    half = _t(min(better.shape)) * variance**0.5
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))


def _about(value: float, values: np.ndarray) -> Estimate:
    """A number, with the 95% interval of the mean of what each seed says of it."""
    n = len(values)
    if n == 1:
        return Estimate(value, None, None)
    half = _t(n) * float(np.std(values, ddof=1)) / n**0.5
    return Estimate(value, value - half, value + half)


def _t(n: int) -> float:
    """The 97.5% quantile of Student's t for n values."""
    return float(stats.t.ppf(0.975, n - 1))


def _middle(x: np.ndarray) -> Estimate:
    """The IQM and its 95% interval by the percentile bootstrap."""
    value = float(iqm(x))
    if len(x) < FEWEST_RESAMPLED:
        return Estimate(value, None, None)
    found = stats.bootstrap(
        (x,),
        iqm,
        n_resamples=RESAMPLES,
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


def _checked(values: Sequence[float] | np.ndarray) -> np.ndarray:
    x = np.asarray(values, dtype=np.float64).ravel()
    if not x.size or not np.isfinite(x).all():
        raise InputError(
            f"The values of a setting are {x.tolist()}: at least one, and finite numbers only, "
            f"are expected; leave out runs that have no result yet."
        )
    return x
