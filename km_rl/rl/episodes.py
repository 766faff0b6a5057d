"""Pairs of state and action, and the episodes [B, T, D] that are drawn from them.

What is exchangeable: a set of pairs. GAIL asks whether two policies visit the same pairs, not
when, so the discriminator sees pairs drawn at random; any order of them is as likely as any other,
and a memory that adds them up loses nothing. What is not: a trajectory. There each pair begins
where the one before it ended, and neighbours nearly repeat one another. Hence

- `draw` draws over the whole set, blind to the trajectory;
- `Pairs.every` thins each trajectory, so that what is left is closer to independent draws;
- `split` holds out whole trajectories: a pair whose neighbours are known is not unseen.

::

    train, held_out = split(pairs(demonstrations, observation_space, action_space), 0.2, generator)
    stats = RunningStats(width)
    stats.update(torch.cat([train.state, train.action], -1))
    stats.freeze()
    episodes = stats(draw(train.every(20), B=16, T=32, generator=generator))

Axes: ``N`` pairs, ``B`` episodes, ``T`` pairs in one; ``Ds``, ``Da`` and ``D`` numbers in a state,
an action and a pair.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from km_rl.errors import InputError, at_least_one

if TYPE_CHECKING:
    from typing_extensions import Self

NOTHING = "There are no pairs: at least one trajectory of one step is needed."


class Pairs(NamedTuple):
    """N pairs, in the order in which they happened.

    Attributes:
        state: float32 with shape (N, Ds), in the units of the environment.
        action: float32 with shape (N, Da); a discrete action is one-hot.
        next_state: float32 with shape (N, Ds), or (N, 0) where the source does not tell it.
        done: float32 with shape (N,), 1 where an environment's episode ends with this pair.
        trajectory: int64 with shape (N,): the pairs of one trajectory share a number.
    """

    state: Tensor
    action: Tensor
    next_state: Tensor
    done: Tensor
    trajectory: Tensor

    @property
    def count(self) -> int:  # type: ignore[override]
        """N; `len` is the number of fields."""
        return len(self.state)

    def take(self, index: Tensor) -> Self:
        """The pairs at ``index``, whole numbers or a mask."""
        return self._replace(**{name: x[index] for name, x in self._asdict().items()})

    def every(self, n: int) -> Self:
        """The first, (n+1)-th, (2n+1)-th ... pair of each trajectory; InputError for n below 1."""
        at_least_one(n=n)
        order = self.trajectory.argsort(stable=True)
        lengths = self.trajectory.unique(return_counts=True)[1]
        first = (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
        place = torch.arange(self.count, device=order.device) - first
        return self.take(order[place % n == 0].sort().values)

    @classmethod
    def join(cls, parts: Iterable[Pairs]) -> Self:
        """All pairs of all parts; trajectories of different parts get different numbers.

        Raises:
            InputError: no pairs at all, or parts of different widths.
        """
        filled = [part for part in parts if part.count]
        if not filled:
            raise InputError(NOTHING)
        widths = {tuple(x.shape[1] for x in part[:3]) for part in filled}
        if len(widths) > 1:
            raise InputError(
                f"Pairs of widths (state, action, next state) {sorted(widths)} cannot be joined: "
                f"give pairs of one environment and one kind of source."
            )
        joined = cls(*(torch.cat(field) for field in zip(*filled, strict=True)))
        ends = torch.tensor([int(part.trajectory.max()) + 1 for part in filled])
        counts = torch.tensor([part.count for part in filled])
        before = (ends.cumsum(0) - ends).repeat_interleave(counts)
        return joined._replace(trajectory=joined.trajectory + before.to(joined.trajectory.device))


def split(pairs: Pairs, held_out: float, generator: torch.Generator) -> tuple[Pairs, Pairs]:
    """(train, held out): a random ``held_out`` of the trajectories, and at least one, is held out.

    With ``held_out`` 0 the second part is empty.

    Raises:
        InputError: ``held_out`` is not in [0, 1), or there is only one trajectory to split.
    """
    if not 0 <= held_out < 1:
        raise InputError(f"held_out is {held_out}: a share from 0 to below 1 is expected.")
    numbers = pairs.trajectory.unique()
    if held_out and len(numbers) < 2:
        raise InputError("One trajectory cannot be split: give at least two, or held_out=0.")
    wanted = min(max(round(held_out * len(numbers)), 1), len(numbers) - 1) if held_out else 0
    order = torch.randperm(len(numbers), generator=generator).to(numbers.device)
    outside = torch.isin(pairs.trajectory, numbers[order[:wanted]])
    return pairs.take(~outside), pairs.take(outside)


def draw(
    pairs: Pairs, B: int, T: int, generator: torch.Generator, *, next_state: bool = False
) -> Tensor:
    """B random episodes: float32 with shape (B, T, D), rows (s, a) or (s, a, s').

    The T pairs of an episode are different ones; every set of T is equally likely. The generator
    is on the CPU, wherever the pairs are.

    Raises:
        InputError: B or T is below 1, there are fewer than T pairs, or no next states.
    """
    at_least_one(B=B, T=T)
    if pairs.count < T:
        raise InputError(f"Episodes of {T} pairs were asked of {pairs.count}: give more pairs.")
    if next_state and not pairs.next_state.shape[1]:
        raise InputError("These pairs have no next states: give transitions with next_obs.")
    index = torch.stack([torch.randperm(pairs.count, generator=generator)[:T] for _ in range(B)])
    rows = torch.cat(pairs[:3] if next_state else pairs[:2], dim=-1)
    return rows[index.to(rows.device)]
