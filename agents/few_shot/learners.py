"""What agents do while they learn: pairs that a discriminator can be trained, or tested, with.

Scripted policies stand beside the experts of a family (`envs.tasks`), but what a discriminator is
asked about in use is what a learner does before it is any good. So learners of some tasks are
paid by a discriminator that is there already, and what they did in their first rounds is kept::

    learners/
    ├── train-<i>.safetensors       ``obs`` and ``acts`` of the learner of the i-th training task,
    │                               and of which ``episode`` they are
    └── held-out-<digest>-<i>.safetensors    of the i-th of the held-out tasks of this digest, to
                                             test with

A learner takes seconds where a scripted policy takes milliseconds, so there are `COUNT` and the
training tasks share them in turn. The same command goes on after an interruption.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from stable_baselines3.common.callbacks import BaseCallback

from agents.few_shot.scores import paid
from envs.tasks import POLICY_PAIRS, Family, some
from km_rl.errors import InputError, make_folder, written_beside
from km_rl.rl.episodes import Pairs
from km_rl.rl.few_shot import FewShot
from km_rl.rl.sources import pairs
from km_rl.rl.tasks import Task, Tasks

COUNT = 8
"""Learners of training tasks, and of held-out ones, at most."""
EARLY = 4
"""Rounds of a learner that are kept."""
TOLD = 16
"""Pairs of its expert that pay a learner."""
LEARNER = "learner"
"""The name of these policies."""


def with_learners(family: Family, model: FewShot, folder: Path, seed: int) -> list[Task]:
    """The training tasks with a learner's pairs beside those of the other policies.

    Args:
        model: pays the learners.
        folder: where their pairs are, or will be.

    Raises:
        InputError: a file in the folder is damaged, or it cannot be written.
    """
    tasks = family.train
    found = [
        _kept(folder / f"train-{i}.safetensors", model, family, task, _seed(seed, i))
        for i, task in enumerate(tasks[:COUNT])
    ]
    return [
        task._replace(policies={**task.policies, LEARNER: found[i % len(found)]})
        for i, task in enumerate(tasks)
    ]


def held_out_learners(family: Family, model: FewShot, folder: Path, seed: int) -> list[Pairs]:
    """Pairs of a learner of each of the first held-out tasks; arguments and errors as above."""
    of = Tasks([case.task for case in family.held_out]).digest
    return [
        _kept(
            folder / f"held-out-{of}-{i}.safetensors", model, family, case.task, _seed(seed, i, 1)
        )
        for i, case in enumerate(family.held_out[:COUNT])
    ]


def early_pairs(model: FewShot, family: Family, task: Task, seed: int) -> Pairs:
    """Of a learner's first `EARLY` rounds, `POLICY_PAIRS` at random, as many of one half of the
    episodes as of the other; the same for a seed."""
    told = task.expert.take(torch.arange(TOLD))
    learner, observe = paid(model, family, task, told, seed)
    keep = _Keep()
    learner.learn(EARLY * learner.n_steps * learner.n_envs, [observe, keep])
    model.clear()
    seen = Pairs.join(keep.rounds)
    return some(seen, POLICY_PAIRS, np.random.default_rng(seed))


def _seed(seed: int, place: int, held_out: int = 0) -> int:
    """Another for each learner of each training, so that none starts from the same net."""
    return (2 * seed + held_out) * COUNT + place


class _Keep(BaseCallback):
    """The pairs of every rollout."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds: list[Pairs] = []

    def _on_rollout_end(self) -> None:
        self.rounds.append(pairs(self.model.rollout_buffer))  # type: ignore[attr-defined]

    def _on_step(self) -> bool:
        return True


def _kept(path: Path, model: FewShot, family: Family, task: Task, seed: int) -> Pairs:
    """From the file, which is made where it is not there."""
    if not path.exists():
        found = early_pairs(model, family, task, seed)
        make_folder(path.parent)
        with written_beside(path) as beside:
            save_file(
                {"obs": found.state, "acts": found.action, "episode": found.trajectory}, beside
            )
    try:
        kept = load_file(path)
        return pairs(kept)._replace(trajectory=kept["episode"])
    except (SafetensorError, OSError, KeyError) as error:
        raise InputError(
            f"'{path}' is not a whole file of a learner's pairs ({error}): delete it, and the "
            f"same command makes it again."
        ) from error
