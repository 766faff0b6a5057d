"""GAIL and AIRL, imitation's own, round by round.

The recipe is the same for every discriminator, so that they alone are compared: full batches of
`BATCH` pairs, the same updates a round, and a generator's buffer of the last two rounds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from imitation.algorithms.adversarial.airl import AIRL
from imitation.algorithms.adversarial.common import AdversarialTrainer
from imitation.algorithms.adversarial.gail import GAIL
from imitation.rewards.reward_nets import RewardNet
from imitation.util.networks import training
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import VecEnv

from agents.config import GailConfig
from agents.discriminators import HIDDEN, Bottleneck, Nearest, perceptron
from agents.generator import PpoSettings, ppo, ppo_settings, sac
from agents.logbook import RoundMeans
from agents.task import Task
from envs.make import make_vec
from km_rl.errors import InputError
from km_rl.rl.attached import Attached, attach
from km_rl.rl.batches import ExpertBatches
from km_rl.rl.callbacks import KanervaCallback
from km_rl.rl.replay import relabel_rewards
from km_rl.rl.resume import resume_training, save_training
from km_rl.rl.reward_net import KanervaRewardNet

BATCH = 1024
"""Pairs of the expert, and as many of the policy, in a discriminator update."""
LEARNING_RATE = 3e-4
"""Adam's step size, of the discriminator."""
SAC_ROUND = 4096
"""Environment steps in a round of SAC; PPO's settings have their own."""


class Adversary:
    """An imitator whose reward is a discriminator's.

    Args:
        width: of the mlp's two layers.

    Attributes:
        learner: PPO or SAC, imitation's generator.
        net: the discriminator.
        trainer: imitation's GAIL or AIRL.
        round_steps: environment steps in a round.
    """

    def __init__(
        self, config: GailConfig, task: Task, means: RoundMeans, width: int = HIDDEN
    ) -> None:
        self.config, self.task, self.means = config, task, means
        venv = make_vec(config.env, ppo_settings(config.env).n_envs, config.seed)
        self.learner = _learner(config, venv)
        self.net = _discriminator(config, venv, width)
        self.trainer = _trainer(config, task, venv, self.learner, self.net, means)
        self.attached = _attached(self.trainer, self.net, task)
        self.clock = _Clock(self.trainer)
        self.round_steps = self.trainer.gen_train_timesteps

    @property
    def steps(self) -> int:
        return self.learner.num_timesteps

    @property
    def model(self) -> torch.nn.Module:
        return self.net

    @property
    def recipe(self) -> dict[str, Any]:
        own = {"batch": BATCH, "discriminator_learning_rate": LEARNING_RATE}
        if self.config.generator == "sac":
            return {**own, "round_steps": SAC_ROUND}
        return {**own, **asdict(_ppo_settings(self.config))}

    def round(self) -> dict[str, float]:
        """Act and learn, then let the discriminator learn.

        Raises:
            InputError: an episode ended early where that was not allowed.
        """
        self.clock.restart()
        if self.config.anneal:
            self._anneal()
        self._act_and_learn()
        for _ in range(self.config.updates):
            with _timed(self.clock.updates), training(self.trainer.reward_train):
                self.trainer.train_disc()
        self.attached.on_round_end()
        times = self.clock.seconds()
        self.trainer.logger.dump(self.trainer._global_step)
        return {**self.means.values, **times, **self._logits()}

    def save(self, folder: Path) -> None:
        self.attached.finish()
        save_training(self.trainer, folder)

    def resume(self, folder: Path) -> None:
        resume_training(self.trainer, folder)

    def _anneal(self) -> None:
        """PPO's step size for a round: it falls linearly with the steps done."""
        usual = ppo_settings(self.config.env).learning_rate
        rate = usual * (1 - self.steps / self.config.steps)
        self.learner.lr_schedule = lambda _: rate

    def _act_and_learn(self) -> None:
        try:
            self.trainer.train_gen()
        except ValueError as error:
            if "different length" not in str(error):
                raise
            raise InputError(
                f"After {self.steps} steps an episode ended early, which tells an imitator about "
                f"the reward: start another run (--name NEW) with --allow-variable-horizon to do "
                f"it anyway."
            ) from error

    def _logits(self) -> dict[str, float]:
        """Of the pairs learned from and of the policy's last ones; AIRL's net is no logit."""
        if isinstance(self.trainer, AIRL):
            return {}
        latest = self.trainer._gen_replay_buffer.sample(BATCH)
        policy = self.net.predict(*(getattr(latest, name) for name in FIELDS))
        if isinstance(self.net, KanervaRewardNet):
            expert = self.net.expert_logits(BATCH).cpu().numpy()
        else:
            rows = self.task.demonstrations
            expert = self.net.predict(*(rows[name][:BATCH] for name in FIELDS))
        return {"logit/expert": float(expert.mean()), "logit/policy": float(policy.mean())}


FIELDS = ("obs", "acts", "next_obs", "dones")
"""In the order in which a reward net takes them."""


class _Clock:
    """Wall time of the parts of a round, in seconds; the trainer's reward calls are timed."""

    def __init__(self, trainer: AdversarialTrainer) -> None:
        wrapped: Any = trainer.venv_train
        self._reward_fn, wrapped.reward_fn = wrapped.reward_fn, self._timed_reward
        self.restart()

    def restart(self) -> None:
        """A new round."""
        self.started = time.perf_counter()
        self.rewards: list[float] = []
        self.updates: list[float] = []

    def seconds(self) -> dict[str, float]:
        """Under the keys of `agents.logbook`."""
        return {
            "seconds/round": time.perf_counter() - self.started,
            "seconds/update": float(np.mean(self.updates)),
            "seconds/reward": float(np.mean(self.rewards)),
            "seconds/discriminator": sum(self.updates) + sum(self.rewards),
        }

    def _timed_reward(self, *pairs: Any) -> np.ndarray:
        with _timed(self.rewards):
            return self._reward_fn(*pairs)


@contextmanager
def _timed(laps: list[float]) -> Iterator[None]:
    """Append the seconds that the block takes."""
    started = time.perf_counter()
    yield
    laps.append(time.perf_counter() - started)


def _learner(config: GailConfig, venv: VecEnv) -> PPO | SAC:
    if config.generator == "sac":
        return sac(venv, config.seed)
    return ppo(venv, config.seed, _ppo_settings(config))


def _ppo_settings(config: GailConfig) -> PpoSettings:
    settings = ppo_settings(config.env)
    if config.log_std_init is None:
        return settings
    return replace(settings, log_std_init=config.log_std_init)


def _discriminator(config: GailConfig, venv: VecEnv, width: int) -> RewardNet:
    spaces = venv.observation_space, venv.action_space
    if config.discriminator == "kanerva":
        return KanervaRewardNet(*spaces, reward=config.reward, **config.memory_options)
    expert_scale = config.scale == "expert"
    if config.discriminator == "mlp":
        return perceptron(*spaces, config.dropout, expert_scale, width)
    net = (Bottleneck if config.discriminator == "vail" else Nearest)(*spaces)
    net.expert_scale = expert_scale
    return net


def _trainer(
    config: GailConfig,
    task: Task,
    venv: VecEnv,
    learner: PPO | SAC,
    net: RewardNet,
    means: RoundMeans,
) -> AdversarialTrainer:
    round_steps = learner.n_steps * venv.num_envs if isinstance(learner, PPO) else SAC_ROUND
    trainer = (AIRL if config.algorithm == "airl" else GAIL)(
        demonstrations=ExpertBatches(task.demonstrations, BATCH, config.seed),  # type: ignore[arg-type]
        demo_batch_size=BATCH,
        venv=venv,
        gen_algo=learner,
        reward_net=net,
        n_disc_updates_per_round=config.updates,
        disc_opt_kwargs={"lr": LEARNING_RATE},
        gen_train_timesteps=round_steps,
        gen_replay_buffer_capacity=2 * round_steps,
        custom_logger=means.logger,
        allow_variable_horizon=config.allow_variable_horizon,
    )
    if isinstance(net, KanervaRewardNet) and config.algorithm == "gail":
        wrapped: Any = trainer.venv_wrapped
        wrapped.reward_fn = net.reward_fn  # stock GAIL knows softplus alone
    if isinstance(learner, SAC):
        relabel_rewards(trainer)
    return trainer


def _attached(trainer: AdversarialTrainer, net: RewardNet, task: Task) -> Attached:
    """The trainer's callbacks; a memory is given the expert's pairs, and watched."""
    callbacks = []
    if isinstance(net, KanervaRewardNet):
        net.remember(task.demonstrations)
        callbacks = [KanervaCallback(net)]
    attached = attach(trainer, *callbacks).gen_callback
    assert isinstance(attached, Attached)
    return attached
