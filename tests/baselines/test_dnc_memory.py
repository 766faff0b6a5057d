"""Slot memories: the laws of weightings, and the numbers of their element-by-element twins."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import slot_twins as twins
import torch
from torch import Tensor
from torch.testing import assert_close

from km_rl.baselines import dnc_memory as access
from km_rl.baselines.dnc import DNC, LRUA
from km_rl.baselines.dnc_memory import Lookup, Slots

B, K, C, HEADS, T = 3, 5, 3, 2, 6
MODELS = {"dnc": DNC, "lrua": LRUA}
STEPS = {"dnc": twins.dnc_step, "lrua": twins.lrua_step}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> DNC:
    sizes: dict[str, Any] = {"slots": K, "code": C, "key": 3, "heads": HEADS}
    return MODELS[request.param].build(filters=2, **sizes).double()


def raws(model: DNC, batch: int = B, scale: float = 2.0, steps: int = T) -> tuple[Tensor, Tensor]:
    """What a controller may put out: for writing (T, B, .), for looking (T, B, heads, .)."""
    wide = sum(model._write_sizes())
    written = scale * torch.randn(steps, batch, wide, dtype=torch.float64)
    looked = scale * torch.randn(steps, batch, HEADS, C + 1 + model.modes, dtype=torch.float64)
    return written, looked


def episode(model: DNC, written: Tensor, looked: Tensor) -> list[Slots]:
    """The state after each step."""
    states = [Slots.empty(written[0], K, C, HEADS)]
    for raw, lookup in zip(written, looked, strict=True):
        slots = model._wrote(states[-1], raw.split(model._write_sizes(), -1))
        reads = access.read_weights(slots, Lookup.of(lookup, C), states[-1].reads)
        states.append(slots._replace(reads=reads))
    return states[1:]


def weighting(*shape: int, total: float = 1.0) -> Tensor:
    """At least 0, and of this sum over the last axis."""
    return total * torch.rand(*shape, dtype=torch.float64).softmax(-1)


# Twins


def test_every_state_is_that_of_the_twin(model: DNC) -> None:
    written, looked = raws(model, batch=1)
    twin = twins.empty(K, C, HEADS)
    for slots, raw, lookup in zip(episode(model, written, looked), written, looked, strict=True):
        twin = STEPS[model.kind](twin, raw[0].numpy(), lookup[0].numpy(), C)
        for name, value in slots._asdict().items():
            np.testing.assert_allclose(value[0].numpy(), twin[name], atol=1e-12, err_msg=name)


def test_its_gradients_are_the_twins_differences(model: DNC) -> None:
    written, looked = raws(model, batch=1, scale=1.0, steps=3)
    project = torch.randn(HEADS, C, dtype=torch.float64)
    leaves = [written.requires_grad_(), looked.requires_grad_()]
    last = episode(model, *leaves)[-1]
    (last.reads @ last.memory * project).sum().backward()

    def read_out(written: twins.Array, looked: twins.Array) -> float:
        twin = twins.empty(K, C, HEADS)
        for raw, lookup in zip(written, looked, strict=True):
            twin = STEPS[model.kind](twin, raw[0], lookup[0], C)
        return float((twin["reads"] @ twin["memory"] * project.numpy()).sum())

    values = [leaf.detach().numpy() for leaf in leaves]
    for leaf, gradient in zip(
        leaves,
        [
            twins.central_differences(lambda x: read_out(x, values[1]), values[0]),
            twins.central_differences(lambda x: read_out(values[0], x), values[1]),
        ],
        strict=True,
    ):
        assert leaf.grad is not None and leaf.grad.abs().max() > 0.01
        np.testing.assert_allclose(leaf.grad.numpy(), gradient, atol=1e-8)


def test_gradcheck(model: DNC) -> None:
    written, looked = raws(model, batch=1, scale=1.0, steps=2)

    def last(written: Tensor, looked: Tensor) -> tuple[Tensor, ...]:
        slots = episode(model, written, looked)[-1]
        return slots.memory, slots.reads, slots.link

    assert torch.autograd.gradcheck(last, (written.requires_grad_(), looked.requires_grad_()))


def test_episodes_do_not_touch_each_other(model: DNC) -> None:
    written, looked = raws(model)
    together = episode(model, written, looked)[-1]
    for b in range(B):
        alone = episode(model, written[:, b : b + 1], looked[:, b : b + 1])[-1]
        assert_close(alone, Slots(*(value[b : b + 1] for value in together)))


# Laws


@pytest.mark.parametrize("scale", [0.5, 3.0, 30.0])
def test_weightings_are_at_least_0_and_sum_to_at_most_1(model: DNC, scale: float) -> None:
    for slots in episode(model, *raws(model, scale=scale, steps=20)):
        for weights in (slots.write, slots.reads, slots.precedence, slots.link, slots.link.mT):
            assert weights.min() >= -1e-12
            assert weights.sum(-1).max() <= 1 + 1e-9
        assert (slots.link.diagonal(dim1=-2, dim2=-1) == 0).all()
        if model.kind == "dnc":
            assert 0 <= slots.usage.min() and slots.usage.max() <= 1


def test_the_freest_slot_is_allocated_when_it_alone_is_free() -> None:
    for free in range(K):
        usage = torch.ones(B, K, dtype=torch.float64)
        usage[:, free] = 0
        expected = (1 - usage).expand(B, K)
        assert_close(access.allocation(usage), expected, atol=2e-6, rtol=0)


def test_of_an_empty_memory_the_first_slot_is_allocated() -> None:
    expected = torch.eye(K, dtype=torch.float64)[:1]
    empty = torch.zeros(1, K, dtype=torch.float64)
    assert_close(access.allocation(empty), expected, atol=2e-6, rtol=0)
    assert torch.equal(access.least_used(empty), expected)


def test_a_full_memory_has_nothing_to_allocate() -> None:
    assert access.allocation(torch.ones(B, K)).abs().max() < 1e-6


def test_allocation_leaves_what_the_product_of_usages_leaves() -> None:
    usage = torch.rand(B, K, dtype=torch.float64)
    left = 1 - access.allocation(usage).sum(-1)
    assert_close(left, usage.prod(-1), atol=1e-5, rtol=0)


def test_allocation_follows_the_slots() -> None:
    usage, order = torch.rand(B, K, dtype=torch.float64), torch.randperm(K)
    assert_close(access.allocation(usage[:, order]), access.allocation(usage)[:, order])


def test_the_read_of_an_erased_slot_is_zero() -> None:
    memory = torch.randn(B, K, C, dtype=torch.float64)
    at = torch.eye(K, dtype=torch.float64)[2].expand(B, K)
    ones, zeros = torch.ones(B, C, dtype=torch.float64), torch.zeros(B, C, dtype=torch.float64)
    for after in (
        access.erase_and_add(memory, at, ones, zeros),
        access.clear_and_add(memory, at, torch.zeros_like(at), ones),
    ):
        assert torch.equal((at[:, None] @ after).squeeze(1), zeros)
        kept = [0, 1, 3, 4]
        assert torch.equal(after[:, kept], memory[:, kept])


def test_an_empty_slot_has_no_content() -> None:
    keys, strengths = torch.randn(B, 1, C), torch.full((B, 1), 7.0)
    weights = access.content_weights(torch.zeros(B, K, C), keys, strengths)
    assert_close(weights, torch.full((B, 1, K), 1 / K))


def test_what_was_written_is_found_by_its_key() -> None:
    memory = torch.randn(B, K, 50)
    weights = access.content_weights(memory, 3 * memory, torch.full((B, K), 60.0))
    assert_close(weights, torch.eye(K).expand(B, K, K), atol=1e-4, rtol=0)


def test_a_freed_slot_is_free_again() -> None:
    usage, write = torch.ones(B, K), torch.zeros(B, K)
    reads = torch.eye(K)[[1, 3]].expand(B, 2, K)
    after = access.usage_after(usage, write, reads, torch.tensor([1.0, 0.0]).expand(B, 2))
    expected = torch.ones(B, K)
    expected[:, 1] = 0
    assert_close(after, expected)


@pytest.mark.parametrize("mode", [0, 2], ids=["backward", "forward"])
def test_links_lead_to_what_was_written_before_and_after(mode: int) -> None:
    order = [3, 0, 4, 1]
    slots = Slots.empty(torch.zeros(1, dtype=torch.float64), K, C, 1)
    for slot in order:
        write = torch.eye(K, dtype=torch.float64)[slot : slot + 1]
        link = access.link_after(slots.link, slots.precedence, write)
        slots = slots._replace(
            link=link, precedence=access.precedence_after(slots.precedence, write)
        )
    assert torch.equal(slots.precedence[0], torch.eye(K, dtype=torch.float64)[order[-1]])
    modes = torch.eye(3, dtype=torch.float64)[mode][None, None]
    lookup = Lookup(torch.zeros(1, 1, C, dtype=torch.float64), torch.ones(1, 1), modes)
    for earlier, later in pairwise(order):
        here, there = (later, earlier) if mode == 0 else (earlier, later)
        at = torch.eye(K, dtype=torch.float64)[here][None, None]
        read = access.read_weights(slots, lookup, at)
        assert torch.equal(read[0, 0], torch.eye(K, dtype=torch.float64)[there])


def test_links_and_precedence_are_sums_over_the_past() -> None:
    """L[i, j] sums every step at which i followed j, weighted by what later writes left of it."""
    writes = weighting(T, B, K, total=0.8)
    slots = Slots.empty(writes[0], K, C, 1)
    link, precedence = slots.link, slots.precedence
    for write in writes:
        link = access.link_after(link, precedence, write)
        precedence = access.precedence_after(precedence, write)
    left = 1 - writes.sum(-1, keepdim=True)
    before = lambda t: sum((writes[s] * left[s + 1 : t].prod(0) for s in range(t)), 0 * writes[0])
    assert_close(precedence, before(T))
    kept = 1 - writes[..., :, None] - writes[..., None, :]
    summed = sum(
        writes[t][..., :, None] * before(t)[..., None, :] * kept[t + 1 :].prod(0) for t in range(T)
    )
    assert_close(link, summed * (1 - torch.eye(K, dtype=torch.float64)))


def test_a_head_looks_from_where_its_content_lies_if_it_never_read() -> None:
    slots = Slots.empty(torch.zeros(B, dtype=torch.float64), K, C, 1)._replace(
        memory=torch.randn(B, K, C, dtype=torch.float64),
        link=weighting(B, K, K),
    )
    raw = torch.randn(B, 4, C + 4, dtype=torch.float64)
    lookup = Lookup.of(raw, C)
    content = access.read_weights(slots, lookup._replace(modes=None))
    assert_close(access.read_weights(slots, lookup), access.read_weights(slots, lookup, content))
    assert not torch.allclose(access.read_weights(slots, lookup), content)


def test_the_least_used_slot_is_written_and_the_last_read_one_if_so_gated() -> None:
    reads, least = weighting(B, HEADS, K), torch.eye(K, dtype=torch.float64)[:B]
    gate = lambda value: torch.full((B, 1), value, dtype=torch.float64)
    assert_close(access.lrua_write_weights(reads, least, gate(0.0)), least)
    assert_close(access.lrua_write_weights(reads, least, gate(1.0)), reads.mean(1))


LOUD: dict[str, Callable[[Tensor], Tensor]] = {
    "quiet": lambda x: 1e-4 * x,
    "loud": lambda x: 50 * x,
    "nothing": torch.zeros_like,
}


@pytest.mark.parametrize("change", LOUD.values(), ids=LOUD)
def test_long_episodes_stay_finite_in_float32(
    model: DNC, change: Callable[[Tensor], Tensor]
) -> None:
    leaves = [change(raw).float().requires_grad_() for raw in raws(model, steps=150)]
    last = episode(model.float(), *leaves)[-1]
    assert all(value.isfinite().all() for value in last)
    (last.reads @ last.memory).sum().backward()
    for leaf in leaves:
        assert leaf.grad is not None and leaf.grad.isfinite().all()
