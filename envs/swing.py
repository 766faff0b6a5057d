r"""Pendulum swung to an energy: a family of experts in gymnasium's Pendulum, in closed form.

With :math:`E = \dot\theta^2 / 6 + 5 \cos\theta` (mass 1, length 1, g = 10) a torque u changes the
energy by :math:`\dot E = u \dot\theta`, so :math:`u = \mathrm{gain}\,(E^* - E)\,\dot\theta`, cut
off at 2, leads to the energy :math:`E^*`: below 5 the pendulum swings, above it turns over. A
little noise starts it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

HORIZON = 200
TORQUE, TORQUE_STD, FASTEST = 2.0, 0.2, 8.0
Array = np.ndarray[Any, np.dtype[Any]]


class Swinger(NamedTuple):
    """A policy: to which energy, how eagerly, and the share of actions that are uniform."""

    energy: float
    gain: float
    noise: float = 0.0

    def mean(self, obs: Array) -> Array:
        """The torque without noise at observations (N, 3): (N, 1)."""
        missing = self.energy - energy(obs)
        return (self.gain * missing * obs[:, 2])[:, None].clip(-TORQUE, TORQUE)

    def act(self, obs: Array, rng: np.random.Generator) -> Array:
        """Draw a torque at each observation (N, 3): (N, 1)."""
        torque = self.mean(obs)
        drawn = torque + TORQUE_STD * rng.standard_normal(torque.shape)
        uniform = rng.uniform(-TORQUE, TORQUE, torque.shape)
        lost = rng.random(torque.shape) < self.noise
        return np.where(lost, uniform, drawn).clip(-TORQUE, TORQUE)


def draw_swinger(rng: np.random.Generator) -> Swinger:
    """An expert of the family."""
    return Swinger(rng.uniform(-3, 8), np.exp(rng.uniform(-2, 0)))


def others_of(expert: Swinger, rng: np.random.Generator) -> dict[str, Swinger]:
    """What is not this expert, though it may be near: by name."""
    energy, gain = expert.energy + rng.normal(0, 1.5), expert.gain * np.exp(rng.normal(0, 0.5))
    return {
        "random": expert._replace(noise=1.0),
        "half-trained": expert._replace(gain=expert.gain / 3, noise=0.3),
        "perturbed": Swinger(energy, gain),
    }


def energy(obs: Array) -> Array:
    """E of observations (cos, sin, speed): (N,)."""
    return obs[..., 2] ** 2 / 6 + 5 * obs[..., 0]


def rollouts(swinger: Swinger, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Observations (n, HORIZON + 1, 3) and torques (n, HORIZON, 1) of n episodes."""
    angle, speed = rng.uniform(-np.pi, np.pi, n), rng.uniform(-1, 1, n)
    observed, torques = [_observed(angle, speed)], []
    for _ in range(HORIZON):
        torques.append(swinger.act(observed[-1], rng))
        speed = speed + 0.05 * (15 * np.sin(angle) + 3 * torques[-1][:, 0])
        speed = speed.clip(-FASTEST, FASTEST)
        angle = angle + 0.05 * speed
        observed.append(_observed(angle, speed))
    return np.stack(observed, 1), np.stack(torques, 1)


def _observed(angle: Array, speed: Array) -> Array:
    return np.stack([np.cos(angle), np.sin(angle), speed], -1)
