"""Agents that learn nothing worth knowing in no time: imitation's quickstart, and SB3's own."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from imitation.algorithms.adversarial.common import AdversarialTrainer
from imitation.algorithms.adversarial.gail import GAIL
from imitation.data import rollout
from imitation.data.wrappers import RolloutInfoWrapper
from imitation.policies.base import RandomPolicy
from imitation.util import logger as imitation_logger
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from km_rl.rl import KanervaRewardNet

CARTPOLE, PENDULUM = "seals:seals/CartPole-v0", "Pendulum-v1"
ROUND = 32  # environment steps
SMALL: dict[str, Any] = {"slots": 8, "code": 4, "hidden": 8}


def environments(name: str, n: int = 2) -> VecEnv:
    venv = DummyVecEnv([lambda: RolloutInfoWrapper(gym.make(name)) for _ in range(n)])
    venv.seed(0)
    return venv


def ppo(env: str | VecEnv = "CartPole-v1", folder: Path | None = None, **settings: Any) -> PPO:
    venv = environments(env) if isinstance(env, str) else env
    settings = {"n_steps": ROUND // venv.num_envs, "batch_size": 16, "n_epochs": 1, **settings}
    return logging_to(folder, PPO("MlpPolicy", venv, seed=0, device="cpu", **settings))


def sac(env: str | VecEnv = PENDULUM, folder: Path | None = None, **settings: Any) -> SAC:
    venv = environments(env, 1) if isinstance(env, str) else env
    settings = {"buffer_size": 300, "learning_starts": 8, "batch_size": 8, **settings}
    nets = {"net_arch": [8]}
    model = SAC("MlpPolicy", venv, seed=0, device="cpu", policy_kwargs=nets, **settings)
    return logging_to(folder, model)


def logging_to(folder: Path | None, model: Any) -> Any:
    """The same model, which writes what it logs into a folder, or nowhere."""
    model.set_logger(configure(str(folder) if folder else None, ["csv"] if folder else []))
    return model


@cache
def demonstrations(env: str) -> Any:
    """Whole episodes of a random policy."""
    venv = environments(env, 1)
    policy = RandomPolicy(venv.observation_space, venv.action_space)
    enough = rollout.make_sample_until(min_timesteps=100)
    return rollout.rollout(policy, venv, enough, rng=np.random.default_rng(0))


def gail(
    folder: Path,
    *,
    kind: type[AdversarialTrainer] = GAIL,
    generator: BaseAlgorithm | None = None,
    reward_net: Any = None,
    venv: VecEnv | None = None,
    **settings: Any,
) -> Any:
    """A trainer with demonstrations of a random policy, which logs into the folder."""
    venv = venv or (generator and generator.get_env()) or environments(CARTPOLE)
    spaces = venv.observation_space, venv.action_space
    return kind(
        demonstrations=demonstrations(CARTPOLE if hasattr(spaces[1], "n") else PENDULUM),
        demo_batch_size=16,
        venv=venv,
        gen_algo=generator or ppo(venv),
        reward_net=reward_net or KanervaRewardNet(*spaces, **SMALL),
        custom_logger=imitation_logger.configure(folder / "log", ["csv"]),
        **{"gen_train_timesteps": ROUND, **settings},
    )


def logged(folder: Path) -> list[dict[str, float]]:
    """The lines of a progress.csv, without the gaps."""
    with (folder / "progress.csv").open() as file:
        lines = list(csv.DictReader(file))
    return [{k: float(v) for k, v in line.items() if v} for line in lines]
