"""Hamming distances between patterns packed into machine words, 64 units in each."""

from __future__ import annotations

import torch
from torch import Tensor

WORD = 64
CHUNK = 1 << 22
"""Words that are compared at once: 32 MiB."""


def pack(patterns: Tensor) -> Tensor:
    """Units above 0 as bits: ``[N, D]`` to int64 with shape ``[N, ceil(D / 64)]``."""
    bits = torch.nn.functional.pad(patterns > 0, (0, -patterns.shape[1] % WORD))
    place = torch.arange(WORD, device=patterns.device)
    # The words' bits do not overlap, so that adding is setting; the last one is the sign.
    return (bits.unflatten(1, (-1, WORD)).long() << place).sum(-1)


def distances(a: Tensor, b: Tensor) -> Tensor:
    """How many units differ, int64 with shape ``[N, M]``, for packed ``[N, W]`` and ``[M, W]``."""
    rows = max(1, CHUNK // max(1, b.numel()))
    return torch.cat([_set_bits(part[:, None] ^ b).sum(-1) for part in a.split(rows)])


def _set_bits(words: Tensor) -> Tensor:
    """How many bits of each word are 1: neighbours are added up, in 2, 4, then 8 bits.

    Shifts keep the sign, and the masks take away what they bring in.
    """
    words = words - ((words >> 1) & 0x5555555555555555)
    words = (words & 0x3333333333333333) + ((words >> 2) & 0x3333333333333333)
    words = (words + (words >> 4)) & 0x0F0F0F0F0F0F0F0F
    return (words * 0x0101010101010101) >> 56
