r"""PointNav: a point in the plane that is driven to a place; the cheapest family of experts.

The state is the position, an action is a velocity in [-1, 1]^2, and where the point goes is known
in closed form, :math:`s' = s + a / 10 + \varepsilon`, :math:`\varepsilon \sim \mathcal N(0, 0.05^2
I)`. So is every policy here: with the share ``noise`` an action is uniform, else it is
:math:`\mathcal N(\mu_\theta(s), 0.1^2 I)`, where :math:`\mu_\theta` leads along a spiral to the
goal, no faster than 0.7. Hence the densities of pairs are known, and with them the best
discriminator there can be (`log_density`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

HORIZON = 50
STEP, PROCESS_STD, ACTION_STD, SPEED = 0.1, 0.05, 0.1, 0.7
SIMULATED, CHUNK = 400, 64
"""Trajectories that the density of states is averaged over, for so many states at once."""
Array = np.ndarray[Any, np.dtype[Any]]


class PointNav(gym.Env[Array, Array]):
    """The environment; its reward is 0, for where to go is what a task says."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Array, dict]:
        """Anywhere in the square [-1, 1]^2."""
        super().reset(seed=seed)
        self.position = self.np_random.uniform(-1, 1, 2)
        return self.position.astype(np.float32), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict]:
        """Move; an episode never ends by itself."""
        self.position = moved(self.position, np.clip(action, -1, 1), self.np_random)
        return self.position.astype(np.float32), 0.0, False, False, {}


class Driver(NamedTuple):
    """A policy: where to, how fast, at what angle to the straight way, and its share of noise."""

    goal: tuple[float, float]
    gain: float
    angle: float
    noise: float = 0.0

    def mean(self, state: Array) -> Array:
        """mu_theta(s): (N, 2)."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        turn = np.array([[cos, sin], [-sin, cos]])
        velocity = self.gain * (np.asarray(self.goal) - state) @ turn
        length = np.linalg.norm(velocity, axis=-1, keepdims=True).clip(1e-9)
        return SPEED * np.tanh(length) * velocity / length

    def act(self, state: Array, rng: np.random.Generator) -> Array:
        """Draw an action at each state: (N, 2)."""
        drawn = self.mean(state) + ACTION_STD * rng.standard_normal(state.shape)
        uniform = rng.uniform(-1, 1, state.shape)
        lost = rng.random((len(state), 1)) < self.noise
        return np.where(lost, uniform, drawn).clip(-1, 1)

    def log_density(self, state: Array, action: Array) -> Array:
        """ln pi(a|s) in nats, the edge of the square left out of account: (N,)."""
        own = _log_normal(action - self.mean(state), ACTION_STD)
        with np.errstate(divide="ignore"):
            return np.logaddexp(np.log(1 - self.noise) + own, np.log(self.noise / 4))


def draw_driver(rng: np.random.Generator) -> Driver:
    """An expert of the family; the straight way at full speed is worth a fifth more at most."""
    x, y = rng.uniform(-1, 1, 2)
    return Driver((float(x), float(y)), rng.uniform(2, 6), rng.uniform(-0.7, 0.7))


def others_of(expert: Driver, rng: np.random.Generator) -> dict[str, Driver]:
    """What is not this expert, though it may be near: by name."""
    x, y = np.asarray(expert.goal) + rng.normal(0, 0.4, 2)
    angle = expert.angle + rng.normal(0, 0.6)
    return {
        "random": expert._replace(noise=1.0),
        "half-trained": expert._replace(gain=expert.gain / 3, noise=0.3),
        "perturbed": Driver((float(x), float(y)), expert.gain * np.exp(rng.normal(0, 0.3)), angle),
    }


def moved(state: Array, action: Array, rng: np.random.Generator) -> Array:
    """Where an action leads."""
    return state + STEP * action + PROCESS_STD * rng.standard_normal(state.shape)


def rollouts(driver: Driver, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """States (n, HORIZON + 1, 2) and actions (n, HORIZON, 2) of n episodes."""
    states, actions = [rng.uniform(-1, 1, (n, 2))], []
    for _ in range(HORIZON):
        actions.append(driver.act(states[-1], rng))
        states.append(moved(states[-1], actions[-1], rng))
    return np.stack(states, 1), np.stack(actions, 1)


def log_density(drivers: Sequence[Driver], state: Array, action: Array) -> Array:
    """ln p(s, a) of pairs of an even mixture of drivers: (N,), in nats.

    The density of states is that of the start and, later, the mean of the known density of the
    next state over simulated pairs: unbiased, and smooth.
    """
    rng = np.random.default_rng(0)
    parts = []
    for driver in drivers:
        states, actions = (x.reshape(-1, 2) for x in _pairs(driver, rng))
        led_to = states + STEP * actions
        later = np.concatenate([_near(x, led_to) for x in _chunks(state)])
        start = (np.abs(state) <= 1).all(-1) / 4
        visited = start / HORIZON + later * (1 - 1 / HORIZON)
        parts.append(np.log(visited + 1e-300) + driver.log_density(state, action))
    return np.logaddexp.reduce(parts) - np.log(len(parts))


def _pairs(driver: Driver, rng: np.random.Generator) -> tuple[Array, Array]:
    """Simulated pairs but for each episode's last, which leads out of it."""
    states, actions = rollouts(driver, SIMULATED, rng)
    return states[:, : HORIZON - 1], actions[:, : HORIZON - 1]


def _chunks(states: Array) -> list[Array]:
    return np.split(states, range(CHUNK, len(states), CHUNK))


def _near(states: Array, centres: Array) -> Array:
    """The mean of N(s; c, PROCESS_STD^2 I) over centres (M, 2), at states (N, 2): (N,)."""
    square = np.square(states).sum(-1)[:, None] + np.square(centres).sum(-1)
    distance = (square - 2 * states @ centres.T).clip(0)
    density = np.exp(-0.5 * distance / PROCESS_STD**2).mean(-1)
    return density / (2 * np.pi * PROCESS_STD**2)


def _log_normal(x: Array, std: float) -> Array:
    """ln N(x; 0, std^2 I) over the last axis, of width 2."""
    return -0.5 * np.square(x / std).sum(-1) - np.log(2 * np.pi * std**2)
