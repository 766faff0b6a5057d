"""PPO and SAC as they learn from a discriminator's reward.

Learning rates are constant, for inside imitation's GAIL a schedule never moves; `agents.adversary`
lets one fall where it is asked to. PPO's observations are normalised inside its nets, because a
normalised environment would leave the demonstrations as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gymnasium.spaces import Box
from imitation.policies.base import NormalizeFeaturesExtractor
from imitation.util.networks import RunningNorm
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from envs.make import family
from km_rl.errors import InputError
from km_rl.rl.streams import seed_environments


@dataclass(frozen=True)
class PpoSettings:
    """Proximal policy optimisation (Schulman et al. 2017); a round is ``n_envs * n_steps``."""

    n_envs: int = 8
    """Environments that act side by side."""
    n_steps: int = 512
    """Steps of each in a round."""
    batch_size: int = 256
    """Pairs in a gradient step."""
    n_epochs: int = 10
    """Passes over the round."""
    learning_rate: float = 3e-4
    """Adam's step size."""
    gamma: float = 0.99
    """Discount of rewards a step later."""
    ent_coef: float = 0.0
    """What a nat of the policy's entropy is worth."""
    width: int = 256
    """Units in each of the two layers of policy and value function."""
    log_std_init: float = -1.0
    """Log of the std with which actions start. From SB3's 0, a std of 1, every third number in a
    robot's actions is cut at the end of its range."""
    target_kl: float | None = 0.03
    """The passes end early once the policy is by 1.5 times this KL divergence from what acted."""

    @property
    def round_steps(self) -> int:
        """Environment steps of a round."""
        return self.n_envs * self.n_steps


SMALL = PpoSettings(n_steps=256, learning_rate=1e-3, width=64, log_std_init=0.0, target_kl=None)
PPO_SETTINGS = {
    "CartPole": replace(SMALL, gamma=0.98, ent_coef=0.01),
    "Pendulum": replace(SMALL, gamma=0.95),
    "PointNav": replace(SMALL, gamma=0.95),
    "Hopper": PpoSettings(log_std_init=0.0),
    "Walker2d": PpoSettings(log_std_init=0.0),
}
"""By the name of the environment without its version; others take the defaults."""


def ppo_settings(env: str) -> PpoSettings:
    """The settings for an environment, by its name or id."""
    return PPO_SETTINGS.get(family(env.split("/")[-1]), PpoSettings())


def ppo(venv: VecEnv, seed: int, settings: PpoSettings | None = None) -> PPO:
    """A PPO learner on the CPU, where its small nets are fastest."""
    s = settings or PpoSettings()
    learner = PPO(
        "MlpPolicy",
        venv,
        n_steps=s.n_steps,
        batch_size=s.batch_size,
        n_epochs=s.n_epochs,
        learning_rate=s.learning_rate,
        gamma=s.gamma,
        ent_coef=s.ent_coef,
        target_kl=s.target_kl,
        policy_kwargs={
            "net_arch": [s.width, s.width],
            "log_std_init": s.log_std_init,
            "features_extractor_class": NormalizeFeaturesExtractor,
            "features_extractor_kwargs": {"normalize_class": RunningNorm},
        },
        seed=seed,
        device="cpu",
    )
    seed_environments(learner)
    return learner


def is_finite(learner: BaseAlgorithm) -> bool:
    """Whether no weight of its policy is NaN or infinite; to act on such is torch's ValueError."""
    return all(bool(p.isfinite().all()) for p in learner.policy.parameters())


def sac(venv: VecEnv, seed: int, **changed: Any) -> SAC:
    """A soft actor-critic learner (Haarnoja et al. 2018): fewer steps than PPO, each slower.

    Args:
        changed: settings of SB3's `SAC` other than these.

    Raises:
        InputError: an environment that SAC cannot act in.
    """
    for what, space in (("observations", venv.observation_space), ("actions", venv.action_space)):
        if not isinstance(space, Box):
            raise InputError(
                f"The environment's {what} are {space} where SAC needs vectors of numbers: "
                f"give HalfCheetah, Pendulum or another environment with continuous actions."
            )
    settings: dict[str, Any] = {
        "learning_rate": 3e-4,
        "learning_starts": 10_000,
        "batch_size": 256,
        "train_freq": 1,
        "gradient_steps": -1,
        "policy_kwargs": {"net_arch": [256, 256]},
        "device": "cpu",
    }
    learner = SAC("MlpPolicy", venv, seed=seed, **{**settings, **changed})
    seed_environments(learner)
    return learner
