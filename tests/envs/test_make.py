"""Environments by name: which id a name means, and what `make_vec` promises of its rollouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control import PendulumEnv
from imitation.data import rollout

from envs import make
from envs.make import KNOWN, env_id, family, fixed_horizon, make_vec
from km_rl.errors import InputError

needs_mujoco = pytest.mark.skipif(find_spec("imageio") is None, reason="needs gymnasium[mujoco]")
NEWEST = "v4" if gym.__version__.startswith("0.") else "v5"


def pendulum(**_: Any) -> gym.Env:
    return PendulumEnv()


def broken(**_: Any) -> gym.Env:
    raise ImportError("No module named\n'simulator'.")


@pytest.fixture
def register() -> Iterator[Callable[..., None]]:
    """Registers an environment until the end of the test."""
    before = dict(gym.registry)
    make._obstacle.cache_clear()
    yield partial(gym.register, max_episode_steps=5)
    gym.registry.clear()
    gym.registry.update(before)
    make._obstacle.cache_clear()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Pendulum", "Pendulum-v1"),
        ("pendulum-V1", "Pendulum-v1"),
        ("CartPole", "seals/CartPole-v0"),
        ("cartpole", "seals/CartPole-v0"),
        ("CartPole-v1", "CartPole-v1"),
        ("CartPole-v0", "CartPole-v0"),
        ("seals/mountaincar", "seals/MountainCar-v0"),
        ("Acrobot", "Acrobot-v1"),
    ],
)
def test_names_and_ids(name: str, expected: str) -> None:
    assert env_id(name) == expected


@needs_mujoco
@pytest.mark.parametrize("name", ["HalfCheetah", "hopper", "WALKER2D", "Ant"])
def test_mujoco_in_the_newest_version(name: str) -> None:
    assert env_id(name).lower() == f"{name.lower()}-{NEWEST}"


def test_mujoco_is_never_one_of_the_versions_for_mujoco_py(register: Any) -> None:
    register("HalfCheetah-v3", pendulum)
    register("HalfCheetah-v4", broken)
    register("HalfCheetah-v5", broken)
    with pytest.raises(InputError, match=r"^HalfCheetah-v5 cannot be made"):
        env_id("HalfCheetah")


def test_the_newest_version_that_can_be_made(register: Any) -> None:
    for version in (1, 2, 10):
        register(f"Toy-v{version}", pendulum)
    register("Toy-v11", broken)
    assert env_id("toy") == "Toy-v10"
    assert env_id("Toy-v2") == "Toy-v2"


@pytest.mark.parametrize("name", ["Broken", "Broken-v0"])
def test_one_that_cannot_be_made_says_why(register: Any, name: str) -> None:
    register("Broken-v0", broken)
    told = r"^Broken-v0 cannot be made .* \(No module named 'simulator'\): install what it needs"
    with pytest.raises(InputError, match=told):
        env_id(name)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("Cheetah", "HalfCheetah"),
        ("halfcheeta", "HalfCheetah"),
        ("Walker", "Walker2d"),
        ("CartPole-v9", "CartPole-v1"),
        ("Pendulum-v0", "Pendulum-v1"),
    ],
)
def test_an_unknown_name_lists_the_known_and_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(InputError, match=f"no environment '{name}'.*mean '{nearest}'") as refused:
        env_id(name)
    assert all(known in str(refused.value) for known in KNOWN)


@pytest.mark.parametrize("name", ["", "qqqq"])
def test_a_name_like_no_other_gets_no_guess(name: str) -> None:
    with pytest.raises(InputError, match=f"no environment '{name}' .*HalfCheetah") as refused:
        env_id(name)
    assert "did you mean" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("HalfCheetah", True),
        ("halfcheetah-v4", True),
        ("Swimmer", True),
        ("Pendulum-v1", True),
        ("CartPole", True),
        ("seals/CartPole-v0", True),
        ("seals/Hopper-v1", True),
        ("seals/EarlyTermNeg-v0", False),
        ("CartPole-v1", False),
        ("Hopper", False),
        ("Walker2d-v5", False),
        ("Ant", False),
        ("Acrobot-v1", None),
        ("nonsense", None),
    ],
)
def test_fixed_horizon(name: str, expected: bool | None) -> None:
    assert fixed_horizon(name) is expected


@pytest.mark.parametrize(
    "name",
    [
        "Pendulum",
        "CartPole",
        "CartPole-v1",
        pytest.param("HalfCheetah", marks=needs_mujoco),
        pytest.param("Hopper", marks=needs_mujoco),
        pytest.param("Walker2d", marks=needs_mujoco),
    ],
)
def test_fixed_horizon_is_what_random_actions_meet(name: str) -> None:
    env = gym.make(env_id(name))
    env.reset(seed=0)
    env.action_space.seed(0)
    ended = any(env.step(env.action_space.sample())[2] for _ in range(150))
    assert fixed_horizon(name) is not ended


def test_family() -> None:
    assert [family(n) for n in ("Hopper-v4", "Hopper", "a-v2/B-v10")] == ["Hopper"] * 2 + [
        "a-v2/B"
    ]


def first_steps(n_envs: int, seed: int) -> np.ndarray:
    """Observations with shape (6, n_envs, 3) under actions drawn from the seeded space."""
    venv = make_vec("Pendulum", n_envs, seed)
    observed: list[Any] = [venv.reset()]
    for _ in range(5):
        actions = np.stack([env.action_space.sample() for env in venv.envs])
        observed.append(venv.step(actions)[0])
    return np.stack(observed)


def test_the_seed_decides() -> None:
    np.testing.assert_array_equal(first_steps(3, seed=7), first_steps(3, seed=7))
    assert not np.array_equal(first_steps(3, seed=7), first_steps(3, seed=8))


def test_no_two_environments_are_alike_not_even_of_neighbouring_seeds() -> None:
    starts = np.concatenate([make_vec("Pendulum", 8, seed).reset() for seed in range(4)])
    assert len(np.unique(starts, axis=0)) == 32


def test_rollouts_of_imitation() -> None:
    venv = make_vec("CartPole", 2, 0, max_steps=20)
    until = rollout.make_sample_until(min_episodes=4)
    found = rollout.rollout(None, venv, until, np.random.default_rng(0), exclude_infos=False)
    assert [len(t) for t in found] == [20] * 4
    for trajectory in found:
        assert trajectory.infos is not None
        last: dict[str, Any] = trajectory.infos[-1]
        assert last["episode"]["l"] == 20
        assert last["episode"]["r"] == pytest.approx(trajectory.rews.sum())


def test_steps_beyond_the_environments_own_limit() -> None:
    venv = make_vec("Pendulum", 1, 0, max_steps=203)  # its own is 200
    venv.reset()
    done = [bool(venv.step(np.zeros((1, 1)))[2][0]) for _ in range(203)]
    assert done == [False] * 202 + [True]


class Counting(gym.Env):
    """Pays a whole number for each step, and never ends."""

    def __init__(self, space: gym.Space | None = None, **_: Any) -> None:
        self.observation_space = space or gym.spaces.Discrete(3)
        self.action_space = gym.spaces.Discrete(2)

    def reset(self, **given: Any) -> tuple[int, dict[str, Any]]:
        super().reset(**given)
        return 0, {}

    def step(self, action: int) -> tuple[int, int, bool, bool, dict[str, Any]]:
        return action, 1, False, False, {}


def test_whole_numbers_are_paid_as_floats_and_every_episode_ends(register: Any) -> None:
    register("Counting-v0", Counting, max_episode_steps=None)
    (env,) = make_vec("Counting", 1, 0).envs
    assert env.spec and env.spec.max_episode_steps == make.ENDLESS
    venv = make_vec("Counting", 1, 0, max_steps=5)
    until = rollout.make_sample_until(min_episodes=1)
    (found,) = rollout.rollout(None, venv, until, np.random.default_rng(0))
    assert len(found) == 5 and found.rews.dtype.kind == "f"


def test_what_is_no_vector_is_refused(register: Any) -> None:
    pair = gym.spaces.Tuple([gym.spaces.Discrete(3), gym.spaces.Discrete(2)])
    register("Pairs-v0", partial(Counting, pair))
    with pytest.raises(InputError, match=r"observations of Pairs-v0 are Tuple.* wrap it"):
        make_vec("Pairs", 1, 0)


@pytest.mark.parametrize(("arguments", "told"), [((0, 0), "n_envs is 0"), ((-1, 0), "n_envs is")])
def test_sizes_below_one_are_refused(arguments: tuple[int, int], told: str) -> None:
    with pytest.raises(InputError, match=told):
        make_vec("Pendulum", *arguments)
    with pytest.raises(InputError, match="max_steps is 0"):
        make_vec("Pendulum", 1, 0, max_steps=0)
