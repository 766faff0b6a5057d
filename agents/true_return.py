"""How well a policy does by the environment's own reward, which imitation never shows it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from imitation.policies.base import RandomPolicy
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.type_aliases import PolicyPredictor

from envs.make import make_vec

SEED = 20_181_101
"""Of the starts of evaluated episodes, far from the seeds of training."""
MOST_ENVS = 10


class Measured(NamedTuple):
    """True returns and lengths of some episodes."""

    returns: np.ndarray
    lengths: np.ndarray

    @property
    def mean(self) -> float:
        return float(self.returns.mean())

    @property
    def std(self) -> float:
        """Across episodes, with n in the denominator."""
        return float(self.returns.std())


class TrueReturn:
    """Environments of its own, in which all policies start from the same states.

    Args:
        env: see `envs.make.env_id`.
        episodes: in each measurement.
    """

    def __init__(self, env: str, episodes: int) -> None:
        self.episodes = episodes
        self.venv = make_vec(env, min(episodes, MOST_ENVS), SEED)

    def of(self, policy: PolicyPredictor) -> Measured:
        """A policy's, acting deterministically."""
        self.venv.seed(SEED)
        returns, lengths = evaluate_policy(
            policy, self.venv, self.episodes, deterministic=True, return_episode_rewards=True
        )
        return Measured(np.array(returns), np.array(lengths))

    def of_random(self) -> Measured:
        """That of actions drawn from the action space."""
        self.venv.action_space.seed(SEED)
        return self.of(RandomPolicy(self.venv.observation_space, self.venv.action_space))
