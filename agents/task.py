"""What a run imitates, and where: loaded, thinned and checked before anything is written."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from imitation.data.types import TrajectoryWithRew
from stable_baselines3.common.vec_env import VecEnv

from agents.config import GailConfig
from agents.true_return import Measured, TrueReturn
from envs.demos import check, check_env, load, shipped
from envs.make import fixed_horizon
from km_rl.errors import InputError


class Task(NamedTuple):
    """An expert to imitate.

    Attributes:
        demonstrations: the pairs to learn from, as arrays of N rows under imitation's names: obs,
            acts, next_obs, dones.
        expert: the demonstrations' returns and lengths; returns are NaN where none were told.
        random: those of a policy that draws its actions from the space.
        true_return: measures policies.
    """

    demonstrations: dict[str, np.ndarray]
    expert: Measured
    random: Measured
    true_return: TrueReturn

    @property
    def venv(self) -> VecEnv:
        """The environments of the evaluation, which have the spaces of all."""
        return self.true_return.venv

    @property
    def digest(self) -> str:
        """Of the pairs: a file of the same name may hold others one day."""
        rows = b"".join(array.tobytes() for array in self.demonstrations.values())
        return hashlib.sha256(rows).hexdigest()[:16]

    @property
    def facts(self) -> dict[str, float | int | None]:
        """What is recorded with a run."""
        told = bool(np.isfinite(self.expert.returns).all())
        return {
            "pairs": len(self.demonstrations["acts"]),
            "demonstrations": len(self.expert.lengths),
            "expert_return": self.expert.mean if told else None,
            "expert_return_std": self.expert.std if told else None,
            "random_return": self.random.mean,
            "random_return_std": self.random.std,
        }


def load_task(config: GailConfig) -> Task:
    """The demonstrations and the environments of a run.

    Raises:
        InputError: an environment or demonstrations that cannot be had, or do not belong together;
            episodes of varying length that were not allowed.
    """
    true_return = TrueReturn(config.env, config.evaluate_episodes)
    path = shipped(config.env) if config.demos is None else config.demos
    trajectories = load(path)
    if len(trajectories) < (config.trajectories or 1):
        raise InputError(
            f"{config.trajectories} trajectories were asked for where '{path}' holds "
            f"{len(trajectories)}: ask for at most as many, or give other demonstrations."
        )
    trajectories = trajectories[: config.trajectories]
    venv = true_return.venv
    check(trajectories, venv.observation_space, venv.action_space)
    check_env(path, config.env)
    expert = Measured(
        np.array([t.rews.sum(dtype=np.float64) for t in trajectories]),
        np.array([len(t) for t in trajectories]),
    )
    random = true_return.of_random()
    if config.algorithm != "bc" and not config.allow_variable_horizon:
        _refuse_variable_horizon(config.env, expert, random)
    return Task(thinned(trajectories, config.every), expert, random, true_return)


def thinned(trajectories: list[TrajectoryWithRew], every: int) -> dict[str, np.ndarray]:
    """The first, (every+1)-th, (2 every+1)-th ... pair of each trajectory."""
    fields = {
        "obs": [np.asarray(t.obs)[:-1] for t in trajectories],
        "acts": [t.acts for t in trajectories],
        "next_obs": [np.asarray(t.obs)[1:] for t in trajectories],
        "dones": [np.arange(len(t)) == len(t) - t.terminal for t in trajectories],
    }
    return {name: np.concatenate([x[::every] for x in xs]) for name, xs in fields.items()}


def _refuse_variable_horizon(env: str, expert: Measured, random: Measured) -> None:
    """Such episodes tell an imitator what is good: to live, or to end."""
    seen = [np.unique(measured.lengths) for measured in (expert, random)]
    known, all_lengths = fixed_horizon(env), np.unique(np.concatenate(seen))
    if known is False or max(map(len, seen)) > 1 or (known is None and len(all_lengths) > 1):
        told = [f"{x[0]} to {x[-1]}" if len(x) > 1 else f"{x[0]}" for x in seen]
        raise InputError(
            f"Episodes of {env} vary in length (the expert's have {told[0]} steps, a random "
            f"policy's {told[1]}), which tells an imitator about the reward: add "
            f"--allow-variable-horizon to go on, or take an environment that never ends early."
        )
