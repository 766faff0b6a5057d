"""Tasks of a family that is solved at a glance: expert i stays near a place of its own."""

from __future__ import annotations

import torch

from km_rl.rl.episodes import Pairs
from km_rl.rl.sources import pairs
from km_rl.rl.tasks import Task

STATE, ACTION = 3, 2


def drawn(n: int, centre: float, generator: torch.Generator, state: int = STATE) -> Pairs:
    """n pairs of states around the origin and actions around ``centre``."""
    obs = torch.randn(n, state, generator=generator)
    acts = centre + 0.3 * torch.randn(n, ACTION, generator=generator)
    return pairs({"obs": obs, "acts": acts})


def tasks(count: int = 6, n: int = 60, seed: int = 0, state: int = STATE) -> list[Task]:
    """Experts whose actions lie apart, beside a policy that acts at random."""
    g = torch.Generator().manual_seed(seed)
    made = []
    for i in range(count):
        random = drawn(n, 0.0, g, state)
        random = random._replace(action=2 * torch.randn(n, ACTION, generator=g))
        made.append(Task(f"expert {i}", drawn(n, i - count / 2, g, state), {"random": random}))
    return made
