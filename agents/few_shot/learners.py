"""What agents do while they learn: pairs that a discriminator can be trained, or tested, with.

Scripted policies stand beside the experts of a family (`envs.tasks`), but what a discriminator is
asked about in use is what a learner does before it is any good. So learners of some tasks are
paid by a discriminator that is there already, and what they did in their first rounds is kept::

    learners/
    └── <digest>.safetensors    ``obs`` and ``acts`` of a learner, and of which ``episode`` they
                                are; the digest is of all that they depend on

A learner takes seconds where a scripted policy takes milliseconds, so there are `COUNT` and the
training tasks share them in turn. The same command goes on after an interruption.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from stable_baselines3.common.callbacks import BaseCallback

from agents.few_shot.scores import paid
from agents.generator import ppo_settings
from envs.drawn import as_tensors, from_tensors
from envs.make import env_id
from envs.tasks import POLICY_PAIRS, Family, some
from km_rl.errors import InputError
from km_rl.files import make_folder, written_beside
from km_rl.rl.episodes import Pairs
from km_rl.rl.few_shot import FewShot
from km_rl.rl.sources import pairs
from km_rl.rl.tasks import Task, rows_of

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
        _kept(folder, model, family, task, _seed(seed, i)) for i, task in enumerate(tasks[:COUNT])
    ]
    return [
        task._replace(policies={**task.policies, LEARNER: found[i % len(found)]})
        for i, task in enumerate(tasks)
    ]


def held_out_learners(family: Family, model: FewShot, folder: Path, seed: int) -> list[Pairs]:
    """Pairs of a learner of each of the first held-out tasks; arguments and errors as above."""
    return [
        _kept(folder, model, family, case.task, _seed(seed, i, 1))
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
    return some(keep.seen, POLICY_PAIRS, np.random.default_rng(seed))


def made_of_learners(family: Family) -> dict[str, Any]:
    """How learners learn, as it may be written down."""
    ppo = asdict(ppo_settings(family.env))
    return {"count": COUNT, "rounds": EARLY, "told": TOLD, "env": env_id(family.env), "ppo": ppo}


def _seed(seed: int, place: int, held_out: int = 0) -> int:
    """Another for each learner of each training, so that none starts from the same net."""
    return ((2 * seed + held_out) * COUNT + place) % 2**32


class _Keep(BaseCallback):
    """The pairs of every rollout; an episode that goes on in the next keeps its number."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds: list[Pairs] = []
        self._begun: Any = 0

    def _on_rollout_end(self) -> None:
        buffer: Any = self.model.rollout_buffer  # type: ignore[attr-defined]
        space: Any = self.model.action_space
        begun = self._begun + buffer.episode_starts.astype(np.int64).cumsum(0)
        self._begun, envs = begun[-1], begun.shape[1]
        number = begun * envs + np.arange(envs)
        acts = buffer.actions.clip(space.low, space.high)
        obs, acts, number = (
            x.reshape(-1, *x.shape[2:]) for x in (buffer.observations, acts, number)
        )
        found = pairs({"obs": obs, "acts": acts})
        self.rounds.append(found._replace(trajectory=torch.from_numpy(number)))

    @property
    def seen(self) -> Pairs:
        """All of them."""
        numbers = torch.cat([found.trajectory for found in self.rounds])
        return Pairs.join(self.rounds)._replace(trajectory=numbers)

    def _on_step(self) -> bool:
        return True


def _kept(folder: Path, model: FewShot, family: Family, task: Task, seed: int) -> Pairs:
    """From the file, which is made where it is not there."""
    path = folder / f"{_digest(model, family, task, seed)}.safetensors"
    if not path.exists():
        found = early_pairs(model, family, task, seed)
        make_folder(path.parent)
        with written_beside(path) as beside:
            save_file(as_tensors(found), beside)
    try:
        return from_tensors(load_file(path))
    except (SafetensorError, OSError, KeyError) as error:
        raise InputError(
            f"'{path}' is not a whole file of a learner's pairs ({error}): delete it, and the "
            f"same command makes it again."
        ) from error


def _digest(model: FewShot, family: Family, task: Task, seed: int) -> str:
    """Of the weights that pay, the task, and how a learner learns."""
    found = hashlib.sha256(json.dumps([made_of_learners(family), seed]).encode())
    seen = (rows_of(task.expert), rows_of(task.policies["random"]))
    for its in (*model.state_dict().values(), *seen):
        found.update(its.detach().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
