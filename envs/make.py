"""Environments by short names, seeded and ready for imitation's rollouts.

"CartPole" is ``seals/CartPole-v0``, not gymnasium's: it never ends before 500 steps, while in
``CartPole-v1`` the length of an episode gives the task away (any reward above zero, earned for
longer, teaches to balance). ``CartPole-v1`` is there under its full id.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from gymnasium.wrappers import TransformReward
from imitation.data.wrappers import RolloutInfoWrapper
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from km_rl.errors import InputError, at_least_one


class Known(NamedTuple):
    """What a short name stands for.

    Attributes:
        family: its ids without the version.
        oldest: the first version that is taken; MuJoCo's before 4 need mujoco_py.
        fixed_horizon: whether every episode runs to the step limit.
    """

    family: str
    oldest: int
    fixed_horizon: bool


KNOWN = {
    "HalfCheetah": Known("HalfCheetah", 4, True),
    "Hopper": Known("Hopper", 4, False),
    "Walker2d": Known("Walker2d", 4, False),
    "Swimmer": Known("Swimmer", 4, True),
    "Ant": Known("Ant", 4, False),
    "Pendulum": Known("Pendulum", 1, True),
    "CartPole": Known("seals/CartPole", 0, True),
}


SPACES = (Box, Discrete, MultiBinary, MultiDiscrete)
"""Of observations and actions, that agents here can take."""
ENDLESS = 1000
"""The most steps of an episode where the environment has no limit, though it may end later."""


def env_id(name: str) -> str:
    """The registered id that ``name`` means, of the newest version that can be made here.

    ``name`` is a name of `KNOWN`, a registered id, or such an id without its version; upper and
    lower case are the same.

    Raises:
        InputError: no such environment, or none of its versions can be made.
    """
    _register_seals()
    candidates = _candidates(name)
    if not candidates:
        raise InputError(_unknown(name))
    for candidate in candidates:
        if _obstacle(candidate) is None:
            return candidate
    raise InputError(
        f"{candidates[0]} cannot be made with gymnasium {gym.__version__} as installed here "
        f"({_obstacle(candidates[0])}): install what it needs, or give another of "
        f"{', '.join(KNOWN)}."
    )


def make_vec(name: str, n_envs: int, seed: int, *, max_steps: int | None = None) -> DummyVecEnv:
    """``n_envs`` environments that differ in their seeds, each keeping its rollout for imitation.

    The same arguments give the same episodes under the same actions. Episodes' true returns are
    in ``info["episode"]``, as stable-baselines3's `Monitor` leaves them.

    Args:
        name: see `env_id`.
        max_steps: ends an episode sooner or later than the environment's own limit, which is
            `ENDLESS` where it has none.

    Raises:
        InputError: as `env_id`, sizes below 1, or observations or actions that are a tuple or a
            dictionary.
    """
    at_least_one(n_envs=n_envs, max_steps=1 if max_steps is None else max_steps)
    chosen = env_id(name)
    seeds = np.random.SeedSequence(seed).generate_state(n_envs).tolist()
    makers: list[Callable[[], gym.Env]] = [partial(_make, chosen, s, max_steps) for s in seeds]
    return DummyVecEnv(makers)


def fixed_horizon(name: str) -> bool | None:
    """Whether every episode has the same length; None where that is not known.

    Known are the names of `KNOWN` in every version, and those of ``seals``, which are made for a
    fixed horizon with the exception of its EarlyTerm pair. An adversarial reward tells on
    environments where this is False, so a None deserves the same care.
    """
    bare = family(name).lower()
    if bare.startswith("seals/"):
        return not bare.startswith("seals/earlyterm")
    if bare == "cartpole" and bare != name.lower():
        return False
    found = _known(bare)
    return found.fixed_horizon if found else None


def family(name: str) -> str:
    """``name`` without its version: "Hopper-v4" and "Hopper" are "Hopper"."""
    return re.sub(r"-v\d+$", "", name)


def bare(name: str) -> str:
    """As experiments are called after it: "seals/HalfCheetah-v1" is "halfcheetah"."""
    return re.sub("[^a-z0-9]+", "-", family(name.split("/")[-1]).lower())


def _known(name: str) -> Known | None:
    return next((known for key, known in KNOWN.items() if key.lower() == name.lower()), None)


def _candidates(name: str) -> list[str]:
    """Registered ids that ``name`` may mean, the newest version first."""
    if found := _known(name):
        return _versions(found.family, found.oldest)
    exact = [registered for registered in gym.registry if registered.lower() == name.lower()]
    return exact or _versions(name, 0)


def _versions(of: str, oldest: int) -> list[str]:
    """Registered ids of a family, the newest version first."""
    pattern = re.compile(re.escape(of) + r"-v(\d+)", re.IGNORECASE)
    found = {i: int(match[1]) for i in gym.registry if (match := pattern.fullmatch(i))}
    return sorted((i for i in found if found[i] >= oldest), key=lambda i: -found[i])


@cache
def _obstacle(registered: str) -> str | None:
    """Why an environment cannot be made here, in one line; None if it can.

    The cause may be anything: a package that is missing, or, as for Swimmer-v4, a model file that
    a newer MuJoCo no longer reads.
    """
    _quieten_mujoco()
    try:
        gym.make(registered).close()
    except Exception as error:
        return " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return None


def _unknown(name: str) -> str:
    names = {known.lower(): known for known in [*gym.registry, *KNOWN]}
    nearest = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    guess = f"; did you mean '{names[nearest[0]]}'?" if nearest else "."
    return (
        f"There is no environment '{name}' in gymnasium {gym.__version__}{guess} "
        f"Give one of {', '.join(KNOWN)}, or any registered id."
    )


def _register_seals() -> None:
    """Importing seals registers its environments."""
    with suppress(ImportError):
        import seals  # noqa: F401


@cache
def _quieten_mujoco() -> None:
    """MuJoCo speaks of each model of gymnasium's, and leaves a file: hear every warning once."""
    with suppress(ImportError):
        import mujoco

        mujoco.set_mju_user_warning(partial(warnings.warn, category=RuntimeWarning, stacklevel=2))
        warnings.filterwarnings("ignore", message="compiler attribute 'settotalmass'")


def _make(registered: str, seed: int, max_steps: int | None) -> gym.Env:
    limit = max_steps or gym.spec(registered).max_episode_steps or ENDLESS
    env = gym.make(registered, max_episode_steps=limit)
    for what, space in (("observations", env.observation_space), ("actions", env.action_space)):
        if not isinstance(space, SPACES):
            raise InputError(
                f"The {what} of {registered} are {space}, where vectors, numbers or images are "
                f"expected: wrap it so that they are (gymnasium.wrappers), and register that."
            )
    env.reset(seed=seed)
    env.action_space.seed(seed)
    return imitable(env)


def imitable(env: gym.Env) -> gym.Env:
    """The same, its episodes kept for imitation, which wants rewards to be floats."""
    return RolloutInfoWrapper(Monitor(TransformReward(env, float)))
