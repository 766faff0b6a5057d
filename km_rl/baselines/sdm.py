r"""Sparse distributed memory (Kanerva 1988): counters at random addresses.

L hard locations have fixed random addresses. A pattern is added to the counters of every location
within a Hamming radius of it; a reading sums the counters of those within the radius of the query
and takes signs. A query closer to a pattern than the critical distance is drawn to it, one
farther off drifts away.

Axes: ``N`` patterns, ``D`` units, ``L`` hard locations.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from km_rl.baselines.associative import checked, signs
from km_rl.baselines.hamming import distances, pack
from km_rl.errors import InputError, at_least_one


class SparseDistributedMemory(NamedTuple):
    """Hard locations and their counters.

    Attributes:
        addresses: of the locations, packed, with shape (L, ceil(D / 64)).
        counters: whole numbers in float32, with shape (L, D).
        radius: the largest distance at which a location is in use.
    """

    addresses: Tensor
    counters: Tensor
    radius: int

    @classmethod
    def empty(
        cls, size: int, locations: int, radius: int | None = None, seed: int = 0
    ) -> SparseDistributedMemory:
        """Random locations for patterns of ``size`` units, and nothing written.

        Args:
            radius: by default such that an address is near the square root of L locations, as in
                Kanerva's example: a million of them, of which a thousand are used.

        Raises:
            InputError: sizes below 1, a radius outside 0..size.
        """
        at_least_one(size=size, locations=locations)
        if radius is None:
            radius = radius_for(size, locations**-0.5)
        if not 0 <= radius <= size:
            raise InputError(
                f"A radius of {radius} was given: give one from 0 to {size}, the units of a "
                f"pattern."
            )
        generator = torch.Generator().manual_seed(seed)
        addresses = torch.rand(locations, size, generator=generator) - 0.5
        return cls(pack(addresses), torch.zeros(locations, size), radius)

    @property
    def stored_numbers(self) -> int:
        """The counters; the addresses are as random at the end as they were before."""
        return self.counters.numel()

    def write(self, patterns: Tensor) -> SparseDistributedMemory:
        """Add patterns to the counters near them; their order does not matter."""
        X = checked(patterns, self.counters.shape[1])
        return self._replace(counters=self.counters.to(X.device) + self.near(X).mT @ X)

    def read(self, queries: Tensor, steps: int = 1) -> Tensor:
        """Signs of the summed counters, fed back ``steps`` times."""
        at_least_one(steps=steps)
        states = checked(queries, self.counters.shape[1])
        for _ in range(steps):
            states = signs(self.near(states) @ self.counters, states)
        return states

    def near(self, patterns: Tensor) -> Tensor:
        """Which locations each pattern uses: 0 or 1, float32, with shape (N, L)."""
        addresses = self.addresses.to(patterns.device)
        return (distances(pack(patterns), addresses) <= self.radius).float()


def share_within(size: int, radius: int) -> float:
    """The share of all addresses within the radius of one, P(Binomial(size, 1/2) <= radius)."""
    return float(_binomial(size)[: radius + 1].sum())


def radius_for(size: int, share: float) -> int:
    """The smallest radius within which lies at least this share of all addresses."""
    return min(size, int((_binomial(size).cumsum(0) < share).sum()))


def shared_within(size: int, radius: int, distance: int) -> float:
    """The share of all addresses within the radius of both of two that lie ``distance`` apart.

    An address that differs from the first in i of the units where the two differ, and in j of the
    others, is i + j from the first and distance - i + j from the second.
    """
    i = torch.arange(distance + 1)
    most = radius - torch.maximum(i, distance - i)
    within = _binomial(size - distance).cumsum(0)[most.clamp(0, size - distance)]
    return float((_binomial(distance) * within * (most >= 0)).sum())


def _binomial(n: int) -> Tensor:
    """P(k heads of n fair coins) for k from 0 to n, float64."""
    k = torch.arange(n + 1, dtype=torch.float64)
    ways = math.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
    return (ways - n * math.log(2)).exp()


def error_after_reading(
    size: int, locations: int, radius: int, patterns: int, distance: int, varied: bool = True
) -> float:
    """The expected share of wrong units after one reading, from a query ``distance`` off.

    The pattern's own copies come back from the locations it shares with the query. Of every other
    one come L p^2 copies on average, p the share of locations in use, and their signs are noise.

    Args:
        varied: let that number vary from pattern to pattern as chance would have it, which makes
            for more noise. Kanerva's own estimate (1988, chapter 7) takes it at its mean.
    """
    copies = locations * share_within(size, radius) ** 2
    noise = math.sqrt(max(0, patterns - 1) * (copies**2 + varied * copies))
    signal = locations * shared_within(size, radius, distance)
    if not noise:
        return 0.0 if signal else 0.5
    return 0.5 * math.erfc(signal / noise / math.sqrt(2))


def critical_distance(
    size: int, locations: int, radius: int, patterns: int, varied: bool = True
) -> int:
    """The least distance from which a reading is expected to lead no closer; arguments as above.

    Kanerva's example, 1,000 units, a million locations, a radius of 451 and 10,000 patterns, has
    one of 209 by his estimate.
    """
    reading = lambda distance: (
        size * error_after_reading(size, locations, radius, patterns, distance, varied)
    )
    return next((d for d in range(1, size // 2) if reading(d) >= d), size // 2)
