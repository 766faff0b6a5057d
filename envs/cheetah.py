"""HalfCheetah at a velocity: the family of SMILe (Ghasemipour et al. 2019), 0 to 3 m/s.

One policy that is told the velocity is the expert of them all. It is shipped; the project's own
script trained it, in an environment that appends the velocity to what is observed::

    python scripts/train_expert.py --env HalfCheetahVelocity --steps 160000
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from envs.make import env_id
from km_rl.errors import InputError
from km_rl.nn.weights import load_weights

FASTEST = 3.0
SPEED = 8
"""Where an observation has the speed forward, in m/s."""
EFFORT = 0.05
"""What the square of an action costs."""
KIND = "SacActor"
"""What `agents.expert` saves."""
SHIPPED = Path(__file__).parent / "experts" / "halfcheetah-velocity.safetensors"
Array = np.ndarray[Any, np.dtype[Any]]


class HalfCheetahVelocity(gym.Wrapper):
    """HalfCheetah whose observation ends with the velocity to run at, another in each episode."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(gym.make(env_id("HalfCheetah"), **settings))
        inner = self.env.observation_space
        assert isinstance(inner, gym.spaces.Box)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (inner.shape[0] + 1,), np.float64)
        self.velocity = 0.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Array, dict]:
        """Draw the velocity, unless ``options`` has one."""
        obs, info = self.env.reset(seed=seed, options=options)
        drawn = self.unwrapped.np_random.uniform(0, FASTEST)
        self.velocity = float((options or {}).get("velocity", drawn))
        return np.append(obs, self.velocity), info

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict]:
        """Rewarded by how near the speed is to the velocity, and how gently."""
        obs, _, terminated, truncated, info = self.env.step(action)
        effort = EFFORT * float(np.square(action).sum())
        reward = nearness(obs, self.velocity) - effort
        return np.append(obs, self.velocity), reward, terminated, truncated, info


def make_velocity(**settings: Any) -> gym.Env:
    """What gymnasium makes under the id HalfCheetahVelocity-v0."""
    return HalfCheetahVelocity(**settings)


def nearness(obs: Array, velocity: float) -> float:
    """Minus the distance of the speed from the velocity, in m/s."""
    return -abs(float(obs[SPEED]) - velocity)


class VelocityPolicy:
    """The trained policy: what it does on average at each observation and velocity.

    Args:
        path: the ``policy.safetensors`` of a run of scripts/train_expert.py.

    Attributes:
        digest: the same for the same file.

    Raises:
        InputError: no such file, or the policy of another environment.
    """

    def __init__(self, path: str | Path = SHIPPED) -> None:
        if not Path(path).is_file():
            raise InputError(
                f"There is no expert at '{path}': leave --experts out for the shipped one, or "
                f"name the policy.safetensors of 'python scripts/train_expert.py --env "
                f"HalfCheetahVelocity'."
            )
        self.digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
        spec, state = load_weights(path, KIND)
        if not str(spec.get("env", "")).startswith("HalfCheetahVelocity"):
            raise InputError(
                f"'{path}' holds an expert of {spec.get('env')} where one of HalfCheetahVelocity "
                f"is expected: give a policy that was trained there."
            )
        names = ("latent_pi.0", "latent_pi.2", "mu")
        self.layers = [(state[f"{n}.weight"].numpy().T, state[f"{n}.bias"].numpy()) for n in names]

    def act(self, obs: Array, velocity: float) -> Array:
        """Actions (N, 6) at observations (N, 17)."""
        x = np.concatenate([obs, np.full((len(obs), 1), velocity)], -1)
        (W1, b1), (W2, b2), (W3, b3) = self.layers
        x = np.maximum(np.maximum(x @ W1 + b1, 0) @ W2 + b2, 0)
        return np.tanh(x @ W3 + b3)
