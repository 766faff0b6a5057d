"""One retrieval experiment for all memories: write, corrupt, read, count what came back.

After Bartunov et al. 2020: a batch of patterns is written at once and read back from queries with
flipped units or a blank block. Every memory has room for about as many numbers as a Hopfield
net has weights; what each stores is measured. Patterns are 28 x 28: fair coins, strokes or
Omniglot's test images, the last two with ink where it covers half a pixel. What was learned was
learned on other images.

Metrics:

==================  ==========================================================================
``error_percent``   units that were read wrong
``bits_per_number`` information in what was read less what the query had already, over all
                    patterns written and per stored number; that of a pattern is taken over its
                    units as if they were independent, which drawings are not: too high for them
==================  ==========================================================================
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from km_rl.baselines.associative import AssociativeMemory, from_bits, to_bits
from km_rl.baselines.hopfield import Hopfield, ModernHopfield
from km_rl.baselines.key_value import KeyValueStore
from km_rl.baselines.machines import (
    IMAGE_SHAPE,
    EpisodeRecall,
    KanervaRecall,
    NaturalRecall,
)
from km_rl.baselines.rbm import RBM
from km_rl.baselines.sdm import SparseDistributedMemory
from km_rl.core.episodic import EpisodicModel
from km_rl.core.machine import KanervaMachine
from km_rl.data import Images, draw_episodes
from km_rl.data.corrupt import blank_block, flip
from km_rl.evaluate.classical import coins

SIZE = 28 * 28
BUDGET = SIZE * (SIZE - 1) // 2
"""Stored numbers of a Hopfield net: what no memory may exceed."""
BLOCK = "block"
BLOCK_SIZE = 14
FAILED = 0.05
"""Share of wrong units at which a net has lost its patterns: an overlap of 0.9."""
SETTLED = 5
"""Steps of reading after which that is asked."""
RANDOM = "random"


class Contestant(NamedTuple):
    """A memory in the experiment.

    Attributes:
        empty: makes it.
        steps: of every reading.
        writes: not, to see what a trained machine makes of a query without any memory.
    """

    empty: Callable[[], AssociativeMemory]
    steps: int = 1
    writes: bool = True

    def filled(self, patterns: Tensor) -> AssociativeMemory:
        """The memory with the patterns written, if it writes."""
        memory = self.empty()
        return memory.write(patterns) if self.writes else memory


class Point(NamedTuple):
    """One measurement; see the module for the metrics."""

    patterns: str
    memory: str
    load: int
    corruption: str
    metric: str
    value: float
    seed: int


@dataclass(frozen=True)
class Bench:
    """How much is measured."""

    loads: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 108, 216, 432, 864)
    """Patterns written, for the curve of error against load."""
    load: int = 432
    """Patterns written for that against corruption: four times 0.138 of 784 units."""
    flipped: str = "0.2"
    """Share of flipped units in the first curve."""
    corruptions: tuple[str, ...] = ("0.0", "0.1", "0.2", "0.3", "0.4", BLOCK)
    """Shares of flipped units, or a blank block."""
    queries: int = 128
    """At most so many of the written patterns are read."""
    rbm_updates: int = 300
    """Gradient steps of a write."""
    timed: tuple[int, ...] = (100, 1000, 10_000)
    """Patterns written to time a write and a read."""
    hebbian_sizes: tuple[int, ...] = (500, 1000, 2000, 4000)
    """Units of the nets whose capacity is measured."""
    hebbian_loads: tuple[float, ...] = (0.12, 0.13, 0.14, 0.15, 0.16, 0.17, 0.18, 0.20, 0.22)
    """Patterns for each unit, between which half of them are lost."""
    sdm: tuple[int, int, int] = (500, 20_000, 200)
    """Units, locations and patterns: Kanerva's million and ten thousand over fifty, half the
    units. As in his example an address uses the square root of all locations, or a few more."""
    modern_sizes: tuple[int, ...] = (16, 24, 32, 40, 48, 56, 64)
    """Units of the modern nets whose capacity is measured."""
    modern_flipped: float = 0.25
    """Share of the units of their queries that are turned over."""
    modern_most: int = 2**17
    """Patterns that the largest of them certainly cannot hold."""


DEBUG = Bench(
    loads=(4, 32),
    load=32,
    corruptions=("0.2", BLOCK),
    queries=16,
    rbm_updates=20,
    timed=(20, 40),
    hebbian_sizes=(200, 400),
    hebbian_loads=(0.08, 0.12, 0.16, 0.20, 0.26, 0.4, 0.6),
    sdm=(500, 5000, 100),
    modern_sizes=(16, 24, 32),
    modern_most=2**10,
)


def lineup(
    updates: int, machines: Mapping[str, EpisodicModel[Any]] = MappingProxyType({}), slots: int = 0
) -> dict[str, Contestant]:
    """Every memory, empty, with at most `BUDGET` stored numbers; one net has a diagonal besides.

    Args:
        updates: gradient steps of the RBM.
        machines: trained to recall, by name.
        slots: at least so many patterns fit into those that keep them one by one.
    """
    kept = max(slots, BUDGET // SIZE)
    hebbian = partial(Hopfield.empty, SIZE)
    entries = {
        "hebbian": Contestant(hebbian, 5),
        "pseudo-inverse": Contestant(partial(hebbian, "pseudo-inverse"), 5),
        "modern": Contestant(partial(ModernHopfield.empty, SIZE, kept)),
        "key-value": Contestant(partial(KeyValueStore.empty, SIZE, kept)),
        "sdm": Contestant(partial(SparseDistributedMemory.empty, SIZE, BUDGET // SIZE), 5),
        "rbm": Contestant(partial(RBM.empty, SIZE, (BUDGET - SIZE) // (SIZE + 1), updates)),
        "natural": Contestant(partial(NaturalRecall.empty, SIZE, natural_slots()), 3),
    }
    for name, machine in machines.items():
        if isinstance(machine, KanervaMachine):
            recall = partial(KanervaRecall.empty, machine)
            entries[name] = Contestant(recall)
            entries[f"{name}-unwritten"] = Contestant(recall, writes=False)
        else:
            entries[name] = Contestant(partial(EpisodeRecall.empty, machine))
    return entries


def natural_slots() -> int:
    """The most K with K D + K (K + 1) / 2 numbers within the budget."""
    return next(K for K in range(SIZE, 0, -1) if K * SIZE + K * (K + 1) // 2 <= BUDGET)


def draw(name: str, tests: Mapping[str, Images], n: int, generator: torch.Generator) -> Tensor:
    """n patterns of a set, ``[n, SIZE]``, no drawing twice.

    Raises:
        InputError: there are fewer than n.
    """
    if name == RANDOM:
        return coins(n, SIZE, generator)
    images = draw_episodes(tests[name], 1, n, generator=generator, binarisation="static")
    return from_bits(images[0].flatten(1))


def corrupted(patterns: Tensor, corruption: str, generator: torch.Generator) -> Tensor:
    """Queries: with that share of the units flipped, or a blank block."""
    images = to_bits(patterns).unflatten(1, IMAGE_SHAPE)
    if corruption == BLOCK:
        spoilt = blank_block(images, BLOCK_SIZE, generator)
    else:
        spoilt = flip(images, float(corruption), generator)
    return from_bits(spoilt.flatten(1))


def information(a: Tensor, b: Tensor) -> float:
    """Mutual information of rows of +1 and -1, ``[N, D]``, over each's units, in bits per unit.

    The mean over rows: pooled, rows that were read well and rows that were lost would pass for
    rows that were all read badly.
    """
    joint = torch.stack(
        [torch.stack([((a == x) & (b == y)).double().mean(1) for y in (-1, 1)]) for x in (-1, 1)]
    )
    independent = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    return float((joint * (joint / independent).log2()).nan_to_num(0.0).sum((0, 1)).mean())


def cells(bench: Bench, tests: Mapping[str, Images]) -> list[tuple[str, int, str]]:
    """Set, load and corruption of every measurement: one curve against each of the two."""
    loads = [(load, bench.flipped) for load in bench.loads]
    corruptions = [(bench.load, corruption) for corruption in bench.corruptions]
    both = list(dict.fromkeys([*loads, *corruptions]))
    return [(patterns, *place) for patterns in (RANDOM, *tests) for place in both]


def measured(
    bench: Bench,
    name: str,
    contestant: Contestant,
    tests: Mapping[str, Images],
    seed: int,
    patterns: str,
    load: int,
    corruption: str,
) -> Iterator[Point]:
    """Write so many patterns, read them back; the same patterns and queries for all memories."""
    generator = torch.Generator().manual_seed(seed)
    X = draw(patterns, tests, load, generator)
    asked = X[torch.randperm(load, generator=generator)[: bench.queries]]
    queries = corrupted(asked, corruption, generator)
    torch.manual_seed(seed)
    memory = contestant.filled(X)
    read = memory.read(queries, contestant.steps)
    gained = information(asked, read) - information(asked, queries)
    facts = {
        "error_percent": 100 * float((read != asked).float().mean()),
        "bits_per_number": load * SIZE * gained / memory.stored_numbers,
    }
    for metric, value in facts.items():
        yield Point(patterns, name, load, corruption, metric, value, seed)


def failing_load(net: AssociativeMemory, patterns: Tensor) -> int:
    """The first load at which a memory loses its patterns, read from these themselves.

    That is where after `SETTLED` steps more than `FAILED` of their units are wrong. Loads grow by
    one up to 40, then by a twentieth; the number of patterns where it never fails.
    """
    load = 1
    while load < len(patterns):
        X = patterns[:load]
        if (net.write(X).read(X, SETTLED) != X).float().mean() > FAILED:
            return load
        load += max(1, load // 20)
    return len(patterns)


def costs(contestant: Contestant, n: int, queries: int, seed: int) -> tuple[float, float]:
    """CPU microseconds to write a pattern when n are, and to read one with n in memory.

    The time of other programs does not count, that of all threads does.
    """
    generator = torch.Generator().manual_seed(seed)
    X = coins(n, SIZE, generator)
    asked = X[:queries]
    memory = contestant.empty()
    start = time.process_time()
    memory = memory.write(X)
    written = time.process_time()
    memory.read(asked, contestant.steps)
    read = time.process_time()
    return 1e6 * (written - start) / n, 1e6 * (read - written) / len(asked)


def lines(found: Sequence[Point]) -> list[Sequence[Any]]:
    """The points as lines of a CSV file, sorted."""
    return [[*map(str, point[:-2]), f"{point.value:.6g}", str(point.seed)] for point in found]
