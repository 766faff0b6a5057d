r"""Addressing and writing a slot memory by attention, one equation to a function.

Content lookup, usage, allocation, erasing and temporal links are those of Graves et al., "Hybrid
computing using a neural network with dynamic external memory", Nature 2016 (the DNC); the
least-recently-used rule is that of Santoro et al., "Meta-learning with memory-augmented neural
networks", ICML 2016 (LRUA).

Axes: ``B`` memories, ``K`` slots, ``C`` columns, ``N`` lookups at once (the read heads while an
episode is written, queries times heads afterwards). Every weighting is at least 0 over the slots
and sums to at most 1.
"""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot, softplus

TINY = 1e-6
"""Keeps square roots and products of usages away from 0, where their gradients are not finite."""


class Slots(NamedTuple):
    """The memory and what writing has to remember of the step before.

    Attributes:
        memory: M, with shape (B, K, C).
        usage: u, how far each slot is taken, 0..1 (LRUA: decayed sum), with shape (B, K).
        write: w, the last write weighting, with shape (B, K).
        reads: the read weightings of the last step, with shape (B, N, K).
        precedence: p, how far each slot was the last one written, with shape (B, K).
        link: L[i, j], how far slot i was written right after slot j, with shape (B, K, K).
    """

    memory: Tensor
    usage: Tensor
    write: Tensor
    reads: Tensor
    precedence: Tensor
    link: Tensor

    @classmethod
    def empty(cls, like: Tensor, slots: int, code: int, heads: int) -> Slots:
        """Nothing written, for as many memories as ``like`` has rows."""
        zeros = lambda *shape: like.new_zeros(len(like), *shape)
        K = slots
        return cls(zeros(K, code), zeros(K), zeros(K), zeros(heads, K), zeros(K), zeros(K, K))


class Lookup(NamedTuple):
    """N questions to the memory.

    Attributes:
        keys: what to look for, with shape (B, N, C).
        strengths: how sharply, at least 1, with shape (B, N).
        modes: shares of backward, content and forward reading, with shape (B, N, 3); None reads
            by content alone.
    """

    keys: Tensor
    strengths: Tensor
    modes: Tensor | None = None

    @classmethod
    def of(cls, raw: Tensor, code: int) -> Lookup:
        """From a net's outputs, (B, N, C + 1) or with modes (B, N, C + 4)."""
        keys, strengths, modes = raw.split([code, 1, raw.shape[-1] - code - 1], -1)
        return cls(
            keys,
            1 + softplus(strengths.squeeze(-1)),
            modes.softmax(-1) if modes.shape[-1] else None,
        )


def content_weights(memory: Tensor, keys: Tensor, strengths: Tensor) -> Tensor:
    r"""Softmax over the slots of :math:`\beta \cos(M_i, k)`; an empty slot has cosine 0.

    Args:
        memory: (B, K, C).
        keys: (B, N, C).
        strengths: beta, with shape (B, N).

    Returns:
        Weightings with shape (B, N, K).
    """
    unit = lambda x: x * (x.square().sum(-1, keepdim=True) + TINY).rsqrt()
    return (strengths[..., None] * (unit(keys) @ unit(memory).mT)).softmax(-1)


def usage_after(usage: Tensor, write: Tensor, reads: Tensor, free: Tensor) -> Tensor:
    r"""u <- (u + w - u w) psi with the retention :math:`\psi = \prod_n (1 - f_n r_n)`.

    Args:
        usage, write: u and w of the step before, with shape (B, K).
        reads: r, the read weightings of the step before, with shape (B, N, K).
        free: f, a gate for each of them, with shape (B, N).
    """
    retention = reduce(torch.mul, (1 - free[..., None] * reads).unbind(-2))
    return (usage + write - usage * write) * retention


def allocation(usage: Tensor) -> Tensor:
    r"""The freest slots first: :math:`a_{\phi_j} = (1 - u_{\phi_j}) \prod_{i<j} u_{\phi_i}`.

    phi sorts the usages (B, K) in ascending order; of equal ones the first comes first.
    """
    usage = TINY + (1 - TINY) * usage
    rising, phi = usage.sort(dim=-1, stable=True)
    products = rising[..., :-1].log().cumsum(-1).exp()
    before = torch.cat([torch.ones_like(rising[..., :1]), products], -1)
    return torch.zeros_like(usage).scatter(-1, phi, (1 - rising) * before)


def write_weights(
    content: Tensor, allocated: Tensor, allocation_gate: Tensor, write_gate: Tensor
) -> Tensor:
    """w = g_w (g_a a + (1 - g_a) c); weightings (B, K), gates (B, 1)."""
    return write_gate * torch.lerp(content, allocated, allocation_gate)


def erase_and_add(memory: Tensor, write: Tensor, erase: Tensor, add: Tensor) -> Tensor:
    """M <- M (1 - w e^T) + w v^T, with w (B, K), e and v (B, C)."""
    w = write[..., None]
    return memory * (1 - w * erase[..., None, :]) + w * add[..., None, :]


def link_after(link: Tensor, precedence: Tensor, write: Tensor) -> Tensor:
    """L[i, j] <- (1 - w_i - w_j) L[i, j] + w_i p_j and L[i, i] = 0; p is of before the write."""
    rows, columns = write[..., :, None], write[..., None, :]
    link = (1 - rows - columns) * link + rows * precedence[..., None, :]
    return link * (1 - torch.eye(link.shape[-1], dtype=link.dtype, device=link.device))


def precedence_after(precedence: Tensor, write: Tensor) -> Tensor:
    """p <- (1 - sum w) p + w."""
    return (1 - write.sum(-1, keepdim=True)) * precedence + write


def read_weights(slots: Slots, lookup: Lookup, previous: Tensor | None = None) -> Tensor:
    """r = pi_1 L^T r' + pi_2 c + pi_3 L r', with shape (B, N, K).

    Args:
        previous: r', where the same head read before, with shape (B, N, K); by default where the
            lookup's content c lies, so that a single question can reach what was written before
            or after the slot that it describes.
    """
    content = content_weights(slots.memory, lookup.keys, lookup.strengths)
    if lookup.modes is None:
        return content
    previous = content if previous is None else previous
    backward, forward = previous @ slots.link, previous @ slots.link.mT
    return torch.einsum(
        "bnm,bnmk->bnk", lookup.modes, torch.stack([backward, content, forward], -2)
    )


def least_used(usage: Tensor) -> Tensor:
    """1 at the slot used least (the first of several) and 0 elsewhere, with shape (B, K)."""
    return one_hot(usage.argmin(-1), usage.shape[-1]).to(usage.dtype)


def decayed_usage(usage: Tensor, write: Tensor, reads: Tensor, decay: float = 0.95) -> Tensor:
    """LRUA: u <- gamma u + sum_n r_n + w, from the weightings of the step before."""
    return decay * usage + reads.sum(-2) + write


def lrua_write_weights(reads: Tensor, least: Tensor, gate: Tensor) -> Tensor:
    """LRUA: w = sigma(alpha) r + (1 - sigma(alpha)) w_lu, with r the mean over the heads.

    Args:
        reads: the read weightings of the step before, with shape (B, N, K).
        least: w_lu, with shape (B, K).
        gate: sigma(alpha), with shape (B, 1).
    """
    return torch.lerp(least, reads.mean(-2), gate)


def clear_and_add(memory: Tensor, least: Tensor, write: Tensor, add: Tensor) -> Tensor:
    """LRUA: the least used slot is set to zero, then M <- M + w v^T."""
    return memory * (1 - least[..., None]) + write[..., None] * add[..., None, :]
