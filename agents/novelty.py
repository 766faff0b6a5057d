"""Whether a memory knows what it has not seen: the information gain of pairs of others.

Before any adversarial training, a memory of an expert's pairs is asked what it would learn from
each pair of that expert's other trajectories, and from each pair of somebody else. The area under
the curve (AUC) is how often the other's pair is the newer: 1 for a memory that always knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from imitation.data import rollout
from imitation.data.types import TrajectoryWithRew
from imitation.policies.base import RandomPolicy

from agents.task import thinned
from envs.demos import check, check_env, load
from envs.make import make_vec
from km_rl.errors import InputError
from km_rl.results.spread import probability_of_improvement
from km_rl.rl.reward_net import KanervaRewardNet

RANDOM = "random policy"
EPISODES = 5
"""Trajectories of each agent that are scored."""
THINNED = 5
"""Each so-many-th pair of them."""
SEED = 20_260_101


def novelty(
    env: str,
    demos: Path,
    others: Mapping[str, Path],
    trajectories: int,
    every: int,
    seeds: Sequence[int],
) -> dict[str, list[float]]:
    """The AUC for each of the others and a random policy, one for each seed of the memory.

    Args:
        demos: the expert's; the first ``trajectories`` are remembered, the last `EPISODES` held
            out.
        others: demonstrations of other agents, by name.
        every: each so-many-th pair is remembered.

    Raises:
        InputError: demonstrations that cannot be read, do not fit, or are too few to hold out.
    """
    for path in (demos, *others.values()):
        check_env(path, env)
    expert = load(demos)
    if len(expert) < trajectories + EPISODES:
        raise InputError(
            f"'{demos}' holds {len(expert)} trajectories where {trajectories} are remembered and "
            f"{EPISODES} held out: give more, or remember fewer."
        )
    venv = make_vec(env, 1, SEED)
    spaces = venv.observation_space, venv.action_space
    agents = {name: load(path)[:EPISODES] for name, path in others.items()}
    agents = {RANDOM: random_trajectories(env, EPISODES), **agents}
    for given in (expert, *agents.values()):
        check(given, *spaces)
    found: dict[str, list[float]] = {name: [] for name in agents}
    for seed in seeds:
        torch.manual_seed(seed)
        net = KanervaRewardNet(*spaces).eval()
        net.remember(thinned(expert[:trajectories], every))
        own = _gain(net, expert[-EPISODES:])
        for name, theirs in agents.items():
            found[name].append(probability_of_improvement(_gain(net, theirs), own))
    return found


def _gain(net: KanervaRewardNet, trajectories: Sequence[TrajectoryWithRew]) -> np.ndarray:
    """Nats that the expert's memory would learn from each pair: (N,)."""
    pairs = thinned(list(trajectories), THINNED)
    rows = net.preprocess(*(pairs[name] for name in ("obs", "acts", "next_obs", "dones")))
    return net.surprise(*rows).expert_gain.numpy()


def random_trajectories(env: str, n: int) -> list[TrajectoryWithRew]:
    """What a policy does that draws its actions from the space; always the same."""
    venv = make_vec(env, 1, SEED)
    venv.action_space.seed(SEED)
    policy = RandomPolicy(venv.observation_space, venv.action_space)
    until = rollout.make_min_episodes(n)
    return list(rollout.rollout(policy, venv, until, rng=np.random.default_rng(SEED)))
