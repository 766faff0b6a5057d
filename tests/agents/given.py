"""What imitations are tested on: demonstrations of a random policy."""

from __future__ import annotations

from pathlib import Path

from imitation.data import rollout
from imitation.policies.base import RandomPolicy
from numpy.random import default_rng

from envs.demos import save
from envs.make import make_vec


def demonstrations(folder: Path) -> Path:
    """A file of two trajectories of a random policy in Pendulum, of 200 steps each."""
    venv = make_vec("Pendulum", 1, seed=0)
    policy = RandomPolicy(venv.observation_space, venv.action_space)
    until = rollout.make_sample_until(min_episodes=2)
    rolled = rollout.rollout(policy, venv, until, rng=default_rng(0))
    path = folder / "pendulum.npz"
    save(path, rolled, {"env": "Pendulum-v1", "command": "a test"})
    return path
