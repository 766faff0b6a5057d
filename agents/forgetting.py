"""What forgetting is worth: bad demonstrations planted among good ones, and taken out half-way.

Three imitators, alike but for what they are shown:

=============  ==================================================================================
``clean``      the good demonstrations, from beginning to end
``planted``    trajectories of a random policy among them, from beginning to end
``forgotten``  the same, until half of the steps: then they are taken out of the memory and of the
               batches, and nothing else is undone: the policy and its value function stay
=============  ==================================================================================
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from agents.adversary import Adversary
from agents.config import GailConfig
from agents.logbook import RoundMeans
from agents.novelty import random_trajectories
from agents.task import Task, thinned
from km_rl.errors import InputError
from km_rl.rl.batches import ExpertBatches
from km_rl.rl.reward_net import KanervaRewardNet

ARMS = ("clean", "planted", "forgotten")


class Planted(Adversary):
    """An imitator among whose demonstrations are bad ones.

    Args:
        task: with the good ones.
        arm: which of `ARMS` it is.
        bad: how many trajectories of a random policy are planted.

    Raises:
        InputError: there is no such arm, or a discriminator that is no memory has to forget.
    """

    def __init__(
        self, config: GailConfig, task: Task, means: RoundMeans, arm: str, bad: int
    ) -> None:
        if arm not in ARMS:
            raise InputError(f"'{arm}' is not one of {', '.join(ARMS)}: give one of these.")
        self.arm, self.bad, self.good = arm, bad, task.demonstrations
        self.planted = {
            name: rows.astype(self.good[name].dtype)
            for name, rows in thinned(random_trajectories(config.env, bad), config.every).items()
        }
        everything = {
            name: np.concatenate([rows, self.planted[name]]) for name, rows in self.good.items()
        }
        shown = self.good if arm == "clean" else everything
        super().__init__(config, task._replace(demonstrations=shown), means)
        if arm == "forgotten" and not isinstance(self.net, KanervaRewardNet):
            raise InputError(
                f"{type(self.net).__name__} cannot forget: start anew, or imitate with a memory."
            )

    @property
    def recipe(self) -> dict[str, Any]:
        good = b"".join(rows.tobytes() for rows in self.good.values())
        own = {"arm": self.arm, "bad": self.bad, "good": hashlib.sha256(good).hexdigest()}
        if self.arm == "forgotten":
            own["forgets_after"] = self.config.steps / 2
        return {**super().recipe, **own}

    def round(self) -> dict[str, float]:
        """As any round; the first that reaches half of the steps ends with the forgetting."""
        told = super().round()
        if self._forgets and self._shows_all:
            assert isinstance(self.net, KanervaRewardNet)
            self.net.forget(self.planted)
            self._show_the_good()
        return told

    def resume(self, folder: Path) -> None:
        """Go on; a memory that was saved after the forgetting is one that forgot."""
        super().resume(folder)
        if self._forgets:
            self._show_the_good()

    @property
    def _forgets(self) -> bool:
        return self.arm == "forgotten" and self.steps >= self.config.steps / 2

    @property
    def _shows_all(self) -> bool:
        return len(self.task.demonstrations["acts"]) > len(self.good["acts"])

    def _show_the_good(self) -> None:
        self.task = self.task._replace(demonstrations=self.good)
        batches = ExpertBatches(self.good, self.trainer.demo_batch_size, self.config.seed)
        self.trainer.set_demonstrations(batches)  # type: ignore[arg-type]
