"""Buffers whose newest rows take the place of the oldest: imitation's and SB3's, saved alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Ring:
    """A buffer of either library.

    Attributes:
        arrays: with ``capacity`` rows each.
        count: rows that hold something.
        next: where the next row goes.
        place: sets ``count`` and ``next`` in the buffer.
    """

    arrays: dict[str, np.ndarray]
    capacity: int
    count: int
    next: int
    place: Callable[[int, int], None]

    @classmethod
    def of_trainer(cls, buffer: Any) -> Ring:
        """imitation's ``ReplayBuffer``, without the infos, which nothing reads again."""
        inner = buffer._buffer

        def place(count: int, next: int) -> None:
            inner._n_data, inner._idx = count, next
            inner._arrays["infos"][:] = {}

        arrays = {name: array for name, array in inner._arrays.items() if name != "infos"}
        return cls(arrays, inner.capacity, inner._n_data, inner._idx, place)

    @classmethod
    def of_generator(cls, buffer: Any) -> Ring:
        """SB3's ``ReplayBuffer``."""
        size = buffer.buffer_size

        def place(count: int, next: int) -> None:
            buffer.full, buffer.pos = count == size, next

        arrays = {
            name: value
            for name, value in vars(buffer).items()
            if isinstance(value, np.ndarray) and len(value) == size
        }
        return cls(arrays, size, size if buffer.full else buffer.pos, buffer.pos, place)

    def state(self) -> dict[str, Any]:
        """What it holds; a row more, where SB3 may keep the newest step's next observation."""
        rows = min(self.count + 1, self.capacity)
        arrays = {name: torch.from_numpy(array[:rows]) for name, array in self.arrays.items()}
        return {
            "arrays": arrays,
            "capacity": self.capacity,
            "count": self.count,
            "next": self.next,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` gave.

        Raises:
            ValueError: another capacity or other shapes.
        """
        if state["capacity"] != self.capacity:
            raise ValueError(f"a buffer of {state['capacity']} rows where it has {self.capacity}")
        for name, rows in state["arrays"].items():
            self.arrays[name][: len(rows)] = rows.numpy()
        self.place(state["count"], state["next"])
