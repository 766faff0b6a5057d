"""Behavioural cloning (Pomerleau 1991): regression of the expert's actions on its states."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from imitation.algorithms.bc import BC
from imitation.policies.base import NormalizeFeaturesExtractor
from stable_baselines3 import PPO

from agents.config import GailConfig
from agents.logbook import RoundMeans
from agents.task import Task
from km_rl.nn.saves import damaged, load_state, save_state
from km_rl.nn.weights import fill
from km_rl.rl.batches import ExpertBatches

BATCH = 256
BATCHES_A_ROUND = 16
TRAINING = "training.pt"
OF = "behavioural cloning"


class Cloning:
    """imitation's `BC`; the policy is a PPO's, so it is saved and goes on learning like one.

    Its nets have two layers of 256, and observations are normalised by their running mean and
    variance, as the discriminators' are.
    """

    round_steps = BATCH * BATCHES_A_ROUND

    def __init__(self, config: GailConfig, task: Task, means: RoundMeans) -> None:
        self.learner = PPO(
            "MlpPolicy",
            task.venv,
            policy_kwargs={
                "net_arch": [256, 256],
                "features_extractor_class": NormalizeFeaturesExtractor,
            },
            seed=config.seed,
            device="cpu",
        )
        self.means, self.steps = means, 0
        self.bc = BC(
            observation_space=task.venv.observation_space,
            action_space=task.venv.action_space,
            rng=np.random.default_rng(config.seed),
            policy=self.learner.policy,
            demonstrations=ExpertBatches(task.demonstrations, BATCH, config.seed),  # type: ignore[arg-type]
            batch_size=BATCH,
            custom_logger=means.logger,
            device="cpu",
        )

    @property
    def model(self) -> torch.nn.Module:
        return self.learner.policy

    @property
    def recipe(self) -> dict[str, Any]:
        return {"batch": BATCH}

    def round(self) -> dict[str, float]:
        self.learner.policy.set_training_mode(True)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Converting a tensor")  # imitation's logging
            self.bc.train(n_batches=BATCHES_A_ROUND, progress_bar=False)
        self.steps += self.round_steps
        return self.means.values

    def save(self, folder: Path) -> None:
        state = {
            "policy": self.learner.policy.state_dict(),
            "optimiser": self.bc.optimizer.state_dict(),
            "steps": self.steps,
        }
        save_state(folder / TRAINING, state)

    def resume(self, folder: Path) -> None:
        """The order of the pairs begins anew.

        Raises:
            InputError: what was saved is damaged, or of another environment.
        """
        path = folder / TRAINING
        if not path.exists():
            return
        saved = load_state(path, ("policy", "optimiser", "steps"), OF)
        fill(self.learner.policy, saved["policy"], path)
        try:
            self.bc.optimizer.load_state_dict(saved["optimiser"])
            self.steps = int(saved["steps"])
        except Exception as error:  # a file can be broken in any way
            raise damaged(path, OF) from error
