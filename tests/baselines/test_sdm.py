"""Sparse distributed memory against a Hamming ball by hand, and Kanerva's own example."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from recall_laws import random_patterns
from torch.testing import assert_close

from km_rl.baselines.hamming import distances, pack
from km_rl.baselines.sdm import (
    SparseDistributedMemory,
    critical_distance,
    error_after_reading,
    radius_for,
    share_within,
    shared_within,
)
from km_rl.errors import InputError


@pytest.mark.parametrize("size", [1, 63, 64, 65, 128, 200])
def test_packed_distances_are_counts(size: int) -> None:
    a, b = random_patterns(7, size), random_patterns(11, size, seed=1)
    counted = (a[:, None] != b).sum(-1)
    assert torch.equal(distances(pack(a), pack(b)), counted)
    assert torch.equal(distances(pack(a), pack(-a)).diagonal(), torch.full((7,), size))


def test_distances_in_parts_are_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pack(random_patterns(9, 70)), pack(random_patterns(5, 70, seed=1))
    whole = distances(a, b)
    monkeypatch.setattr("km_rl.baselines.hamming.CHUNK", 21)
    assert torch.equal(distances(a, b), whole)


def test_reading_is_a_sum_over_the_ball() -> None:
    size, locations, radius = 20, 300, 7
    memory = SparseDistributedMemory.empty(size, locations, radius, seed=3)
    generator = torch.Generator().manual_seed(3)
    addresses = (torch.rand(locations, size, generator=generator) - 0.5).sign()
    patterns, queries = random_patterns(6, size), random_patterns(9, size, seed=1)
    sums = torch.zeros(9, size)
    for (q, query), address, pattern in product(enumerate(queries), addresses, patterns):
        if (address != query).sum() <= radius and (address != pattern).sum() <= radius:
            sums[q] += pattern
    read = memory.write(patterns).read(queries)
    assert torch.equal(read, torch.where(sums == 0, queries, sums.sign()))


@pytest.mark.parametrize("distance", [0, 1, 4, 9])
def test_what_two_balls_share_is_a_count(distance: int) -> None:
    size, radius = 9, 3
    points = torch.tensor(list(product([-1.0, 1.0], repeat=size)))
    a = torch.ones(size)
    b = torch.cat([-a[:distance], a[distance:]])
    near = [(points != x).sum(-1) <= radius for x in (a, b)]
    assert_close(shared_within(size, radius, distance), float((near[0] & near[1]).float().mean()))
    assert_close(share_within(size, radius), float(near[0].float().mean()))


def test_kanervas_example() -> None:
    assert share_within(1000, 451) * 1e6 == pytest.approx(1072, abs=1)
    assert radius_for(1000, 0.001) == 451
    assert critical_distance(1000, 10**6, 451, 10**4, varied=False) == pytest.approx(209, abs=2)


def test_a_reading_leads_closer_within_the_critical_distance_and_not_beyond() -> None:
    size, locations, patterns = 500, 5000, random_patterns(100, 500)
    memory = SparseDistributedMemory.empty(size, locations).write(patterns)
    limit = critical_distance(size, locations, memory.radius, len(patterns))
    flips = torch.rand(100, size).argsort(1)
    gained = {}
    for distance in (int(0.7 * limit), int(1.3 * limit)):
        queries = torch.where(flips < distance, -patterns, patterns)
        gained[distance] = distance - (memory.read(queries) != patterns).sum(1).float().mean()
    within, beyond = gained.values()
    assert 30 < limit < 240
    assert within > 10 and beyond < -2


@pytest.mark.parametrize("radius", [-1, 21])
def test_a_radius_out_of_range_is_refused(radius: int) -> None:
    with pytest.raises(InputError, match=f"radius of {radius}.*from 0 to 20"):
        SparseDistributedMemory.empty(20, 10, radius)


@pytest.mark.parametrize("sizes", [(0, 10), (20, 0)])
def test_sizes_below_one_are_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="is 0"):
        SparseDistributedMemory.empty(*sizes)


@pytest.mark.parametrize("size", [1, 2, 8, 500, 1000])
def test_one_location_is_used_by_every_pattern(size: int) -> None:
    assert radius_for(size, 1.0) == size
    memory = SparseDistributedMemory.empty(size, 1)
    assert memory.near(torch.ones(2, size)).all()


def test_one_pattern_alone_is_read_without_noise() -> None:
    assert error_after_reading(100, 50, 45, 1, 0) == 0
    assert error_after_reading(100, 50, 45, 2, 0) > 0
    assert error_after_reading(1000, 10, 0, 5, 3) == 0.5  # nobody near: a coin
