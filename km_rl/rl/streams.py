"""Random streams of environments that no other run shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


def seed_environments(algorithm: BaseAlgorithm) -> None:
    """Seed the environments of an SB3 algorithm by its own seed and the steps it has done.

    SB3 gives environment i the seed + i: runs of neighbouring seeds have all environments in
    common but one, and a run that goes on begins with the episodes it began with. Takes effect
    when they are next reset. Without a seed it is drawn from numpy's stream.
    """
    assert algorithm.env is not None, "one that acts"
    if algorithm.seed is None:
        algorithm.env.seed()
    else:
        drawn = np.random.SeedSequence([algorithm.seed, algorithm.num_timesteps]).generate_state(1)
        algorithm.env.seed(int(drawn[0]))
