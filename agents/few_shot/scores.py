"""How far an agent gets by a few pairs of an expert that no discriminator was trained on.

The same pairs, environment, steps and PPO for all, but that ``gail-expert-scale`` starts with
SB3's noise, from which it did better in HalfCheetah: a discriminator that was trained on other
experts and only takes the pairs in, GAIL, whose net has about as many parameters as the memory,
and behavioural cloning. Beside them stands ``true-reward``, PPO that the task itself pays, of
whose reward imitators are never told. What counts is the true return of the task, 0 being a random
policy's and 1 the expert's, from the same starts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Box
from imitation.rewards.reward_wrapper import RewardVecEnvWrapper
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.common.utils import set_random_seed

from agents.adversary import Adversary
from agents.benchmark import SETTINGS
from agents.cloning import Cloning
from agents.config import GailConfig
from agents.discriminators import perceptron
from agents.few_shot.rivals import size, width
from agents.generator import is_finite, ppo, ppo_settings
from agents.logbook import RoundMeans
from agents.runs import Curve
from agents.task import Task
from agents.true_return import SEED, Measured, TrueReturn
from envs.make import make_vec
from envs.tasks import Act, Family, HeldOut, make_task_vec
from km_rl.errors import InputError, NonFiniteError
from km_rl.progress import progress_bar
from km_rl.rl.episodes import Pairs
from km_rl.rl.few_shot import ROUNDS, FewShot
from km_rl.rl.meta import MetaDiscriminator
from km_rl.rl.meta_reward_net import FewShotRewardNet, ObserveRollouts
from km_rl.rl.tasks import Task as Expert

CLASSICAL: Mapping[str, Mapping[str, Any]] = {
    "gail": {**SETTINGS["mlp"], "updates": 128},
    "gail-dropout": {**SETTINGS["mlp-dropout"], "updates": 128},
    "gail-expert-scale": {**SETTINGS["mlp-expert-scale"], "updates": 32},
    "bc": {"algorithm": "bc"},
}
"""By name, how its run differs from that of scripts/gail.py; batches are full, the pairs tiled.

``updates`` is the best of 8, 32 and 128, the most that was tried, by the last score, the mean of
two training tasks of pointnav with one seed; other families take it over untried.
"""
TRUE_REWARD = "true-reward"
"""The name of agents that the task itself pays."""
BC_PAIRS = 57_344
"""Pairs that bc is shown: 224 batches did better than 4 and 18 times as many, on those tasks."""
MEASURES = 4
"""Times that the return is measured on the way, evenly."""
EPISODES, LONG_EPISODES = 50, 10
"""Of each measurement, in a cheap family and in HalfCheetah's."""


def episodes(env: str) -> int:
    """Of each measurement in an environment."""
    return LONG_EPISODES if env == "HalfCheetah" else EPISODES


class TaskReturn(TrueReturn):
    """The return by the reward of a task.

    Attributes:
        expert, random: of the expert, without noise as agents are measured, and of actions drawn
            from the action space, in the very episodes that policies are measured in. An expert
            that is known by a file alone has the returns of that file.
    """

    def __init__(self, family: Family, case: HeldOut) -> None:
        self.episodes = episodes(family.env)
        self.venv = make_task_vec(family, case, self.episodes, SEED)
        self.random = self.of_random()
        if case.act is not None:
            self.expert = self.of(Acting(case.act))
        else:
            assert case.told_return is not None, "known neither by its actions nor by a file"
            self.expert = Measured(np.array([case.told_return]), np.zeros(1))
        if self.expert.mean <= self.random.mean:
            raise InputError(
                f"The expert of '{case.task.name}' returns {self.expert.mean:.1f} where random "
                f"actions return {self.random.mean:.1f}, so there is no scale for imitators: "
                f"train the expert for longer, or take other tasks."
            )


def share(value: float, expert: float, random: float) -> float:
    """A return on the scale on which the expert's is 1 and a random policy's 0."""
    return (value - random) / (expert - random)


class Acting:
    """A function from observations (N, Ds) to actions (N, Da), as a policy to be measured."""

    def __init__(self, act: Act) -> None:
        self.act = act

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, None]:
        """As a policy of stable-baselines3; there is no noise and nothing to carry on."""
        return self.act(observation), None


class Learned(NamedTuple):
    """An agent in the end.

    Attributes:
        returns: true returns against steps, the first before it learned.
        expert, random: what to compare them with.
        parameters: of the discriminator that paid it; bc has none, so of its policy, and a task's
            own reward has 0.
        learner: holds the policy.
    """

    returns: Curve
    expert: float
    random: float
    parameters: int
    learner: BaseAlgorithm


def paid(
    model: FewShot, family: Family, expert: Expert, told: Pairs, seed: int
) -> tuple[PPO, ObserveRollouts]:
    """PPO `started` with a discriminator that is told the pairs, and nothing else; errors as
    there."""
    model.clear()
    model.remember(told)
    return started(model, family, expert, seed)


def started(
    model: FewShot, family: Family, expert: Expert, seed: int
) -> tuple[PPO, ObserveRollouts]:
    """PPO at its start, paid by a discriminator that remembers an expert.

    The discriminator starts from what a random policy did, as there is no other yet: from as much
    as it holds of a policy. The callback shows it each rollout.

    Raises:
        InputError: the discriminator is of another environment.
    """
    set_random_seed(seed)
    settings = ppo_settings(family.env)
    venv = make_vec(family.env, settings.n_envs, seed)
    net = FewShotRewardNet(venv.observation_space, venv.action_space, model)
    for _ in range(ROUNDS):
        net.observe(expert.policies["random"])
    learner = ppo(RewardVecEnvWrapper(venv, net.reward_fn), seed, settings)
    return _silent(learner), ObserveRollouts(net)


def by_few_shot(
    name: str,
    model: FewShot,
    family: Family,
    case: HeldOut,
    told: Pairs,
    steps: int,
    seed: int,
    observes: bool = True,
) -> Learned:
    """PPO that is `paid` by a discriminator of this name, which is shown each rollout unless it
    ``observes`` none; errors as there."""
    measure = TaskReturn(family, case)
    learner, observe = paid(model, family, case.task, told, seed)
    shown = observe if observes else None
    returns = _returns_of_ppo(f"{name}, {case.task.name}", measure, learner, shown, steps)
    return _learned(returns, measure, size(model), learner)


def by_true_reward(family: Family, case: HeldOut, steps: int, seed: int) -> Learned:
    """PPO that the task itself pays, and that is told nothing of an expert."""
    measure = TaskReturn(family, case)
    set_random_seed(seed)
    settings = ppo_settings(family.env)
    venv = make_task_vec(family, case, settings.n_envs, seed)
    learner = _silent(ppo(venv, seed, settings))
    returns = _returns_of_ppo(f"{TRUE_REWARD}, {case.task.name}", measure, learner, None, steps)
    return _learned(returns, measure, 0, learner)


def stops(steps: int, round_steps: int) -> list[int]:
    """Where scores are measured: after whole rounds, as many for all, and no step beyond.

    A round is the least there is, however few the steps.
    """
    rounds = max(1, steps // round_steps)
    return sorted({-(-rounds * i // MEASURES) * round_steps for i in range(1, MEASURES + 1)})


def classical(name: str, env: str, steps: int, seed: int) -> GailConfig:
    """The run of a name of `CLASSICAL`; the steps of bc, `BC_PAIRS` at most, are pairs shown."""
    steps = min(steps, BC_PAIRS) if name == "bc" else steps
    return GailConfig(env, steps=steps, seed=seed, **CLASSICAL[name]).resolved()


def by_classical(
    name: str, family: Family, case: HeldOut, told: Pairs, steps: int, seed: int
) -> Learned:
    """The same by GAIL or behavioural cloning; the latter's steps are pairs shown."""
    measure = TaskReturn(family, case)
    set_random_seed(seed)
    config = classical(name, family.env, steps, seed)
    task = Task(_demonstrations(told), measure.expert, measure.random, measure)
    with tempfile.TemporaryDirectory() as empty:
        imitator: Adversary | Cloning
        if config.algorithm == "bc":
            imitator = Cloning(config, task, RoundMeans(empty))
        else:
            wide = matched_width(told.state.shape[1], told.action.shape[1])
            imitator = Adversary(config, task, RoundMeans(empty), wide)
        learner, round_steps = imitator.learner, imitator.round_steps
        at, called = stops(config.steps, round_steps), f"{name}, {case.task.name}"
        returns = _returns(called, measure, learner, imitator.round, round_steps, at)
    return _learned(returns, measure, size(imitator.model), learner)


def _silent(learner: PPO) -> PPO:
    """The learner, without the logger that would make a folder whenever it learns."""
    learner.set_logger(Logger(None, []))
    return learner


def _returns_of_ppo(
    called: str, measure: TaskReturn, learner: PPO, callback: MaybeCallback, steps: int
) -> Curve:
    """`_returns` of a learner that is paid by its environments."""
    round_steps = learner.n_steps * learner.n_envs
    go = lambda: learner.learn(round_steps, callback, reset_num_timesteps=False)
    return _returns(called, measure, learner, go, round_steps, stops(steps, round_steps))


def _returns(
    called: str,
    measure: TaskReturn,
    learner: BaseAlgorithm,
    go: Callable[[], Any],
    round_steps: int,
    at: list[int],
) -> Curve:
    """True returns of an agent at its start and after so many steps as are in ``at``.

    Args:
        called: what the progress bar says of it.
        go: lets it learn for a round, which has ``round_steps``.

    Raises:
        NonFiniteError: a weight of its policy is NaN or infinite.
    """
    bar = progress_bar(total=at[-1], desc=called, unit="step", leave=False)
    with bar:
        returns = [measure.of(learner).mean]
        for here, stop in pairwise([0, *at]):
            for _ in range(here, stop, round_steps):
                try:
                    go()
                finally:
                    _refuse_non_finite(called, learner)
                bar.update(round_steps)
            returns.append(measure.of(learner).mean)
    return Curve([0, *at], returns)


def _refuse_non_finite(called: str, learner: BaseAlgorithm) -> None:
    if not is_finite(learner):
        raise NonFiniteError(
            f"{called}: stopped after {learner.num_timesteps} steps, for a weight of the policy "
            f"is NaN or infinite; what was measured before is kept: go on with other --agents, or "
            f"take other --seeds."
        )


def matched_width(state: int, rest: int) -> int:
    """Of GAIL's net, so that it has about as many parameters as the memory.

    Args:
        state: entries of s.
        rest: entries of a.
    """
    obs, acts = (Box(-1, 1, (n,)) for n in (state, rest))
    memory = MetaDiscriminator.build(state, rest)
    return width(lambda w: size(perceptron(obs, acts, width=w)), size(memory))


def _learned(
    returns: Curve, measure: TaskReturn, parameters: int, learner: BaseAlgorithm
) -> Learned:
    return Learned(returns, measure.expert.mean, measure.random.mean, parameters, learner)


def _demonstrations(told: Pairs) -> dict[str, np.ndarray]:
    """Pairs under imitation's names; where they led is not asked for."""
    obs, acts = told.state.numpy(), told.action.numpy()
    return {"obs": obs, "acts": acts, "next_obs": obs, "dones": np.zeros(len(obs), dtype=bool)}
