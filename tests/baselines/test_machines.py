"""The machines as associative memories: the same write and read in other words."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from recall_laws import random_patterns
from torch import Tensor
from torch.testing import assert_close

from km_rl.baselines.associative import from_bits, to_bits
from km_rl.baselines.dkm import DKM
from km_rl.baselines.dnc import DNC, LRUA
from km_rl.baselines.machines import EpisodeRecall, KanervaRecall, NaturalRecall, images_of
from km_rl.core.episodic import EpisodicModel
from km_rl.core.machine import KanervaMachine
from km_rl.core.natural import NaturalMemory
from km_rl.errors import InputError

SHAPE = (1, 8, 8)
SIZE = 64


@pytest.fixture
def machine() -> KanervaMachine:
    return KanervaMachine.build(SHAPE, filters=2, slots=6, code=4, key=3).eval()


@pytest.fixture
def patterns() -> Tensor:
    return random_patterns(5, SIZE)


def seeded(memory: KanervaRecall | EpisodeRecall, patterns: Tensor) -> KanervaRecall:
    """Written with the same samples of addresses and codes each time."""
    torch.manual_seed(1)
    return memory.write(patterns)  # type: ignore[return-value]


def test_a_machine_writes_and_reads_what_it_would_as_images(
    machine: KanervaMachine, patterns: Tensor
) -> None:
    images = ((patterns + 1) / 2).view(1, 5, *SHAPE)
    torch.manual_seed(1)
    with torch.no_grad():
        pictures = machine.read(machine.write(images), images, steps=2)
    read = seeded(KanervaRecall.empty(machine, SHAPE), patterns).read(patterns, steps=2)
    assert torch.equal(read, torch.where(pictures > 0.5, 1.0, -1.0).view(5, SIZE))


def test_any_machine_of_that_shape_joins(machine: KanervaMachine, patterns: Tensor) -> None:
    other = EpisodeRecall.empty(machine, SHAPE)
    mine = seeded(KanervaRecall.empty(machine, SHAPE), patterns)
    assert torch.equal(seeded(other, patterns).read(patterns), mine.read(patterns))
    with pytest.raises(InputError, match="at once"):
        seeded(other, patterns).write(patterns)
    with pytest.raises(InputError, match="Nothing is written"):
        other.read(patterns)


def test_a_machine_may_be_written_to_again(machine: KanervaMachine, patterns: Tensor) -> None:
    memory = KanervaRecall.empty(machine, SHAPE)
    torch.manual_seed(1)
    twice = memory.write(patterns[:2]).write(patterns[2:]).memory
    torch.manual_seed(1)
    with torch.no_grad():
        items = [machine.items(images_of(part, SHAPE)) for part in patterns.split([2, 3])]
        w, z = (torch.cat(parts, 1) for parts in zip(*items, strict=True))
        natural = NaturalMemory.prior(*(x[None] for x in machine.prior()))
        moments = natural.write(w, z, machine.prior.noise_var).moments()
    assert_close(twice.mean.double(), moments.mean, rtol=1e-3, atol=1e-3)
    assert_close(twice.cov.double(), moments.cov, rtol=1e-3, atol=1e-3)


def test_a_diagonal_machine_keeps_a_diagonal_memory(patterns: Tensor) -> None:
    options: dict[str, Any] = {"filters": 2, "slots": 6, "code": 4, "diagonal_covariance": True}
    machine = KanervaMachine.build(SHAPE, **options).eval()
    found = seeded(KanervaRecall.empty(machine, SHAPE), patterns)
    torch.manual_seed(1)
    with torch.no_grad():
        wanted = machine.write(images_of(patterns, SHAPE))
    assert_close(found.memory.mean.float(), wanted.mean)
    assert_close(found.memory.cov.float(), wanted.cov)
    assert found.stored_numbers == 6 * 4 + 6


def test_numbers_are_counted(machine: KanervaMachine) -> None:
    assert KanervaRecall.empty(machine, SHAPE).stored_numbers == 6 * 4 + 21
    assert NaturalRecall.empty(SIZE, 6).stored_numbers == 6 * SIZE + 21


@pytest.mark.parametrize("kind", [DKM, DNC, LRUA])
def test_what_writing_changes_is_counted(kind: type[EpisodicModel[Any]], patterns: Tensor) -> None:
    """Once: of a symmetric matrix the lower triangle."""
    machine = kind.build(SHAPE, filters=2, slots=6, code=4)
    memory = EpisodeRecall.empty(machine, SHAPE).write(patterns).memory
    changed = [x.tril() if kind is DKM and x.shape[-2:] == (6, 6) else x for x in memory]
    numbers = sum(int(x.count_nonzero()) for x in changed)
    assert EpisodeRecall.empty(machine, SHAPE).stored_numbers == numbers


def test_a_long_stream_leaves_a_covariance_positive_definite() -> None:
    """In float32 it would not stay so: what is left of the prior is less than its rounding."""
    big = KanervaMachine.build(SHAPE, filters=2, slots=64, code=4, key=64, noise_var=1e-4)
    memory = KanervaRecall.empty(big, SHAPE)
    for seed in range(20):
        memory = seeded(memory, random_patterns(128, SIZE, seed))
    assert torch.linalg.eigvalsh(memory.memory.cov.double()).min() > 0


def test_a_natural_memory_is_ridge_regression(patterns: Tensor) -> None:
    memory = NaturalRecall.empty(SIZE, 7, noise_var=0.5)
    w, queries = memory.weights(patterns).double(), random_patterns(9, SIZE, seed=1)
    ridge = torch.linalg.inv(w.mT @ w + 0.5 * torch.eye(7).double()) @ w.mT @ patterns.double()
    expected = (memory.weights(queries).double() @ ridge).sign().float()
    assert torch.equal(memory.write(patterns).read(queries), expected)


def test_patterns_of_another_size_are_refused(machine: KanervaMachine) -> None:
    with pytest.raises(InputError, match=r"shape \(N, 64\) is expected"):
        KanervaRecall.empty(machine, SHAPE).write(random_patterns(2, 65))


def test_bits_and_signs_are_the_same_thing(patterns: Tensor) -> None:
    assert torch.equal(from_bits(to_bits(patterns)), patterns)
    with pytest.raises(InputError, match=r"hold 0\.5: 0 and 1 are expected"):
        from_bits(torch.tensor([[0.0, 0.5]]))


@pytest.mark.parametrize("options", [{"noise_var": 0.0}, {"gain": -1.0}, {"slots": 0}])
def test_what_no_memory_can_have_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        NaturalRecall.empty(**{"size": SIZE, "slots": 4} | options)  # type: ignore[arg-type]
