"""A buffer of pairs: what a memory is written from, again whenever the codes have moved.

A buffer has no order but age: what was added last weighs most if old pairs are to fade. A pair is
recognised by its bits, so that one that the memory holds can be left out of its own score, put in
only once, and taken out again.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from km_rl.errors import at_least_one


def distinct(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Where each key is met first, and for every key which of these it is: (U,), (N,)."""
    unique, which = torch.unique(keys, return_inverse=True)
    places = torch.arange(len(keys), device=keys.device)
    first = torch.full_like(unique, len(keys)).scatter_reduce(0, which, places, "amin")
    return first, which


class PairBuffer(nn.Module):
    """At most ``capacity`` rows; then the newest take the place of the oldest.

    Its tensors have fixed shapes, so it is saved with the net that owns it.

    Args:
        capacity: the most rows it holds.
        width: entries of a row.
    """

    rows: Tensor
    keys: Tensor
    size: Tensor
    salt: Tensor

    def __init__(self, capacity: int, width: int) -> None:
        at_least_one(capacity=capacity, width=width)
        super().__init__()
        generator = torch.Generator().manual_seed(width)
        self.register_buffer("rows", torch.zeros(capacity, width))
        self.register_buffer("keys", torch.zeros(capacity, dtype=torch.int64))
        self.register_buffer("size", torch.zeros((), dtype=torch.int64))
        self.register_buffer("salt", torch.randint(-(2**62), 2**62, (width,), generator=generator))

    @property
    def count(self) -> int:
        """How many rows there are."""
        return int(self.size)

    @property
    def capacity(self) -> int:
        """How many there can be."""
        return len(self.rows)

    @property
    def content(self) -> Tensor:
        """The rows, oldest first: (count, width)."""
        return self.rows[: self.count]

    @property
    def held_keys(self) -> Tensor:
        """The keys of `content`: (count,)."""
        return self.keys[: self.count]

    def key(self, rows: Tensor) -> Tensor:
        """Rows -> (N,): equal for rows of equal bits, by chance once in 2^64 for others.

        Of rows of zeros and ones once in 2^41, for in float32 these differ in few bits.
        """
        return (rows.contiguous().view(torch.int32).long() * self.salt).sum(-1)

    @torch.no_grad()
    def add(self, rows: Tensor) -> None:
        """Put rows on top; the oldest fall out where there is no room."""
        self._replace(torch.cat([self.content, rows])[-self.capacity :])

    def unheld(self, rows: Tensor) -> Tensor:
        """Those rows that are not in the buffer yet, each once, in their order."""
        new = rows[~torch.isin(self.key(rows), self.held_keys)]
        return new[distinct(self.key(new))[0].sort().values] if len(new) else new

    @torch.no_grad()
    def add_new(self, rows: Tensor) -> int:
        """Add those rows that are not in the buffer yet, while there is room; how many."""
        new = self.unheld(rows)[: self.capacity - self.count]
        if len(new):
            self.add(new)
        return len(new)

    @torch.no_grad()
    def remove(self, rows: Tensor) -> int:
        """Take rows out, wherever they lie; returns how many were there."""
        kept = ~torch.isin(self.held_keys, self.key(rows))
        self._replace(self.content[kept])
        return int((~kept).sum())

    @torch.no_grad()
    def clear(self) -> None:
        """Take everything out."""
        self.size.zero_()

    def weights(self, rate: float, per: int) -> Tensor:
        """What each row weighs if all lose the share ``rate`` whenever ``per`` come on top.

        It is stabilised forgetting, `NaturalMemory.decay`, counted row by row: (count,).
        """
        age = torch.arange(self.count - 1, -1, -1, device=self.rows.device)
        return (1 - rate) ** (age / per)

    def _replace(self, rows: Tensor) -> None:
        n = len(rows)
        self.rows[:n] = rows
        self.keys[:n] = self.key(self.rows[:n])
        self.size.fill_(n)
