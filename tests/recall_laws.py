"""The laws of recall, whatever the associative memory.

A test class inherits `RecallLaws` and parametrises ``empty``, a function that makes a memory for
patterns of `SIZE` units, with room for `FEW` of them.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from km_rl.baselines.associative import AssociativeMemory
from km_rl.errors import InputError

Empty = Callable[[], AssociativeMemory]
SIZE, FEW = 64, 4


def random_patterns(n: int, size: int = SIZE, seed: int = 0) -> Tensor:
    """Patterns of fair coins, ``[n, size]``."""
    generator = torch.Generator().manual_seed(seed)
    return 2.0 * torch.randint(2, (n, size), generator=generator) - 1


def flipped(patterns: Tensor, units: int) -> Tensor:
    """The patterns with their first ``units`` units turned over."""
    return torch.cat([-patterns[:, :units], patterns[:, units:]], 1)


class RecallLaws:
    """What holds for every associative memory."""

    def test_what_is_stored_stays(self, empty: Empty) -> None:
        patterns = random_patterns(FEW)
        assert torch.equal(empty().write(patterns).read(patterns, steps=3), patterns)

    def test_a_corrupted_pattern_is_restored(self, empty: Empty) -> None:
        patterns = random_patterns(FEW)
        read = empty().write(patterns).read(flipped(patterns, 6), steps=5)
        assert torch.equal(read, patterns)

    def test_the_order_of_writing_does_not_matter(self, empty: Empty) -> None:
        patterns = random_patterns(FEW)
        queries, order = flipped(patterns, 9), torch.tensor([2, 0, 3, 1])
        reads = [read_alike(empty().write(x), queries) for x in (patterns, patterns[order])]
        assert torch.equal(*reads)

    def test_one_by_one_is_at_once(self, empty: Empty) -> None:
        patterns, queries = random_patterns(FEW), random_patterns(20, seed=1)
        memory = empty()
        for pattern in patterns:
            memory = memory.write(pattern[None])
        reads = [read_alike(x, queries) for x in (memory, empty().write(patterns))]
        assert torch.equal(*reads)

    def test_writing_leaves_the_memory_before_as_it_was(self, empty: Empty) -> None:
        queries = random_patterns(5, seed=1)
        before = empty().write(random_patterns(2))
        read = read_alike(before, queries)
        before.write(random_patterns(FEW, seed=2))
        assert torch.equal(read_alike(before, queries), read)

    def test_queries_are_read_each_for_itself(self, empty: Empty) -> None:
        patterns = random_patterns(FEW)
        memory, queries = empty().write(patterns), flipped(patterns, 6)
        alone = torch.cat([memory.read(query[None], 5) for query in queries])
        assert torch.equal(memory.read(queries, 5), alone)

    def test_its_size_does_not_depend_on_what_is_written(self, empty: Empty) -> None:
        memory = empty()
        assert memory.stored_numbers > 0
        assert memory.write(random_patterns(FEW)).stored_numbers == memory.stored_numbers

    @pytest.mark.parametrize("value", [0.0, 0.5, 2.0, float("nan")])
    def test_other_values_are_refused(self, empty: Empty, value: float) -> None:
        patterns = random_patterns(3)
        patterns[1, 2] = value
        memory = empty().write(random_patterns(FEW))
        for use in (memory.write, memory.read):
            with pytest.raises(InputError, match=r"\+1 and -1 are expected"):
                use(patterns)

    @pytest.mark.parametrize("shape", [(SIZE,), (2, SIZE + 1), (1, 2, SIZE), (0, SIZE)], ids=str)
    def test_other_shapes_are_refused(self, empty: Empty, shape: tuple[int, ...]) -> None:
        memory = empty().write(random_patterns(FEW))
        for use in (memory.write, memory.read):
            with pytest.raises(InputError, match="shape"):
                use(torch.ones(shape))

    def test_no_steps_are_refused(self, empty: Empty) -> None:
        with pytest.raises(InputError, match="steps is 0"):
            empty().write(random_patterns(FEW)).read(random_patterns(FEW), 0)


class CudaLaws:
    """The same on a GPU, for memories whose reading draws no random numbers there."""

    @pytest.mark.cuda
    def test_patterns_on_a_gpu_are_read_there(self, empty: Empty) -> None:
        patterns = random_patterns(FEW).cuda()
        read = empty().write(patterns).read(flipped(patterns, 6), steps=5)
        assert read.device == patterns.device
        assert torch.equal(read, patterns)


def read_alike(memory: AssociativeMemory, queries: Tensor) -> Tensor:
    """Read with the same random numbers each time."""
    torch.manual_seed(0)
    return memory.read(queries, 2)
