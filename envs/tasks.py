"""Families of experts: tasks to train a discriminator on, and others to test it with.

========================  =========================================================================
``pointnav``              a point driven to a place, `envs.pointnav`; the densities are known
``pendulum``              a pendulum swung to an energy, `envs.swing`
``halfcheetah-velocity``  HalfCheetah at 0 to 3 m/s, `envs.cheetah`: 50 velocities to train, 25
                          others to test
``halfcheetah-gait``      different agents in HalfCheetah, each known by its demonstrations:
                          `envs.gait`
========================  =========================================================================

The first two are drawn from a seed and need nothing; an episode of each of their held-out experts
is shipped, `envs.demos.held_out`, and so is the policy that runs at every velocity. Beside each
expert stand a random policy, a half-trained one and one that is perturbed, in this order;
HalfCheetah's others are the expert under noise. What learners do early can be put beside them:
`agents.few_shot.learners`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import gymnasium as gym
import numpy as np
import torch
from imitation.data.types import TrajectoryWithRew
from stable_baselines3.common.vec_env import DummyVecEnv

from envs import gait, pointnav, swing
from envs.cheetah import FASTEST, VelocityPolicy, nearness
from envs.demos import check, check_env, load
from envs.drawn import Drawn, Seen, drawn_once
from envs.make import env_id, imitable
from km_rl.errors import InputError, at_least_one
from km_rl.progress import progress_bar
from km_rl.rl.episodes import Pairs
from km_rl.rl.sources import pairs
from km_rl.rl.tasks import Task, halves

Name = Literal["pointnav", "pendulum", "halfcheetah-velocity", "halfcheetah-gait"]
CHEAP = ("pointnav", "pendulum")
"""Families whose experts are computed, not trained."""
Reward = Callable[[np.ndarray], float]
Act = Callable[[np.ndarray], np.ndarray]
"""Actions (N, Da) at observations (N, Ds)."""
LogRatio = Callable[[np.ndarray, np.ndarray], np.ndarray]
PAIRS = 1280
"""Pairs of each expert, as many of one half of its episodes as of the other."""
POLICY_PAIRS = 512
"""Pairs of each other policy, likewise."""
EPISODES, POLICY_EPISODES = 48, 24
"""Of each expert in the cheap families, and of each other policy."""
CHEETAH_EPISODES, CHEETAH_POLICY_EPISODES = 6, 2
"""The same of halfcheetah-velocity."""
NOISE = {"half-trained": 0.6, "perturbed": 0.2}
"""Its std, of the policies beside an expert of halfcheetah-velocity."""
TRAIN, HELD_OUT = 400, 24
"""Tasks of the cheap families."""
VELOCITIES = 50, 25
"""Of halfcheetah-velocity, as in SMILe."""


class HeldOut(NamedTuple):
    """An expert that no discriminator was trained on.

    Attributes:
        task: its pairs, and those of the policies beside it.
        reward: of an observation that an action led to; None for the environment's own.
        act: the expert without its noise, as agents are measured; None where all that is known of
            it is a file of demonstrations.
        told_return: the mean return of that file; None where there is ``act``.
        log_ratio: ln p(s, a | expert) - ln p(s, a | policy) of pairs against the even mixture of
            all policies of the task, where that is known.
        seen: episodes of the expert, or one; None where they are in a file of the user's.
    """

    task: Task
    reward: Reward | None
    act: Act | None = None
    told_return: float | None = None
    log_ratio: LogRatio | None = None
    seen: Seen | None = None


class Family(NamedTuple):
    """Tasks in one environment.

    Attributes:
        name: see above.
        env: where an agent acts, for `envs.make.make_vec`.
        train: to learn from.
        held_out: to be tested with.
    """

    name: Name
    env: str
    train: list[Task]
    held_out: list[HeldOut]


def load_family(
    name: Name,
    *,
    train: int = TRAIN,
    held_out: int = HELD_OUT,
    seed: int = 0,
    experts: Sequence[Path] = (),
    kept: Path | None = None,
) -> Family:
    """A family, always the same for the same arguments; of halfcheetah-velocity on the same CPU.

    Its expert acts by a net, whose last digits depend on the kernels that numpy's BLAS has for a
    CPU, and so do its episodes in the end. Those in results/ are of ``OPENBLAS_CORETYPE=Haswell``,
    which processors with AVX-512 do not choose themselves.

    Args:
        train, held_out: how many tasks of a family that is drawn; HalfCheetah's have their own.
        experts: the trained policy of halfcheetah-velocity, by default the shipped one, or the
            demonstrations of each agent of halfcheetah-gait, or the folder of them or of their
            runs, the last third of which is held out.
        kept: a file for the tasks of halfcheetah-velocity, which take minutes to act: made where
            it is not there yet.

    Raises:
        InputError: no such family, no tasks, experts that are missing or of another family, or a
            damaged file of tasks.
    """
    at_least_one(train=train, held_out=held_out)
    if experts and name in CHEAP:
        raise InputError(
            f"{len(experts)} experts were given where {name} has its own: leave --experts out, or "
            f"give a family of HalfCheetah's."
        )
    rng = np.random.default_rng(seed)
    if name == "pointnav":
        return _pointnav(train, held_out, rng)
    if name == "pendulum":
        return _pendulum(train, held_out, rng)
    if name == "halfcheetah-velocity":
        return _velocities(experts, rng, kept)
    if name == "halfcheetah-gait":
        return _gaits(experts, rng)
    raise InputError(f"family is '{name}': one of {', '.join(get_args(Name))} is expected.")


def demonstrations(family: Family) -> list[TrajectoryWithRew]:
    """An episode of each held-out expert, with the rewards of its task, in order.

    Raises:
        InputError: a family whose experts come from files of demonstrations.
    """
    return [_trajectory(case) for case in family.held_out]


def _trajectory(case: HeldOut) -> TrajectoryWithRew:
    if case.seen is None or case.reward is None:
        raise InputError(
            f"'{case.task.name}' is known by its own file of demonstrations: use that, or give "
            f"--family pointnav, pendulum or halfcheetah-velocity."
        )
    obs, acts = (x[0].astype(np.float32) for x in case.seen)
    rews = np.array([case.reward(x) for x in case.seen[0][0, 1:]], np.float32)
    return TrajectoryWithRew(obs=obs, acts=acts, rews=rews, infos=None, terminal=False)


def make_task_vec(family: Family, case: HeldOut, n_envs: int, seed: int) -> DummyVecEnv:
    """Environments that pay by the reward of a task; otherwise as `envs.make.make_vec`."""
    seeds = np.random.SeedSequence(seed).generate_state(n_envs).tolist()
    return DummyVecEnv([lambda s=s: _make(family.env, case.reward, s) for s in seeds])  # type: ignore[misc]


class Paid(gym.Wrapper):
    """An environment with the reward of a task in place of its own."""

    def __init__(self, env: gym.Env, reward: Reward) -> None:
        super().__init__(env)
        self.reward = reward

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        """The reward is that of where the action led."""
        obs, _, terminated, truncated, info = self.env.step(action)
        return obs, self.reward(obs), terminated, truncated, info


def _make(env: str, reward: Reward | None, seed: int) -> gym.Env:
    made = gym.make(env_id(env))
    made = made if reward is None else Paid(made, reward)
    made.reset(seed=seed)
    made.action_space.seed(seed)
    return imitable(made)


def _pointnav(train: int, held_out: int, rng: np.random.Generator) -> Family:
    drivers = [pointnav.draw_driver(rng) for _ in range(train + held_out)]
    others = [pointnav.others_of(driver, rng) for driver in drivers]
    drawn = [
        _drawn(f"pointnav {i}", one, beside, pointnav.rollouts, rng)
        for i, (one, beside) in enumerate(zip(drivers, others, strict=True))
    ]
    unseen = drivers[train:]
    cases = []
    for i, driver in enumerate(unseen):

        def reward(obs: np.ndarray, goal: Any = driver.goal) -> float:
            return -float(np.hypot(*(obs - goal)))

        def log_ratio(s: np.ndarray, a: np.ndarray, i: int = i) -> np.ndarray:
            kinds = [[d] for d in others[train + i].values()]
            kinds.append([d for j, d in enumerate(unseen) if j != i])
            policy = [pointnav.log_density(kind, s, a) for kind in kinds if kind]
            mixed = np.logaddexp.reduce(policy) - np.log(len(policy))
            return pointnav.log_density([unseen[i]], s, a) - mixed

        task, seen = drawn[train + i]
        cases.append(HeldOut(task, reward, driver.mean, log_ratio=log_ratio, seen=seen))
    return Family("pointnav", "PointNav", [d.task for d in drawn[:train]], cases)


def _pendulum(train: int, held_out: int, rng: np.random.Generator) -> Family:
    swingers = [swing.draw_swinger(rng) for _ in range(train + held_out)]
    drawn = [
        _drawn(f"pendulum {i}", one, swing.others_of(one, rng), swing.rollouts, rng)
        for i, one in enumerate(swingers)
    ]
    cases = []
    for one, swinger in zip(drawn[train:], swingers[train:], strict=True):

        def reward(obs: np.ndarray, wanted: float = swinger.energy) -> float:
            return -abs(float(swing.energy(obs)) - wanted)

        cases.append(HeldOut(one.task, reward, swinger.mean, seen=one.expert))
    return Family("pendulum", "Pendulum", [d.task for d in drawn[:train]], cases)


def _drawn(
    name: str, expert: Any, others: dict[str, Any], rollouts: Any, rng: np.random.Generator
) -> Drawn:
    seen = {who: rollouts(policy, POLICY_EPISODES, rng) for who, policy in others.items()}
    own = rollouts(expert, EPISODES, rng)
    beside = {who: some(_pairs(rolled), POLICY_PAIRS, rng) for who, rolled in seen.items()}
    return Drawn(Task(name, some(_pairs(own), PAIRS, rng), beside), own)


def _pairs(seen: Seen) -> Pairs:
    """All pairs of some episodes."""
    obs, acts = (torch.from_numpy(x).float() for x in seen)
    found = pairs({"obs": obs[:, :-1].flatten(0, 1), "acts": acts.flatten(0, 1)})
    n, T = acts.shape[:2]
    return found._replace(trajectory=torch.arange(n).repeat_interleave(T))


def some(found: Pairs, n: int, rng: np.random.Generator) -> Pairs:
    """n pairs at random, as many of one half of the episodes as of the other."""
    half = halves(found).numpy()
    sides = [rng.permutation(np.flatnonzero(half == side))[: n // 2] for side in (0, 1)]
    return found.take(torch.from_numpy(np.concatenate(sides)))


def _velocities(experts: Sequence[Path], rng: np.random.Generator, kept: Path | None) -> Family:
    if len(experts) > 1:
        raise InputError(
            f"{len(experts)} experts were given where halfcheetah-velocity has one that is told "
            f"the velocity: leave --experts out for the shipped one, or name one "
            f"policy.safetensors of scripts/train_expert.py --env HalfCheetahVelocity."
        )
    policy = VelocityPolicy(*experts)
    velocities = [float(v) for v in rng.uniform(0, FASTEST, sum(VELOCITIES))]

    def draw() -> list[Drawn]:
        bar = progress_bar(velocities, desc="halfcheetah-velocity", unit="task", leave=False)
        return [_at(policy, v, f"velocity {i}", rng) for i, v in enumerate(bar)]

    sizes = [PAIRS, POLICY_PAIRS, CHEETAH_EPISODES, CHEETAH_POLICY_EPISODES]
    made: dict[str, Any] = {"env": env_id("HalfCheetah"), "policy": policy.digest}
    made |= {"at": velocities, "sizes": sizes, "noise": NOISE}
    drawn = drawn_once(kept, made, draw)
    train, _ = VELOCITIES
    cases = [_running(policy, v, one) for v, one in zip(velocities, drawn, strict=True)]
    return Family(
        "halfcheetah-velocity", "HalfCheetah", [c.task for c in cases[:train]], cases[train:]
    )


def _running(policy: VelocityPolicy, velocity: float, drawn: Drawn) -> HeldOut:
    return HeldOut(
        drawn.task,
        lambda obs: nearness(obs, velocity),
        lambda obs: policy.act(obs, velocity),
        seen=drawn.expert,
    )


def _at(policy: VelocityPolicy, velocity: float, name: str, rng: np.random.Generator) -> Drawn:
    def noisy(std: float) -> Act:
        return lambda obs: policy.act(obs, velocity) + std * rng.standard_normal(6)

    own = _run(noisy(0.0), rng, CHEETAH_EPISODES)
    random: Act = lambda obs: rng.uniform(-1, 1, (1, 6))
    acting = {"random": random, **{who: noisy(std) for who, std in NOISE.items()}}
    seen = {who: _run(act, rng, CHEETAH_POLICY_EPISODES) for who, act in acting.items()}
    beside = {who: some(_pairs(rolled), POLICY_PAIRS, rng) for who, rolled in seen.items()}
    task = Task(f"{name}: {velocity:.2f} m/s", some(_pairs(own), PAIRS, rng), beside)
    return Drawn(task, (own[0][:1], own[1][:1]))


def _run(act: Act, rng: np.random.Generator, episodes: int) -> Seen:
    """What was seen in episodes of HalfCheetah."""
    env = gym.make(env_id("HalfCheetah"))
    states, actions = [], []
    for _ in range(episodes):
        obs, done = [env.reset(seed=int(rng.integers(2**31)))[0]], False
        acts = []
        while not done:
            acts.append(act(obs[-1][None])[0].clip(-1, 1))
            following, _, terminated, truncated, _ = env.step(acts[-1])
            obs.append(following)
            done = terminated or truncated
        states.append(obs)
        actions.append(acts)
    return np.array(states), np.array(actions)


def _gaits(given: Sequence[Path], rng: np.random.Generator) -> Family:
    found = list(gait.agents(given).items())
    if len(found) < 6:
        raise InputError(
            f"{len(found)} experts were given where halfcheetah-gait needs at least 6, of which "
            f"2 are held out: give --experts a file of demonstrations for each agent, or a folder "
            f"of runs of scripts/train_expert.py."
        )
    train = len(found) - len(found) // 3
    told, held_out = _beside_random(found[:train], rng), _beside_random(found[train:], rng)
    return Family("halfcheetah-gait", "HalfCheetah", [case.task for case in told], held_out)


def _beside_random(found: Sequence[tuple[str, Path]], rng: np.random.Generator) -> list[HeldOut]:
    """All beside the same random episodes, which are drawn here: those of another call differ."""
    seen = _run(lambda obs: rng.uniform(-1, 1, (1, 6)), rng, CHEETAH_POLICY_EPISODES)
    random = some(_pairs(seen), POLICY_PAIRS, rng)
    return [_gait(name, path, random, rng) for name, path in found]


def _gait(name: str, path: Path, random: Pairs, rng: np.random.Generator) -> HeldOut:
    check_env(path, "HalfCheetah")
    trajectories = load(path)
    check(trajectories, gym.spaces.Box(-np.inf, np.inf, (17,)), gym.spaces.Box(-1, 1, (6,)))
    task = Task(name, some(pairs(trajectories), PAIRS, rng), {"random": random})
    paid = float(np.mean([t.rews.sum() for t in trajectories]))
    if not np.isfinite(paid):
        raise InputError(
            f"'{path}' does not say what its agent was paid, by which imitators are measured: "
            f"give demonstrations with rewards, as scripts/train_expert.py makes them."
        )
    return HeldOut(task, None, told_return=paid)
