"""What remembering two teachers, and forgetting one of them, does to a policy.

Three agents in PointNav learn from the same discriminator, alike but for what it remembers:

=============  ==================================================================================
``one``        the pairs of the first teacher
``both``       those of two teachers, their memories merged
``forgotten``  both until half of the steps; then the second teacher's pairs are forgotten, and
               nothing else is undone: the policy and its value function stay
=============  ==================================================================================
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from imitation.rewards.reward_wrapper import RewardVecEnvWrapper
from matplotlib import rc_context
from matplotlib.figure import Figure
from stable_baselines3.common.utils import set_random_seed

from agents.figures import PALETTE
from agents.generator import ppo, ppo_settings
from agents.true_return import SEED
from envs.make import make_vec
from envs.tasks import Family
from km_rl.errors import InputError
from km_rl.evaluate.figures import STYLE, WIDTH
from km_rl.rl.episodes import Pairs
from km_rl.rl.meta import MetaDiscriminator
from km_rl.rl.meta_reward_net import FewShotRewardNet, ObserveRollouts

ARMS = ("one", "both", "forgotten")
EPISODES = 12


class Teachers(NamedTuple):
    """The pairs of two experts."""

    first: Pairs
    second: Pairs


def check_family(family: Family) -> None:
    """Refuse a family whose states are not places; errors as `taught`."""
    if family.name != "pointnav":
        raise InputError(f"The family is {family.name}: pointnav, whose states are places, is.")


def taught(
    model: MetaDiscriminator, family: Family, teachers: Teachers, steps: int, seed: int, arm: str
) -> np.ndarray:
    """Where the agent of an arm goes in the end: positions (EPISODES, T, 2).

    Raises:
        InputError: an arm that is none of `ARMS`, or another family than pointnav.
    """
    if arm not in ARMS:
        raise InputError(f"'{arm}' is not one of {', '.join(ARMS)}: give one of these.")
    check_family(family)
    set_random_seed(seed)
    settings = ppo_settings(family.env)
    venv = make_vec(family.env, settings.n_envs, seed)
    model.clear()
    model.remember(teachers.first)
    if arm != "one":
        other = copy.deepcopy(model)
        other.clear()
        other.remember(teachers.second)
        model.merge(other)
    net = FewShotRewardNet(venv.observation_space, venv.action_space, model)
    net.observe(family.held_out[0].task.policies["random"])
    learner = ppo(RewardVecEnvWrapper(venv, net.reward_fn), seed, settings)
    for half in range(2):
        if half and arm == "forgotten":
            net.forget(teachers.second)
        learner.learn(steps // 2, ObserveRollouts(net), reset_num_timesteps=False)
    return _paths(learner, family.env)


def _paths(policy: Any, env: str) -> np.ndarray:
    """Positions (EPISODES, T, 2), the policy acting deterministically from the same starts."""
    venv = make_vec(env, EPISODES, SEED)
    places, ended = [np.asarray(venv.reset())], False
    while not ended:
        obs, _, dones, _ = venv.step(policy.predict(places[-1], deterministic=True)[0])
        ended = bool(dones.any())
        places += [] if ended else [np.asarray(obs)]
    return np.stack(places, 1)


def figure(paths: Mapping[str, np.ndarray], teachers: Teachers) -> Figure:
    """The paths of each arm, and where each teacher was."""
    with rc_context(STYLE):
        drawn = Figure(figsize=(WIDTH, 2.7), layout="constrained")
        row = drawn.subplots(1, len(paths), squeeze=False, sharex=True, sharey=True)[0]
        for axes, (arm, places) in zip(row, paths.items(), strict=True):
            for path in places:
                axes.plot(*path.T, color="#777777", lw=0.8)
                axes.plot(*path[-1], color="#333333", marker="o", ms=3)
            for name, pairs, colour in zip(Teachers._fields, teachers, PALETTE, strict=False):
                axes.scatter(*pairs.state.T, 6, colour, zorder=3, label=f"{name} teacher's pairs")
            axes.set(title=arm, aspect="equal")
        row[0].legend(loc="best", fontsize=6)
    return drawn


def distances(paths: np.ndarray, teachers: Teachers) -> tuple[float, float]:
    """Of the paths' ends from the nearest pair of each teacher: means."""
    ends = torch.from_numpy(paths[:, -1]).float()
    first, second = (torch.cdist(ends, pairs.state).amin(1).mean() for pairs in teachers)
    return float(first), float(second)
