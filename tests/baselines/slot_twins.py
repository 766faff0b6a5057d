"""Slot memories element by element, in numpy: what the equations say, one number at a time.

A state is a dictionary with the names of `Slots`; there is one memory and no batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
State = dict[str, Array]
TINY = 1e-6


def empty(slots: int, code: int, heads: int) -> State:
    sizes = {
        "memory": (slots, code),
        "usage": (slots,),
        "write": (slots,),
        "reads": (heads, slots),
        "precedence": (slots,),
        "link": (slots, slots),
    }
    return {name: np.zeros(size) for name, size in sizes.items()}


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def strength(x: float) -> float:
    return 1 + math.log(1 + math.exp(x))


def softmax(scores: Sequence[float]) -> list[float]:
    powers = [math.exp(score) for score in scores]
    return [power / sum(powers) for power in powers]


def content(memory: Array, key: Array, beta: float) -> list[float]:
    norm = lambda row: math.sqrt(sum(x * x for x in row) + TINY)
    dot = lambda row: sum(x * k for x, k in zip(row, key, strict=True))
    return softmax([beta * dot(row) / (norm(row) * norm(key)) for row in memory])


def allocation(usage: Sequence[float]) -> list[float]:
    """By the definition over pairs: (1 - u_i) times every usage that ranks before it."""
    usage = [TINY + (1 - TINY) * u for u in usage]
    K = len(usage)
    before = lambda j, i: (usage[j], j) < (usage[i], i)
    return [
        (1 - usage[i]) * math.prod(usage[j] for j in range(K) if before(j, i)) for i in range(K)
    ]


def links(link: Array, precedence: Array, write: Sequence[float]) -> Array:
    K = len(write)
    after = np.zeros((K, K))
    for i in range(K):
        for j in range(K):
            if i != j:
                kept = (1 - write[i] - write[j]) * link[i, j]
                after[i, j] = kept + write[i] * precedence[j]
    return after


def reads(state: State, lookups: Array, code: int) -> Array:
    """The new read weightings of the heads; ``lookups`` are raw, a row for each head."""
    found = []
    for raw, previous in zip(lookups, state["reads"], strict=True):
        c = content(state["memory"], raw[:code], strength(raw[code]))
        if len(raw) == code + 1:
            found.append(c)
            continue
        backward, by_content, forward = softmax(raw[code + 1 :])
        K = len(c)
        L = state["link"]
        found.append(
            [
                backward * sum(L[j, i] * previous[j] for j in range(K))
                + by_content * c[i]
                + forward * sum(L[i, j] * previous[j] for j in range(K))
                for i in range(K)
            ]
        )
    return np.array(found)


def dnc_step(state: State, written: Array, lookups: Array, code: int) -> State:
    heads, K = state["reads"].shape
    cuts = np.cumsum([code, code, code, 1, heads, 1])
    add, erase, key, sharp, free, allocation_gate, write_gate = np.split(written, cuts)
    usage = []
    for i in range(K):
        u, w = state["usage"][i], state["write"][i]
        retention = math.prod(1 - sigmoid(free[n]) * state["reads"][n, i] for n in range(heads))
        usage.append((u + w - u * w) * retention)
    c, a = content(state["memory"], key, strength(sharp[0])), allocation(usage)
    g_a, g_w = sigmoid(allocation_gate[0]), sigmoid(write_gate[0])
    write = [g_w * (g_a * a[i] + (1 - g_a) * c[i]) for i in range(K)]
    memory = np.zeros((K, code))
    for i in range(K):
        for c_ in range(code):
            left = state["memory"][i, c_] * (1 - write[i] * sigmoid(erase[c_]))
            memory[i, c_] = left + write[i] * add[c_]
    after = {
        **state,
        "memory": memory,
        "usage": np.array(usage),
        "write": np.array(write),
        "link": links(state["link"], state["precedence"], write),
        "precedence": np.array(
            [(1 - sum(write)) * state["precedence"][i] + write[i] for i in range(K)]
        ),
    }
    return {**after, "reads": reads(after, lookups, code)}


def lrua_step(state: State, written: Array, lookups: Array, code: int) -> State:
    heads, K = state["reads"].shape
    usage = [
        0.95 * state["usage"][i] + sum(state["reads"][:, i]) + state["write"][i] for i in range(K)
    ]
    least, gate = usage.index(min(usage)), sigmoid(written[code])
    write = [
        gate * sum(state["reads"][:, i]) / heads + (1 - gate) * (i == least) for i in range(K)
    ]
    memory = np.zeros((K, code))
    for i in range(K):
        for c in range(code):
            memory[i, c] = (i != least) * state["memory"][i, c] + write[i] * written[c]
    after = {**state, "memory": memory, "usage": np.array(usage), "write": np.array(write)}
    return {**after, "reads": reads(after, lookups, code)}


def central_differences(f: Callable[[Array], Any], x: Array, step: float = 1e-5) -> Array:
    """The gradient of a number, one entry of ``x`` at a time."""
    gradient = np.zeros(x.size)
    for i in range(x.size):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved.flat[i] += sign * step
            ends.append(f(moved))
        gradient[i] = (ends[0] - ends[1]) / (2 * step)
    return gradient.reshape(x.shape)
