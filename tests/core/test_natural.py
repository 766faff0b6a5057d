"""The natural form: sums of what was written, so that it merges, forgets and decays exactly."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from laws import SIZES, Case, Size, close, draw_case
from torch import Tensor

from km_rl.core.memory import Memory
from km_rl.core.natural import NaturalMemory
from km_rl.errors import InputError

SIZE = Size(8, 4, 3)


def empty(case: Case) -> NaturalMemory:
    return NaturalMemory.prior(*case.prior)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)], ids=str)
def test_merging_four_shards_is_one_write(batch: tuple[int, ...]) -> None:
    case = draw_case(SIZE, batch)
    shards = zip(case.w.split(2, -2), case.z.split(2, -2), strict=True)
    first, *others = (empty(case).write(w, z, case.noise_var) for w, z in shards)
    close(first.merge(*others), empty(case).write(case.w, case.z, case.noise_var))


def test_merging_with_nothing_changes_nothing() -> None:
    case = draw_case(SIZE)
    memory = empty(case).write(case.w, case.z, case.noise_var)
    close(memory.merge(), memory)
    close(memory.merge(empty(case)), memory)


def test_forgetting_undoes_writing() -> None:
    case = draw_case(SIZE, (2,))
    w, z = case.w.split(4, -2), case.z.split(4, -2)
    kept = empty(case).write(w[0], z[0], case.noise_var)
    both = kept.write(w[1], z[1], case.noise_var)
    close(both.forget(w[1], z[1], case.noise_var).moments(), kept.moments(), 1e-8)
    close(empty(case).write(case.w, case.z, 0.3).forget(case.w, case.z, 0.3), empty(case), 1e-8)


def test_forgetting_in_another_order_is_the_same() -> None:
    case = draw_case(SIZE)
    memory = empty(case).write(case.w, case.z, case.noise_var)
    for t in (5, 1, 3):
        memory = memory.forget(case.w[t, None], case.z[t, None], case.noise_var)
    kept = [0, 2, 4, 6, 7]
    expected = empty(case).write(case.w[kept], case.z[kept], case.noise_var)
    close(memory.moments(), expected.moments(), 1e-8)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_the_limits_of_decay_are_no_change_and_the_prior(rate: float) -> None:
    case = draw_case(SIZE)
    memory = empty(case).write(case.w, case.z, case.noise_var)
    close(memory.decay(rate), empty(case) if rate else memory)


def test_decay_weighs_what_was_written_and_keeps_the_prior() -> None:
    case, rate, calls = draw_case(SIZE), 0.3, 3
    memory = empty(case).write(case.w, case.z, case.noise_var)
    for _ in range(calls):
        memory = memory.decay(rate)
    weight = torch.full((SIZE.items,), (1 - rate) ** calls).double()
    close(memory, empty(case).write(case.w, case.z, case.noise_var, weight), 1e-7)


def test_a_weight_of_two_is_writing_twice() -> None:
    case = draw_case(SIZE)
    weight = torch.tensor([2, 1, 0, 1, 2, 2, 1, 1]).double()
    again = weight.repeat_interleave(2).reshape(-1, 2) > torch.tensor([0, 1])
    w, z = (x.repeat_interleave(2, 0)[again.reshape(-1)] for x in (case.w, case.z))
    weighted = empty(case).write(case.w, case.z, case.noise_var, weight)
    close(weighted, empty(case).write(w, z, case.noise_var))


@pytest.mark.parametrize("junk", [float("nan"), float("inf")])
def test_an_item_of_weight_zero_may_hold_anything(junk: float) -> None:
    case = draw_case(SIZE)
    weight = torch.tensor([1, 1, 0.5, 0, 1, 0, 1, 1]).double()
    w, z = (torch.where(weight[:, None] > 0, x, junk) for x in (case.w, case.z))
    dirty = empty(case).write(w, z, case.noise_var, weight)
    close(dirty, empty(case).write(case.w, case.z, case.noise_var, weight))


def test_float32_items_are_kept_in_float64() -> None:
    case = Case(*(leaf.detach().float() for leaf in draw_case(SIZE)))
    memory = empty(case).write(case.w, case.z, case.noise_var)
    assert all(part.dtype == torch.float64 for part in (*memory, *memory.moments()))
    R, U = (x.double() for x in case.prior)
    wide = NaturalMemory.prior(R, U).write(case.w.double(), case.z.double(), case.noise_var)
    close(memory, wide, 1e-14)


def test_a_float64_memory_is_read_with_float32_items() -> None:
    case = Case(*(leaf.detach() for leaf in draw_case(SIZE)))
    memory = empty(case).write(case.w, case.z, case.noise_var).moments()
    w = case.w.float()
    close(memory.read(w, 0.3), memory.read(case.w, 0.3), 1e-5)


@pytest.mark.parametrize("batch", [(), (2,)], ids=str)
@pytest.mark.parametrize("size", SIZES[:6], ids=str)
def test_leave_one_out_is_really_leaving_each_one_out(size: Size, batch: tuple[int, ...]) -> None:
    case = draw_case(size, batch)
    everything = empty(case).write(case.w, case.z, case.noise_var)
    residual, var = everything.leave_one_out(case.w, case.z, case.noise_var)
    for t in range(size.items):
        mean_t, var_t = _predict_without(case, t)
        close(residual[..., t, :], case.z[..., t, :] - mean_t, 1e-9)
        close(var[..., t], var_t, 1e-9)


def test_leave_one_out_of_long_addresses_in_float32_is_as_in_float64() -> None:
    """As long as a trained machine's, beside its noise: 1 - h is down to 1e-5."""
    K, C, T, noise_var = 64, 3, 32, 0.01
    generator = torch.Generator().manual_seed(0)
    w, z = (torch.randn(T, n, generator=generator) for n in (K, C))
    w = 20 * w / w.norm(dim=-1, keepdim=True)
    prior = torch.zeros(K, C), torch.eye(K)
    residual, var = (
        NaturalMemory.prior(*prior).write(w, z, noise_var).leave_one_out(w, z, noise_var)
    )
    for t in range(T):
        mine = torch.arange(T) != t
        others = Memory(*(x.double() for x in prior)).write(
            w[mine].double(), z[mine].double(), noise_var
        )
        mean_t, var_t = others.read(w[t, None].double(), noise_var)
        close(residual[t], z[t].double() - mean_t[0], 1e-6)
        close(var[t], var_t[0], 1e-6)


def _predict_without(case: Case, t: int) -> tuple[Tensor, Tensor]:
    others = [s for s in range(case.w.shape[-2]) if s != t]
    memory = Memory(*case.prior).write(
        case.w[..., others, :], case.z[..., others, :], case.noise_var
    )
    mean, var = memory.read(case.w[..., t, None, :], case.noise_var)
    return mean[..., 0, :], var[..., 0]


def _reduce(rank: int, world: int, folder: str) -> None:
    """One worker: write a shard, sum over the workers, save what came out."""
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=60),
    )
    try:
        case = Case(*(leaf.detach() for leaf in draw_case(SIZE)))
        w, z = (x.chunk(world, -2)[rank] for x in (case.w, case.z))
        reduced = empty(case).write(w, z, case.noise_var).all_reduce()
        torch.save(tuple(reduced), f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_available(), reason="torch is built without torch.distributed")
def test_all_reduce_is_merging_the_workers(tmp_path: Path) -> None:
    world, folder = 2, str(tmp_path)
    other = torch.multiprocessing.spawn(_reduce, (world, folder), nprocs=1, join=False)
    assert other is not None
    _reduce(1, world, folder)
    other.join()
    case = Case(*(leaf.detach() for leaf in draw_case(SIZE)))
    expected = empty(case).write(case.w, case.z, case.noise_var)
    for rank in range(world):
        reduced = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        close(NaturalMemory(*reduced), expected)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_of_decay_lies_between_0_and_1(rate: float) -> None:
    with pytest.raises(InputError, match=r"from 0 \(keep\) to 1"):
        empty(draw_case(SIZES[0])).decay(rate)


def test_forgetting_after_decay_takes_the_weight_that_is_left() -> None:
    case = draw_case(SIZES[0])
    written = (case.w, case.z, case.noise_var)
    weight = -(0.7**2) * torch.ones(case.w.shape[:-1], dtype=torch.float64)
    memory = empty(case).write(*written).decay(0.3).decay(0.3).write(*written, weight)
    close(memory, empty(case), tolerance=1e-8)
