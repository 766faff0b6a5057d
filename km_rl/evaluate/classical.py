"""The classical facts: where each of the old memories fails, measured on random patterns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from scipy.stats import linregress
from torch import Tensor

from km_rl.baselines.hopfield import Hopfield, ModernHopfield
from km_rl.baselines.sdm import SparseDistributedMemory, critical_distance
from km_rl.errors import InputError

KEPT = 0.9
"""Overlap with the pattern above which a Hopfield net has kept it. Near its capacity it ends at
0.97 or at 0.3, hardly ever between."""
SWEEPS = 50
QUERIES = 64


def coins(n: int, size: int, generator: torch.Generator) -> Tensor:
    """Random patterns, +1 or -1 with equal chance, ``[n, size]``."""
    return 2.0 * torch.randint(2, (n, size), generator=generator) - 1


def turned(patterns: Tensor, units: int, generator: torch.Generator) -> Tensor:
    """The patterns with exactly so many random units turned over."""
    order = torch.rand(patterns.shape, generator=generator).argsort(1)
    return torch.where(order < units, -patterns, patterns)


def crossing(xs: Sequence[float], ys: Sequence[float], level: float) -> float:
    """Where ys first passes the level, in a straight line between neighbours.

    Raises:
        InputError: it never does.
    """
    for i in range(1, len(xs)):
        low, high = ys[i - 1] - level, ys[i] - level
        if low == 0:
            return xs[i - 1]
        if low * high <= 0:
            return xs[i - 1] + (xs[i] - xs[i - 1]) * low / (low - high)
    raise InputError(
        f"From {xs[0]:g} to {xs[-1]:g} the level {level:g} is never passed (values from "
        f"{min(ys):g} to {max(ys):g}): measure over a wider range."
    )


def hebbian_capacity(size: int, loads: Sequence[float], seed: int) -> float:
    """The load N/D at which half of the patterns are lost, read from the patterns themselves.

    Amit, Gutfreund & Sompolinsky 1985: 0.138 for endlessly many units; fewer hold more for each,
    see `without_end`. All units are updated at once, up to `SWEEPS` times.

    Raises:
        InputError: the loads do not reach from where most are kept to where most are lost.
    """
    generator = torch.Generator().manual_seed(seed)
    patterns = coins(round(max(loads) * size), size, generator)
    net, written, kept = Hopfield.empty(size, update="synchronous"), 0, []
    for load in sorted(loads):
        net = net.write(patterns[written : round(load * size)])
        written = round(load * size)
        kept.append(_kept(net, patterns[: min(written, QUERIES)]))
    return crossing(sorted(loads), kept, 0.5)


def _kept(net: Hopfield, patterns: Tensor) -> float:
    overlap = (net.read(patterns, SWEEPS) * patterns).mean(1)
    return float((overlap > KEPT).float().mean())


def without_end(sizes: Sequence[int], capacities: Sequence[float], power: float = 0.5) -> float:
    """The capacity c of an endlessly large net: ``c(D) = c + a / D**power`` by least squares.

    Over D units a sample's crosstalk is off its mean by some 1 / sqrt(D); that the capacity comes
    down by the same power is a guess, which moves c by a hundredth: give the values of each too.

    Raises:
        InputError: fewer than two sizes.
    """
    if len(set(sizes)) < 2:
        raise InputError(f"Sizes {list(sizes)} were given: two different ones are expected.")
    return float(linregress([size**-power for size in sizes], capacities).intercept)


def sdm_critical_distance(size: int, locations: int, patterns: int, seed: int) -> float:
    """The distance from which one reading leads no closer to a pattern, on average.

    Raises:
        InputError: it lies outside half to one and a half times what is expected.
    """
    generator = torch.Generator().manual_seed(seed)
    X = coins(patterns, size, generator)
    unrelated = int(torch.randint(2**31, (), generator=generator))
    memory = SparseDistributedMemory.empty(size, locations, seed=unrelated).write(X)
    expected = critical_distance(size, locations, memory.radius, patterns)
    distances = [round(expected * (0.5 + 0.1 * i)) for i in range(11)]
    gained = []
    for distance in distances:
        read = memory.read(turned(X, distance, generator))
        gained.append(distance - float((read != X).sum(1).float().mean()))
    return crossing(distances, gained, 0.0)


def modern_capacity(size: int, share: float, most: int, seed: int) -> float:
    """How many patterns a modern net holds: half of the queries are restored to the last unit.

    Args:
        share: of the units of a query, turned over.
        most: the most patterns to try.

    Raises:
        InputError: it holds more than ``most``.
    """
    generator = torch.Generator().manual_seed(seed)
    doublings = list(range(int(math.log2(most)) + 1))
    restored = [_restored(size, share, 2**k, generator) for k in doublings]
    return 2 ** crossing(doublings, restored, 0.5)


def _restored(size: int, share: float, n: int, generator: torch.Generator) -> float:
    """Averaged over several nets where one has few patterns to query."""
    found = []
    for _ in range(max(1, QUERIES // n)):
        X = coins(n, size, generator)
        queries = turned(X[:QUERIES], round(share * size), generator)
        read = ModernHopfield.empty(size, n).write(X).read(queries)
        found.append(float((read == X[:QUERIES]).all(1).float().mean()))
    return sum(found) / len(found)


def doublings_per_unit(sizes: Sequence[int], capacities: Sequence[float]) -> tuple[float, float]:
    """Slope of log2 capacity over size by least squares, and the share of variance explained."""
    line = linregress(sizes, [math.log2(capacity) for capacity in capacities])
    return float(line.slope), float(line.rvalue**2)


def entropy(p: float) -> float:
    """Of a coin, in bits."""
    return sum(-q * math.log2(q) for q in (p, 1 - p) if q > 0)
