"""What an agent has done since somebody last looked, as the environment saw it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Transitions = dict[str, np.ndarray]
"""Rows by the names ``obs``, ``acts``, ``next_obs`` and ``dones``."""
OFF_POLICY_ROUND = 2048
"""Transitions that are a round of an algorithm that has none: as many as PPO's usual rollout."""


class Rollout:
    """Transitions, gathered step by step from SB3's callbacks."""

    def __init__(self) -> None:
        self._steps: list[Transitions] = []

    @property
    def count(self) -> int:
        """Transitions gathered."""
        return sum(len(step["dones"]) for step in self._steps)

    def add(self, obs: np.ndarray, told: Mapping[str, Any]) -> Transitions:
        """Take in one step of all environments and return its transitions.

        An episode's last observation, which SB3 replaces by the next episode's first, is taken
        from where it put it; actions are those that were clipped to the space.

        Args:
            obs: what the actions answered to; SB3's ``_last_obs``.
            told: the local variables of SB3's ``collect_rollouts``.
        """
        following = np.array(told["new_obs"])
        for i, info in enumerate(told["infos"]):
            if told["dones"][i] and "terminal_observation" in info:
                following[i] = info["terminal_observation"]
        step = {
            "obs": np.array(obs),
            "acts": np.array(told.get("clipped_actions", told["actions"])),
            "next_obs": following,
            "dones": np.array(told["dones"]),
        }
        self._steps.append(step)
        return step

    def pop(self) -> Transitions:
        """All transitions, in the order in which they happened; none are left."""
        steps, self._steps = self._steps, []
        return {name: np.concatenate([step[name] for step in steps]) for name in steps[0]}
