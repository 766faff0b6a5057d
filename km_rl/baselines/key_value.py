"""A plain store: every pattern as it is, found again by its distance to the query.

What a differentiable neural computer is without its controller (Graves et al. 2016), and what
the others have to beat: nothing is shared between patterns, so each costs all of its numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from km_rl.baselines.associative import checked
from km_rl.baselines.hamming import distances, pack
from km_rl.errors import at_least_one


class KeyValueStore(NamedTuple):
    """Patterns in the order of writing; where they would exceed ``slots``, the oldest give way.

    Attributes:
        patterns: keys and values in one, with shape (N, D).
        slots: how many there may be.
    """

    patterns: Tensor
    slots: int

    @classmethod
    def empty(cls, size: int, slots: int) -> KeyValueStore:
        """A store of nothing, for patterns of ``size`` units."""
        at_least_one(size=size, slots=slots)
        return cls(torch.empty(0, size), slots)

    @property
    def stored_numbers(self) -> int:
        """D for each slot."""
        return self.slots * self.patterns.shape[1]

    def write(self, patterns: Tensor) -> KeyValueStore:
        """Append, and let the oldest go where there is no room."""
        return self._replace(patterns=appended(self.patterns, patterns, self.slots))

    def read(self, queries: Tensor, steps: int = 1) -> Tensor:
        """The nearest pattern in Hamming distance, the oldest of several; one step is all."""
        at_least_one(steps=steps, written=len(self.patterns))
        queries = checked(queries, self.patterns.shape[1])
        nearest = distances(pack(queries), pack(self.patterns)).argmin(1)
        return self.patterns[nearest]


def appended(old: Tensor, new: Tensor, most: int) -> Tensor:
    """The last ``most`` rows of the old ones and the new ones, where the new ones lie."""
    new = checked(new, old.shape[1])
    return torch.cat([old.to(new.device), new])[-most:]
