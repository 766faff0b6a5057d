"""What a discriminator costs: an update, a reward call, remembering and forgetting.

All is timed in turns with imitation's own net in the same run, on invented pairs of the size of
HalfCheetah's; nothing acts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import gymnasium as gym
import numpy as np
import torch
from imitation.rewards.reward_nets import RewardNet
from torch.nn.functional import binary_cross_entropy_with_logits

from agents.adversary import BATCH, LEARNING_RATE
from agents.discriminators import perceptron
from km_rl.evaluate.speed import medians
from km_rl.rl.discriminator import Discriminator
from km_rl.rl.reward_net import KanervaRewardNet

STATE, ACTION = 17, 6
EXPERT_PAIRS = 50
ROWS = 8
"""Environments that act side by side."""
DEMONSTRATION = 1000
"""Pairs that are remembered and forgotten."""

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def discriminator_speed(repeats: int) -> Mapping[str, float]:
    """Medians in us or ms, by a name that ends in the unit; ratios to imitation's net."""
    spaces = gym.spaces.Box(-np.inf, np.inf, (STATE,)), gym.spaces.Box(-1, 1, (ACTION,))
    memory, net = KanervaRewardNet(*spaces), perceptron(*spaces)
    memory.observes_itself = False
    memory.remember(_mapping(_invent(EXPERT_PAIRS, 1.0)))
    for _ in range(memory.discriminator.options.rounds):
        memory.observe(_mapping(_invent(memory.discriminator.options.round_pairs, 0.0)))
    updates = medians(repeats, _updating(memory), _updating(net))
    rewards = medians(40 * repeats, _rewarding(memory), _rewarding(net), _reading(memory))
    written = medians(repeats, *_rewriting(memory))
    return {
        "update_us_per_pair": 1e6 * updates[0] / (2 * BATCH),
        "mlp_update_us_per_pair": 1e6 * updates[1] / (2 * BATCH),
        "update_ratio_to_mlp": updates[0] / updates[1],
        "reward_call_us_per_pair": 1e6 * rewards[0] / ROWS,
        "mlp_reward_call_us_per_pair": 1e6 * rewards[1] / ROWS,
        f"memory_read_ms_of_{ROWS}_rows": 1e3 * rewards[2],
        "memory_share_of_reward_call": rewards[2] / rewards[0],
        f"remember_{DEMONSTRATION}_pairs_ms": 1e3 * written[0],
        f"forget_{DEMONSTRATION}_pairs_ms": 1e3 * written[1],
    }


def _invent(n: int, shift: float) -> Pairs:
    """Pairs of an agent: obs, acts, next_obs, dones."""
    obs, acts = np.random.randn(n, STATE) + shift, np.random.uniform(-1, 1, (n, ACTION))
    found = obs.astype(np.float32), acts.astype(np.float32), obs.astype(np.float32)
    return *found, np.zeros(n, dtype=bool)


def _mapping(pairs: Pairs) -> dict[str, np.ndarray]:
    return dict(zip(("obs", "acts", "next_obs", "dones"), pairs, strict=True))


def _updating(net: RewardNet) -> Callable[[], object]:
    """What imitation's `train_disc` does with a batch: the expert's pairs, tiled, and others."""
    expert, policy = _invent(EXPERT_PAIRS, 1.0), _invent(BATCH, 0.0)
    tiled = (np.resize(x, (BATCH, *x.shape[1:])) for x in expert)
    batch = net.preprocess(*map(np.concatenate, zip(tiled, policy, strict=True)))
    labels = torch.cat([torch.ones(BATCH), torch.zeros(BATCH)])
    optimiser = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)

    def update() -> None:
        net.train()
        optimiser.zero_grad()
        binary_cross_entropy_with_logits(net(*batch), labels).backward()
        optimiser.step()

    return update


def _rewarding(net: RewardNet) -> Callable[[], object]:
    """A reward call as in a rollout, by the way that imitation takes."""
    pairs = _invent(ROWS, 0.0)

    def reward() -> None:
        net.eval()
        net.predict_processed(*pairs)

    return reward


def _reading(net: KanervaRewardNet) -> Callable[[], object]:
    """The memory's part of it: addresses, read-out and logit."""
    rows = net.rows(*net.preprocess(*_invent(ROWS, 0.0))[:3])

    @torch.no_grad()
    def read() -> None:
        net.discriminator(rows)

    return read


def _rewriting(net: KanervaRewardNet) -> tuple[Callable[[], object], Callable[[], object]]:
    """Remember a demonstration and forget it again, until its pairs can be scored."""
    demonstration, row = _mapping(_invent(DEMONSTRATION, 1.0)), torch.zeros(1, STATE + ACTION)

    def remember() -> None:
        net.remember(demonstration)
        _written(net.discriminator, row)

    def forget() -> None:
        net.forget(demonstration)
        _written(net.discriminator, row)

    return remember, forget


@torch.no_grad()
def _written(net: Discriminator, row: torch.Tensor) -> None:
    net(row)
