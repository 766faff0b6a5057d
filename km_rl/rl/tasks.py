"""Tasks to learn from: many experts, each beside policies that are not it.

An episode of meta-training is a few pairs of one expert, to be remembered, pairs of a policy that
is not this expert, and further pairs of both, to be told apart. The policy is one of the task's
own, or another task's expert; in half of the draws it is one alone, as when an agent learns,
in the others a mixture of all. Neighbours in time nearly repeat one another, so what is told is of
one half of the environment's episodes and what is asked about of the other (`halves`), which half
is which changing from draw to draw.

Axes: ``B`` episodes, ``k`` pairs remembered, ``m`` pairs of the policy, ``q`` queries of each,
``D`` numbers in a pair (s, a).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from km_rl.errors import InputError
from km_rl.rl.episodes import Pairs

OTHERS = "others"
"""The name of a policy that is another task's expert."""
REDRAWS = 64
"""Times that a pair of a policy is drawn again because it was drawn before."""


class Task(NamedTuple):
    """An expert, and policies that are not it, by name: random, half-trained, perturbed.

    The pairs of each are best of several episodes; `pairs` of trajectories knows which are whose.
    """

    name: str
    expert: Pairs
    policies: Mapping[str, Pairs]


class Episode(NamedTuple):
    """Pairs to remember (B, k, D) and (B, m, D), and to tell apart (B, q, D) each."""

    expert: Tensor
    policy: Tensor
    expert_queries: Tensor
    policy_queries: Tensor


def halves(pairs: Pairs) -> Tensor:
    """In which half, 0 or 1, the environment's episode of each pair is: (N,).

    Episodes of even numbers are one half, so some of the pairs are in the halves that they were in
    among all; where there are none, or no others, every second episode is. Where all pairs are of
    one episode, or it is not known of which they are, every second pair is.
    """
    ranks = pairs.trajectory.unique(return_inverse=True)[1]
    ways = [x % 2 for x in (pairs.trajectory, ranks, torch.arange(pairs.count))]
    return next((way for way in ways if len(way.unique()) == 2), ways[-1])


def rows_of(pairs: Pairs) -> Tensor:
    """Pairs as rows (s, a): (N, D)."""
    return torch.cat([pairs.state, pairs.action], -1).float()


class Tasks:
    """Tasks that were checked, ready to draw from.

    Attributes:
        state, rest: entries of a state and of an action.
        kinds: the names of the policies, the last being `OTHERS`.

    Raises:
        InputError: fewer than two tasks, or tasks of other widths or with other policies.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        _check(tasks)
        self.tasks = tuple(tasks)
        self.state, self.rest = _widths(tasks[0].expert)
        self.kinds = (*tasks[0].policies, OTHERS)
        parts = [
            rows_of(p)[halves(p) == half]
            for task in tasks
            for p in (task.expert, *task.policies.values())
            for half in (0, 1)
        ]
        self.rows = torch.cat(parts)
        counts = torch.tensor([len(part) for part in parts])
        self._counts = counts.view(len(tasks), -1, 2)
        self._starts = (counts.cumsum(0) - counts).view(len(tasks), -1, 2)

    def __len__(self) -> int:
        """How many tasks there are."""
        return len(self.tasks)

    @property
    def digest(self) -> str:
        """The same for the same pairs of the same tasks."""
        return hashlib.sha256(self.rows.numpy().tobytes()).hexdigest()[:16]

    @property
    def fewest(self) -> int:
        """Pairs in a half of the episodes of the expert that has the fewest."""
        return int(self._counts[:, 0].min())

    def draw(
        self, which: Tensor, k: int, m: int, q: int, mixed: Tensor, generator: torch.Generator
    ) -> Episode:
        """An episode of each of the tasks ``which`` (B,).

        Args:
            mixed: where the policy is a mixture of all kinds and not one of them: (B,).

        Raises:
            InputError: an expert has fewer pairs in a half of its episodes.
        """
        if max(k, q) > self.fewest:
            raise InputError(
                f"{k} pairs were to be remembered and {q} of other episodes to be told apart "
                f"where half of an expert's episodes have {self.fewest}: ask for fewer pairs, or "
                f"give longer demonstrations, or more."
            )
        half = torch.randint(2, (len(which),), generator=generator)
        policy = self._of_policy(which, half, m, q, mixed, generator)
        return Episode(
            self._of_expert(which, half, k, generator),
            policy[:, :m],
            self._of_expert(which, 1 - half, q, generator),
            policy[:, m:],
        )

    def _of_expert(
        self, which: Tensor, half: Tensor, n: int, generator: torch.Generator
    ) -> Tensor:
        """n different pairs of one half of each expert's episodes: (B, n, D)."""
        count = self._counts[which, 0, half][:, None]
        places = torch.arange(int(self._counts[:, 0].max()))
        order = torch.rand(len(which), len(places), generator=generator)
        chosen = order.masked_fill(places >= count, 2.0).argsort(-1)[:, :n]
        return self.rows[self._starts[which, 0, half][:, None] + chosen]

    def _of_policy(
        self,
        which: Tensor,
        half: Tensor,
        m: int,
        q: int,
        mixed: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """m pairs of one half of the episodes of a policy that is not the task's expert and q of
        the other, different where it has so many: (B, m + q, D)."""
        B, n, others = len(which), m + q, len(self.kinds) - 1
        kind = torch.randint(len(self.kinds), (B, n), generator=generator)
        kind = torch.where(mixed[:, None], kind, kind[:, :1])
        step = torch.randint(1, len(self), (B, n), generator=generator)
        step = torch.where(mixed[:, None], step, step[:, :1])
        task = (which[:, None] + step * (kind == others)) % len(self)
        column = torch.where(kind == others, 0, kind + 1)
        side = torch.where(torch.arange(n) < m, half[:, None], 1 - half[:, None])
        start, count = self._starts[task, column, side], self._counts[task, column, side]
        rows = start + _below(count, generator)
        for _ in range(REDRAWS):
            again = _met_before(rows)
            if not again.any():
                break
            rows = torch.where(again, start + _below(count, generator), rows)
        return self.rows[rows]


def _below(count: Tensor, generator: torch.Generator) -> Tensor:
    """Whole numbers from 0 to below each count."""
    return (torch.rand(count.shape, generator=generator) * count).long()


def _met_before(rows: Tensor) -> Tensor:
    """Where a number is in its line (*, n) for the second time or more."""
    ordered, order = rows.sort(dim=-1, stable=True)
    again = torch.zeros_like(rows, dtype=torch.bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    return torch.zeros_like(again).scatter(-1, order, again)


def _widths(pairs: Pairs) -> tuple[int, int]:
    return pairs.state.shape[1], pairs.action.shape[1]


def _check(tasks: Sequence[Task]) -> None:
    if len(tasks) < 2:
        raise InputError(
            f"{len(tasks)} tasks were given: at least two are expected, for each expert is told "
            f"apart from others; give more experts."
        )
    first = tasks[0]
    for task in tasks:
        for pairs in (task.expert, *task.policies.values()):
            if not isinstance(pairs, Pairs):
                raise InputError(
                    f"Task '{task.name}' has a {type(pairs).__name__} where pairs are expected: "
                    f"give km_rl.rl.pairs of it."
                )
            if _widths(pairs) != _widths(first.expert):
                raise InputError(
                    f"Task '{task.name}' has states and actions of {_widths(pairs)} entries where "
                    f"'{first.name}' has {_widths(first.expert)}: give tasks of one environment."
                )
            if pairs.count < 2:
                raise InputError(
                    f"A policy of task '{task.name}' has {pairs.count} pairs: two or more are "
                    f"expected, one to be told and another to be asked about."
                )
        if task.policies.keys() != first.policies.keys():
            raise InputError(
                f"Task '{task.name}' has the policies {sorted(task.policies)} where "
                f"'{first.name}' has {sorted(first.policies)}: give each the same kinds."
            )
