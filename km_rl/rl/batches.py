"""Ready batches of the expert's pairs, tiled where there are few.

pairs = flatten_trajectories(trajectories)[::20]
GAIL(demonstrations=ExpertBatches(pairs, 1024), demo_batch_size=1024, ...)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from km_rl.errors import InputError, at_least_one
from km_rl.rl.sources import check_finite, numbers

Batch = dict[str, np.ndarray]
FIELDS = ("obs", "acts", "next_obs", "dones")


class ExpertBatches:
    """One epoch of shuffled batches each time it is iterated over; give it to imitation.

    All batches are full. Pairs are dealt from one shuffled deck after the other, so that fewer
    pairs than a batch holds appear about equally often in it, where imitation refuses them; a
    batch is an index into arrays, where imitation's loader collates pair by pair, 50 times slower.

    Args:
        pairs: imitation's ``Transitions``, or arrays of N rows under its names: obs, acts,
            next_obs, dones.
        batch_size: rows of a batch.
        seed: of the shuffling.

    Raises:
        InputError: no transitions, arrays that are missing, differ in length or hold anything but
            finite numbers, or a batch size below 1.
    """

    def __init__(self, pairs: Any, batch_size: int, seed: int = 0) -> None:
        at_least_one(batch_size=batch_size)
        pairs = _arrays(pairs)
        lengths = {name: len(rows) for name, rows in pairs.items()}
        if len(set(lengths.values())) != 1 or not min(lengths.values()):
            raise InputError(
                f"The expert's pairs have {lengths} rows: as many of each, and at least one, are "
                f"expected; take fewer pairs out, or give more demonstrations."
            )
        self.pairs, self.batch_size = pairs, batch_size
        self.count = next(iter(lengths.values()))
        self._random = np.random.default_rng(seed)
        self._deck = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        """Batches of an epoch."""
        return max(1, self.count // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """The batches of an epoch."""
        for _ in range(len(self)):
            index = self._deal()
            yield {name: rows[index] for name, rows in self.pairs.items()}

    def _deal(self) -> np.ndarray:
        while len(self._deck) < self.batch_size:
            self._deck = np.concatenate([self._deck, self._random.permutation(self.count)])
        index, self._deck = np.split(self._deck, [self.batch_size])
        return index


def _arrays(pairs: Any) -> Batch:
    get = pairs.get if isinstance(pairs, Mapping) else partial(getattr, pairs)
    found = {name: get(name, None) for name in FIELDS}
    if missing := [name for name, rows in found.items() if rows is None]:
        raise InputError(
            f"A {type(pairs).__name__} without {', '.join(missing)} was given as pairs: "
            f"imitation's Transitions are expected; make them of trajectories by "
            f"imitation.data.rollout.flatten_trajectories."
        )
    for name, rows in found.items():
        check_finite(numbers(rows, f"The expert's {name}")[:, None], f"The expert's {name}")
    return {name: np.asarray(rows) for name, rows in found.items()}
