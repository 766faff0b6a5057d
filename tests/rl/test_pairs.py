"""Pairs of every source, against buffers numbered by hand and Pendulum's equation of motion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from imitation.data import rollout, types
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer, RolloutBuffer
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import Tensor

from km_rl.errors import InputError
from km_rl.rl.episodes import Pairs, draw, split
from km_rl.rl.sources import pairs
from km_rl.rl.stats import RunningStats

EPISODE = 13
VECTOR = spaces.Box(-np.inf, np.inf, (2,), np.float32)
TORQUE = spaces.Box(-2, 2, (1,), np.float32)
THREE = spaces.Discrete(3)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def trajectory(length: int, first: float = 0.0, terminal: bool = True) -> types.TrajectoryWithRew:
    """States (first, 0), (first + 1, 0), ...; the action is the state's number in the negative."""
    number = first + np.arange(length + 1)
    obs = np.stack([number, np.zeros(length + 1)], -1).astype(np.float32)
    acts = -number[:-1, None].astype(np.float32)
    return types.TrajectoryWithRew(obs, acts, None, terminal, np.zeros(length, np.float32))


def numbers(x: Tensor) -> list[int]:
    return x[:, 0].int().tolist()


def pendulums(n: int) -> DummyVecEnv:
    return DummyVecEnv([lambda: gym.make("Pendulum-v1", max_episode_steps=EPISODE)] * n)


def assert_moves_like_a_pendulum(given: Pairs) -> None:
    """Mass 1, length 1, g = 10, 0.05 s a step: torque in N m moves (cos, sin, speed) on."""
    cos, sin, speed = given.state.double().T
    speed = (speed + 0.05 * (15 * sin + 3 * given.action[:, 0].double())).clamp(-8, 8)
    angle = torch.atan2(sin, cos) + 0.05 * speed
    expected = torch.stack([angle.cos(), angle.sin(), speed], -1)
    torch.testing.assert_close(given.next_state.double(), expected, atol=1e-5, rtol=1e-5)


def test_a_trajectory() -> None:
    found = pairs(trajectory(3, first=5), VECTOR, spaces.Box(-99, 99, (1,)))
    assert numbers(found.state) == [5, 6, 7]
    assert numbers(found.action) == [-5, -6, -7]
    assert numbers(found.next_state) == [6, 7, 8]
    assert found.done.tolist() == [0, 0, 1]
    assert found.trajectory.tolist() == [0, 0, 0]
    assert found.count == 3
    assert [x.dtype for x in found] == [torch.float32] * 4 + [torch.int64]


def test_trajectories_and_their_transitions_are_the_same_pairs() -> None:
    given = [trajectory(3), trajectory(1, first=10), trajectory(2, first=20)]
    one, other = pairs(given), pairs(rollout.flatten_trajectories(given))
    assert one.trajectory.tolist() == [0, 0, 0, 1, 2, 2]
    for x, y in zip(one, other, strict=True):
        assert torch.equal(x, y)


def test_transitions_without_any_end_are_one_trajectory() -> None:
    given = [trajectory(3, terminal=False), trajectory(2, first=20, terminal=False)]
    found = pairs(rollout.flatten_trajectories(given))
    assert found.trajectory.tolist() == found.done.tolist() == [0] * 5
    assert pairs(given).done.tolist() == [0] * 5


def test_minimal_transitions_have_no_next_state() -> None:
    infos = np.array([{}] * 4)
    found = pairs(types.TransitionsMinimal(np.ones((4, 2)), np.ones((4, 1)), infos))
    assert found.next_state.shape == (4, 0)
    assert found.trajectory.tolist() == [0] * 4


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor, lambda x: np.asarray(x).tolist()])
def test_mappings_of_arrays_tensors_or_lists(kind: Any) -> None:
    obs, acts = np.arange(8.0).reshape(4, 2), np.arange(4.0)[:, None]
    dones = np.array([False, True, False, False])
    batch = {k: kind(v) for k, v in {"obs": obs, "acts": acts, "next_obs": obs + 2}.items()}
    found = pairs([batch | {"dones": kind(dones)}, batch])
    np.testing.assert_array_equal(found.state, np.tile(obs, (2, 1)))
    np.testing.assert_array_equal(found.next_state, np.tile(obs + 2, (2, 1)))
    assert found.done.tolist() == [0, 1, 0, 0] + [0] * 4
    assert found.trajectory.tolist() == [0, 0, 1, 1, 2, 2, 2, 2]


def test_pairs_of_pairs() -> None:
    given = pairs({"obs": np.eye(3)[:, :2], "acts": [2, 0, 1]}, VECTOR, THREE)
    assert all(torch.equal(x, y) for x, y in zip(given, pairs(given, VECTOR, THREE), strict=True))
    with pytest.raises(InputError, match=r"Actions have shape \(3,\) where \(4,\) is expected"):
        pairs(given, VECTOR, spaces.Discrete(4))


def test_rollouts_of_imitation_move_like_a_pendulum() -> None:
    until = rollout.make_sample_until(min_episodes=4)
    given = rollout.rollout(None, pendulums(2), until, np.random.default_rng(0), unwrap=False)
    found = pairs(given)
    assert found.trajectory.bincount().tolist() == [EPISODE] * 4
    assert_moves_like_a_pendulum(found)
    assert_moves_like_a_pendulum(pairs(rollout.flatten_trajectories(list(given))))


def test_a_ppo_buffer_moves_like_a_pendulum_before_and_after_training() -> None:
    model = PPO("MlpPolicy", pendulums(2), n_steps=40, batch_size=20, n_epochs=1, seed=0)
    model.policy.log_std.data.fill_(1.0)
    seen: list[Pairs] = []
    train = model.train
    model.train = lambda: (seen.append(pairs(model.rollout_buffer)), train())[1]  # type: ignore
    model.learn(80)
    before, after = seen[-1], pairs(model.rollout_buffer)
    assert all(torch.equal(x, y) for x, y in zip(before, after, strict=True))
    assert before.count == 2 * (39 - 3)  # the last row, and the ends of three episodes
    assert abs(model.rollout_buffer.actions).max() > 2  # what the policy drew
    assert before.action.abs().max() == 2  # what the environment saw
    assert_moves_like_a_pendulum(before)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("steps", "rows", "ends"), [(20, 20, 1), (50, 32, 2)])
def test_a_sac_buffer_moves_like_a_pendulum(
    shared: bool, steps: int, rows: int, ends: int
) -> None:
    """Per environment: 32 rows in the ring, of which ``ends`` end an episode."""
    model = SAC(
        "MlpPolicy",
        pendulums(2),
        buffer_size=64,
        learning_starts=1000,
        optimize_memory_usage=shared,
        replay_buffer_kwargs={"handle_timeout_termination": False} if shared else None,
        policy_kwargs={"net_arch": [8]},
        seed=0,
    )
    model.learn(2 * steps)
    found = pairs(model.replay_buffer)
    overwritten = rows == 32
    assert found.count == 2 * (rows - ends - overwritten if shared else rows)
    assert found.done.sum() == (0 if shared else 2 * ends)
    assert found.action.abs().max() > 1
    assert_moves_like_a_pendulum(found)


def filled_rollout_buffer(steps: int) -> RolloutBuffer:
    """Environment e at step t has the state 10 e + t; the second one's third step is a start."""
    buffer = RolloutBuffer(5, VECTOR, THREE, n_envs=2)
    for t in range(steps):
        state = np.array([[t, 0], [10 + t, 0]], np.float32)
        starts = np.array([t == 0, t in (0, 2)])
        action, zeros = np.array([t % 3, 1]), torch.zeros(2)
        buffer.add(state, action, np.zeros(2), starts, zeros, zeros)
    return buffer


def test_a_rollout_buffer_row_by_row() -> None:
    buffer = filled_rollout_buffer(5)
    found = pairs(buffer)
    assert numbers(found.state) == [0, 1, 2, 3, 10, 12, 13]
    assert numbers(found.next_state) == [1, 2, 3, 4, 11, 13, 14]
    assert found.action.argmax(-1).tolist() == [0, 1, 2, 0, 1, 1, 1]
    assert found.trajectory.tolist() == [0, 0, 0, 0, 1, 2, 2]
    next(buffer.get(4))  # lays the rows out anew
    assert all(torch.equal(x, y) for x, y in zip(found, pairs(buffer), strict=True))


def test_a_rollout_buffer_that_is_not_full() -> None:
    assert numbers(pairs(filled_rollout_buffer(3)).state) == [0, 1, 10]


@pytest.mark.parametrize(
    ("steps", "states", "ends", "trajectories"),
    [
        (3, [0, 1, 2, 10, 11, 12], [2, 5], [0, 0, 0, 1, 1, 1]),
        (5, [1, 2, 3, 4, 11, 12, 13, 14], [1, 5], [0, 0, 1, 1, 2, 2, 3, 3]),
        (8, [4, 5, 6, 7, 14, 15, 16, 17], [1, 5], [0, 0, 1, 1, 2, 2, 3, 3]),
    ],
)
def test_a_replay_buffer_row_by_row(
    steps: int, states: list[int], ends: list[int], trajectories: list[int]
) -> None:
    buffer = ReplayBuffer(8, VECTOR, THREE, n_envs=2)  # four rows of two environments
    for t in range(steps):
        state = np.array([[t, 0], [10 + t, 0]], np.float32)
        ended = np.array([t % 3 == 2] * 2)
        buffer.add(state, state + 1, np.array([t % 3, 1]), np.zeros(2), ended, [{}, {}])
    found = pairs(buffer)
    assert numbers(found.state) == states
    assert numbers(found.next_state) == [n + 1 for n in states]
    n = len(states) // 2
    assert found.action.argmax(-1).tolist() == [s % 3 for s in states[:n]] + [1] * n
    assert found.done.nonzero()[:, 0].tolist() == ends
    assert found.trajectory.tolist() == trajectories


def test_discrete_actions_are_one_hot_however_they_are_kept() -> None:
    expected = torch.tensor([[0.0, 0, 1], [1, 0, 0]])
    for acts in ([2, 0], [[2], [0]], [2.0, 0.0], torch.tensor([2, 0])):
        assert torch.equal(pairs({"obs": np.eye(2), "acts": acts}, None, THREE).action, expected)
    shifted = pairs({"obs": np.eye(2), "acts": [6, 4]}, None, spaces.Discrete(3, start=4))
    assert torch.equal(shifted.action, expected)


def test_discrete_observations_are_one_hot_too() -> None:
    found = pairs({"obs": [2, 0], "acts": np.zeros((2, 1)), "next_obs": [0, 1]}, THREE)
    assert found.state.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert found.next_state.tolist() == [[1, 0, 0], [0, 1, 0]]


def test_vectors_of_bits_stay_vectors_and_matrices_become_some() -> None:
    given = {"obs": np.eye(2), "acts": np.array([[0, 1, 1], [0, 0, 1]])}
    assert pairs(given, None, spaces.MultiBinary(3)).action.tolist() == [[0, 1, 1], [0, 0, 1]]
    matrices = pairs({"obs": np.arange(12.0).reshape(2, 2, 3), "acts": np.zeros(2)})
    assert matrices.state.tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert matrices.action.shape == (2, 1)


GOOD: dict[str, Any] = {"obs": np.zeros((4, 2)), "acts": np.zeros((4, 1))}
MIXED = [GOOD, GOOD | {"obs": np.zeros((4, 3))}]
PICTURES = spaces.Box(0, 255, (8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("given", "observations", "actions", "told"),
    [
        ([], None, None, "no pairs"),
        (ReplayBuffer(8, VECTOR, TORQUE), None, None, "no pairs"),
        (filled_rollout_buffer(0), None, None, "no pairs"),
        (filled_rollout_buffer(1), None, None, "no pairs"),
        ({"obs": np.zeros((0, 2)), "acts": np.zeros((0, 1))}, None, None, "no pairs"),
        (7, None, None, "A int without obs and acts holds no transitions"),
        ({"obs": np.zeros((4, 2))}, None, None, "A dict without obs and acts"),
        (GOOD, spaces.Box(-1, 1, (3,)), None, r"Observations have shape \(2,\) where \(3,\)"),
        (GOOD, None, spaces.Box(-1, 1, (6,)), r"Actions have shape \(1,\) where \(6,\)"),
        (GOOD | {"next_obs": np.zeros((4, 3))}, VECTOR, None, "Next observations have shape"),
        (GOOD | {"next_obs": np.zeros((4, 3))}, None, None, "next_obs as wide as obs"),
        (GOOD | {"acts": np.zeros((3, 1))}, None, None, "as many rows of each"),
        (GOOD | {"dones": np.zeros(3)}, None, None, "as many rows of each"),
        (GOOD | {"obs": np.full((4, 2), np.nan)}, None, None, "NaN or infinity in 4 of 4 rows"),
        (GOOD | {"acts": [[0], [np.inf], [0], [0]]}, None, None, "Actions .* first in row 1"),
        (GOOD | {"obs": np.full((4, 2), 1e300)}, None, None, "Observations hold NaN or infinity"),
        (GOOD | {"acts": [0, 1, 2, 3]}, None, THREE, "one whole number from 0 to 2 each"),
        (GOOD | {"acts": [0, 1, 2, 0.5]}, None, THREE, "one whole number from 0 to 2 each"),
        (GOOD | {"acts": [0, 1, 2, np.nan]}, None, THREE, "one whole number from 0 to 2 each"),
        (GOOD | {"acts": np.zeros((4, 3))}, None, THREE, r"Actions of shape \(3,\)"),
        (GOOD | {"acts": [0, 1, 2, 0]}, None, None, "whole numbers: give action_space"),
        (GOOD | {"obs": np.zeros((4, 8, 8, 3))}, None, None, r"shape \(8, 8, 3\) are images"),
        (GOOD, PICTURES, None, r"shape \(8, 8, 3\) are images"),
        (GOOD | {"obs": {"a": np.zeros(4)}}, None, None, "flatten dictionaries"),
        (GOOD | {"obs": [[1.0, 2.0], [3.0]]}, None, None, "rows of one length"),
        (GOOD, spaces.Dict(a=VECTOR), None, "Observations of a Dict space are not supported"),
        (GOOD, None, spaces.MultiDiscrete([2, 2]), "a MultiDiscrete space are not supported"),
        (DictReplayBuffer(4, spaces.Dict(a=VECTOR), TORQUE), None, None, "a Dict space"),
        (ReplayBuffer(4, PICTURES, TORQUE), None, None, "are images"),
        (MIXED, VECTOR, None, r"^Number 1 of 2 \(from 0\): Observations have shape"),
        (MIXED, None, None, r"\[\(2, 1, 0\), \(3, 1, 0\)\] cannot be joined"),
    ],
)
def test_bad_input_is_refused(given: Any, observations: Any, actions: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        pairs(given, observations, actions)


def test_every_nth_pair_of_each_trajectory() -> None:
    given = pairs([trajectory(5), trajectory(1, first=10), trajectory(4, first=20)])
    assert numbers(given.every(2).state) == [0, 2, 4, 10, 20, 22]
    assert numbers(given.every(100).state) == [0, 10, 20]
    shuffled = given.take(torch.tensor([9, 0, 8, 1, 7, 2]))  # as they come, not as they happened
    assert numbers(shuffled.every(2).state) == [23, 0, 21, 2]
    with pytest.raises(InputError, match="n is 0"):
        given.every(0)


def test_joined_parts_keep_their_trajectories_apart() -> None:
    one = pairs([trajectory(2), trajectory(1)])
    nothing = one.take(torch.tensor([], dtype=torch.int64))
    joined = Pairs.join([one, nothing, one.take(torch.tensor([2])), one])
    assert joined.trajectory.tolist() == [0, 0, 1, 3, 4, 4, 5]


def test_split_holds_out_whole_trajectories() -> None:
    given = pairs([trajectory(n, first=10 * n) for n in range(1, 9)])
    train, held_out = split(given, 0.25, rng())
    assert len(held_out.trajectory.unique()) == 2
    assert not set(train.trajectory.tolist()) & set(held_out.trajectory.tolist())
    assert sorted(numbers(train.state) + numbers(held_out.state)) == numbers(given.state)
    drawn = {tuple(split(given, 0.25, rng(s))[1].trajectory.unique().tolist()) for s in range(40)}
    assert len(drawn) > 10


def test_split_always_leaves_something_on_both_sides() -> None:
    given = pairs([trajectory(1), trajectory(1)])
    for share in (0.01, 0.99):
        assert [part.count for part in split(given, share, rng())] == [1, 1]
    train, held_out = split(pairs(trajectory(3)), 0, rng())
    assert (train.count, held_out.count, held_out.every(2).count) == (3, 0, 0)


def test_drawn_pairs_are_different_and_equally_likely() -> None:
    given = pairs([trajectory(30), trajectory(10, first=30)])
    drawn = draw(given, 4000, 10, rng())
    assert drawn.shape == (4000, 10, 3)
    assert torch.equal(drawn[..., 2], -drawn[..., 0])  # an action stays with its state
    number = drawn[..., 0].long()
    assert all(len(row.unique()) == 10 for row in number)
    for place in (number, number[:, :5]):
        frequency = place.flatten().bincount(minlength=40) / place.numel()
        assert (40 * frequency - 1).abs().max() < 0.12


def test_drawn_with_next_state() -> None:
    drawn = draw(pairs(trajectory(6)), 2, 6, rng(), next_state=True)
    assert drawn.shape == (2, 6, 5)
    assert torch.equal(drawn[..., 3], drawn[..., 0] + 1)
    assert torch.equal(drawn, draw(pairs(trajectory(6)), 2, 6, rng(), next_state=True))


FIVE = pairs(trajectory(5))


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: split(FIVE, 0.5, rng()), "One trajectory cannot be split"),
        (lambda: split(FIVE, 1.0, rng()), "held_out is 1.0"),
        (lambda: split(FIVE, -0.1, rng()), "held_out is -0.1"),
        (lambda: draw(FIVE, 2, 6, rng()), "Episodes of 6 pairs were asked of 5"),
        (lambda: draw(FIVE, 2, 0, rng()), "T is 0"),
        (lambda: draw(FIVE, 0, 2, rng()), "B is 0"),
        (lambda: draw(pairs(GOOD), 2, 2, rng(), next_state=True), "have no next states"),
    ],
)
def test_split_and_draw_refuse(call: Callable[[], Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        call()


def test_statistics_are_those_of_all_rows() -> None:
    rows = torch.randn(5, 40, 3, generator=rng()) * torch.tensor([1e-2, 1.0, 50.0]) + 100
    stats, at_once = RunningStats(3), RunningStats(3)
    for part in rows[[2, 0, 4, 1, 3]]:  # batches in any order
        stats.update(part)
    at_once.update(rows)
    everything = rows.reshape(-1, 3).double().numpy()
    for found in (stats, at_once):
        np.testing.assert_allclose(found.mean, everything.mean(0), rtol=1e-6)
        np.testing.assert_allclose(found.var, everything.var(0), rtol=1e-4)
        assert found.count == 200
    normal = stats(rows).reshape(-1, 3)
    torch.testing.assert_close(normal.mean(0), torch.zeros(3), atol=2e-3, rtol=0)
    torch.testing.assert_close(normal.std(0)[1:], torch.ones(2), atol=5e-3, rtol=0)


def test_frozen_statistics_stay_and_are_saved_frozen() -> None:
    stats, again = RunningStats(2), RunningStats(2)
    stats.update(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    stats.freeze()
    stats.update(torch.full((5, 2), 100.0))
    assert stats.mean.tolist() == [2, 4]
    again.load_state_dict(stats.state_dict())
    again.update(torch.full((5, 2), 100.0))
    assert (again.mean.tolist(), again.var.tolist(), int(again.count)) == ([2, 4], [1, 4], 2)


def test_far_values_and_constant_ones_stay_bounded() -> None:
    stats = RunningStats(2)
    torch.testing.assert_close(stats(torch.eye(2)), torch.eye(2), atol=1e-4, rtol=0)
    stats.update(torch.tensor([[0.0, 7.0], [2.0, 7.0]]))
    assert stats(torch.tensor([[1e6, 8.0], [-1e6, 7.0]])).tolist() == [[10, 10], [-10, 0]]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (float("nan"), "NaN or infinity"),
        (float("inf"), "NaN or infinity"),
        (3e38, r"numbers up to 3.0e\+38, with squares too large for float32"),
    ],
)
def test_statistics_refuse_what_is_not_finite(bad: float, said: str) -> None:
    stats = RunningStats(2)
    with pytest.raises(InputError, match=said):
        stats.update(torch.tensor([[1.0, bad], [2.0, 3.0]]))
    assert int(stats.count) == 0
    assert stats.mean.tolist() == [0, 0]


@pytest.mark.cuda
def test_pairs_stay_on_their_device() -> None:
    batch = {k: torch.as_tensor(v).cuda() for k, v in GOOD.items()}
    found = pairs(batch)
    assert all(x.is_cuda for x in found)
    assert draw(found.every(2), 3, 2, rng()).is_cuda
