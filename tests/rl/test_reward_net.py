"""The discriminator as a reward net: in imitation's classes, on disk, and against bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from imitation.algorithms.adversarial.airl import AIRL
from imitation.algorithms.adversarial.gail import GAIL
from imitation.data.types import Transitions
from imitation.rewards.reward_wrapper import RewardVecEnvWrapper
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from km_rl.errors import InputError
from km_rl.rl.reward_net import REWARD_MAPS, KanervaRewardNet

BOX = gym.spaces.Box(-np.inf, np.inf, (3,), dtype=np.float64)
ACTIONS = {
    "box": gym.spaces.Box(-2, 2, (2,), dtype=np.float32),
    "discrete": gym.spaces.Discrete(4),
}


def _transitions(n: int, actions: str = "box", seed: int = 0, shift: float = 0.0) -> Transitions:
    rng = np.random.default_rng(seed)
    obs = rng.normal(size=(n, 3)) + shift
    acts = (
        rng.integers(4, size=n)
        if actions == "discrete"
        else rng.uniform(-1, 1, (n, 2)).astype(np.float32)
    )
    done = np.zeros(n, dtype=bool)
    infos = np.array([{}] * n)
    return Transitions(obs=obs, acts=acts, next_obs=obs + 0.1, dones=done, infos=infos)


def _arrays(t: Transitions) -> tuple[Any, Any, Any, Any]:
    return t.obs, t.acts, t.next_obs, t.dones


def _net(actions: str = "box", **options: Any) -> KanervaRewardNet:
    torch.manual_seed(0)
    sizes = {"slots": 16, "hidden": 16}
    return KanervaRewardNet(BOX, ACTIONS[actions], **{**sizes, **options}).eval()


@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("options", [{}, {"use_next_state": True}, {"features": "random"}])
def test_rewards_are_finite_and_unchanged_by_reading(
    actions: str, options: dict[str, Any]
) -> None:
    net = _net(actions, **options)
    net.remember(_transitions(40, actions))
    net.observe(_transitions(40, actions, seed=1, shift=1.0))
    arrays = _arrays(_transitions(8, actions, seed=2))
    rewards = net.predict_processed(*arrays)
    assert rewards.shape == (8,) and np.isfinite(rewards).all()
    np.testing.assert_array_equal(net.predict(*arrays), rewards)
    assert net.memory_state.expert_pairs == net.memory_state.policy_pairs == 40


def test_forgetting_undoes_remembering() -> None:
    net, good, bad = _net(), _transitions(30), _transitions(10, seed=1)
    net.discriminator.stats.freeze()
    arrays = _arrays(_transitions(8, seed=2))
    net.remember(good)
    before = net.predict(*arrays)
    net.remember(bad)
    assert not np.allclose(net.predict(*arrays), before)
    assert net.forget(bad) == 10
    np.testing.assert_array_equal(net.predict(*arrays), before)
    assert net.forget(bad) == 0


def test_remembering_twice_changes_nothing() -> None:
    net, good = _net(), _transitions(30)
    net.remember(good)
    net.remember(good)
    assert net.memory_state.expert_pairs == 30


def test_what_is_remembered_already_needs_no_room() -> None:
    net = _net(expert_capacity=20)
    for _ in range(2):
        net.remember(_transitions(15))
    assert net.memory_state.expert_pairs == 15


def test_pairs_for_which_there_is_no_room_in_training_are_told_of_once() -> None:
    net = _net(expert_capacity=5).train()
    batch = [np.concatenate([x, x]) for x in _arrays(_transitions(8))]
    with pytest.warns(UserWarning, match="more pairs than the 5 that there is room for") as told:
        for _ in range(2):
            net(*net.preprocess(*batch))
    # but for files that earlier tests left open, which Python tells of whenever it collects
    assert len([w for w in told if not issubclass(w.category, ResourceWarning)]) == 1
    assert net.memory_state.expert_pairs == 5


def test_a_training_batch_is_remembered_by_halves() -> None:
    net = _net(round_pairs=16).train()
    expert, policy = _transitions(20), _transitions(20, seed=1)
    batch = [np.concatenate(x) for x in zip(_arrays(expert), _arrays(policy), strict=True)]
    net(*net.preprocess(*batch))
    assert torch.equal(net.discriminator.expert.content, net._rows_of(expert))
    kept = net.discriminator.policy.content
    assert (
        len(kept) == 2
        and torch.isin(
            net.discriminator.policy.key(kept), net.discriminator.policy.key(net._rows_of(policy))
        ).all()
    )
    net.observes_itself = False
    net(*net.preprocess(*batch))
    assert net.memory_state[:2] == (20, 2)


def test_pairs_that_come_many_times_in_a_batch_all_count() -> None:
    net = _net(bound=2.0).train()
    batch = [np.concatenate([x[:4], x[:4], x[4:], x[4:]]) for x in _arrays(_transitions(8))]
    logits = net(*net.preprocess(*batch))
    torch.testing.assert_close(logits[:4], logits[4:8])
    slope = torch.autograd.grad(logits.sum(), net.discriminator.head.bias)[0]
    torch.testing.assert_close(slope, (1 - (logits / 2).square()).sum())  # of 2 tanh(. / 2)


def _cartpole(seed: int) -> DummyVecEnv:
    venv = DummyVecEnv([lambda: gym.wrappers.TimeLimit(gym.make("CartPole-v1"), 20)] * 2)
    venv.seed(seed)
    return venv


@pytest.mark.parametrize("algorithm", [GAIL, AIRL])
def test_one_line_changes_in_imitations_quickstart(algorithm: Any) -> None:
    venv = _cartpole(0)
    learner = PPO("MlpPolicy", venv, n_steps=32, batch_size=32, n_epochs=1, seed=0, device="cpu")
    rng = np.random.default_rng(0)
    obs = rng.uniform(-0.05, 0.05, (48, 4)).astype(np.float32)
    demonstrations = Transitions(
        obs=obs,
        acts=rng.integers(2, size=48),
        next_obs=obs,
        dones=np.zeros(48, dtype=bool),
        infos=np.array([{}] * 48),
    )
    trainer = algorithm(
        demonstrations=demonstrations,
        demo_batch_size=32,
        venv=venv,
        gen_algo=learner,
        reward_net=KanervaRewardNet(venv.observation_space, venv.action_space),
        n_disc_updates_per_round=2,
        allow_variable_horizon=True,
    )
    trainer.train(192)
    net = trainer._reward_net
    assert net.memory_state.expert_pairs == 48
    assert net.memory_state.policy_pairs == 6 * 64 / 8  # an eighth of a round in each update
    assert np.isfinite(net.predict(obs, demonstrations.acts, obs, demonstrations.dones)).all()


def test_it_rewards_a_wrapped_environment() -> None:
    venv = _cartpole(0)
    net = KanervaRewardNet(venv.observation_space, venv.action_space)
    wrapped = RewardVecEnvWrapper(venv, reward_fn=net.predict_processed)
    wrapped.reset()
    _, rewards, _, infos = wrapped.step(np.zeros(2, dtype=int))
    assert np.isfinite(rewards).all() and infos[0]["original_env_rew"] == 1


@pytest.mark.parametrize("reward", REWARD_MAPS)
def test_every_reward_map_rises_with_the_logit(reward: Any) -> None:
    net = _net(reward=reward, features="random", head="ratio")
    net.remember(_transitions(60))
    net.observe(_transitions(60, seed=1, shift=2.0))
    arrays = _arrays(_transitions(30, seed=2, shift=1.0))
    logits, rewards = net.predict(*arrays), net.reward_fn(*arrays)
    order = logits.argsort()
    assert (np.diff(rewards[order]) >= 0).all() and rewards[order[-1]] > rewards[order[0]]
    if reward == "logit":
        np.testing.assert_allclose(rewards, logits, rtol=1e-6)
    if reward == "softplus":
        np.testing.assert_allclose(rewards, np.log1p(np.exp(logits)), rtol=1e-4)


def test_unseen_states_surprise_and_would_teach_the_memory_more() -> None:
    net = _net(features="random", slots=64)
    net.remember(_transitions(200))
    net.observe(_transitions(200, seed=1))
    seen = net.surprise(*net.preprocess(*_arrays(_transitions(50, seed=2))))
    unseen = net.surprise(*net.preprocess(*_arrays(_transitions(50, seed=3, shift=4.0))))
    for field in ("surprise", "information_gain", "expert_gain"):
        assert getattr(unseen, field).median() > getattr(seen, field).median()


@pytest.mark.parametrize("actions", ACTIONS)
def test_save_and_load_keep_the_memories(actions: str, tmp_path: Path) -> None:
    net = _net(actions, use_next_state=True, reward="conformal", head="ratio")
    net.remember(_transitions(30, actions))
    net.observe(_transitions(30, actions, seed=1))
    net.save(tmp_path / "net.safetensors")
    copy = KanervaRewardNet.load(tmp_path / "net.safetensors", BOX, ACTIONS[actions])
    arrays = _arrays(_transitions(8, actions, seed=2))
    np.testing.assert_array_equal(copy.predict(*arrays), net.predict(*arrays))
    np.testing.assert_array_equal(copy.reward_fn(*arrays), net.reward_fn(*arrays))


def test_torchs_own_save_keeps_it_too(tmp_path: Path) -> None:
    net = _net()
    net.remember(_transitions(30))
    arrays = _arrays(_transitions(8, seed=2))
    before = net.predict(*arrays)
    torch.save(net, tmp_path / "net.pt")
    copy = torch.load(tmp_path / "net.pt", weights_only=False)
    np.testing.assert_array_equal(copy.predict(*arrays), before)


def test_a_net_of_another_environment_is_refused(tmp_path: Path) -> None:
    _net().save(tmp_path / "net.safetensors")
    with pytest.raises(InputError, match=r"a discriminator for Box.* environment has Discrete"):
        KanervaRewardNet.load(tmp_path / "net.safetensors", BOX, ACTIONS["discrete"])
    wider = gym.spaces.Box(-99, 99, ACTIONS["box"].shape)
    with pytest.raises(InputError, match=r"a discriminator for Box.* environment has Box\(-99"):
        KanervaRewardNet.load(tmp_path / "net.safetensors", BOX, wider)


def test_bad_input_is_one_sentence() -> None:
    with pytest.raises(InputError, match="no option 'slot'"):
        KanervaRewardNet(BOX, ACTIONS["box"], slot=3)
    with pytest.raises(InputError, match="reward is 'tanh'"):
        KanervaRewardNet(BOX, ACTIONS["box"], reward="tanh")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a Box of vectors"):
        KanervaRewardNet(gym.spaces.Box(0, 255, (8, 8, 3), dtype=np.uint8), ACTIONS["box"])
    with pytest.raises(InputError, match="training batch of 3 pairs"):
        net = _net().train()
        net(*net.preprocess(*_arrays(_transitions(3))))
    with pytest.raises(InputError, match="30 new pairs were given beside 0 where 20 have room"):
        _net(expert_capacity=20).remember(_transitions(30))
    with pytest.raises(InputError, match="no next states where use_next_state"):
        _net(use_next_state=True).remember({"obs": np.zeros((3, 3)), "acts": np.zeros((3, 2))})


@pytest.mark.cuda
def test_memories_move_to_the_gpu_and_are_written_there() -> None:
    net = _net()
    net.remember(_transitions(40))
    net.observe(_transitions(40, seed=1, shift=1.0))
    arrays = _arrays(_transitions(80, seed=2))
    told = net.predict(*arrays)
    net.cuda()
    np.testing.assert_allclose(net.predict(*arrays), told, rtol=1e-3, atol=1e-3)
    logits = net.train()(*net.preprocess(*_arrays(_transitions(16, seed=3))))
    assert logits.device.type == "cuda" and logits.isfinite().all()
    assert net.eval().forget(_transitions(40)) == 40


def test_actions_that_do_not_count_from_0_are_refused() -> None:
    with pytest.raises(InputError, match="which counts from 1: one that counts from 0"):
        KanervaRewardNet(gym.spaces.Box(-1, 1, (3,)), gym.spaces.Discrete(3, start=1))


@pytest.mark.parametrize("start", [0, 1])
def test_a_space_that_counts_from_several_numbers_is_refused_in_a_sentence(start: int) -> None:
    """Newer versions of gymnasium give a MultiDiscrete an array of starts."""
    several = gym.spaces.MultiDiscrete([2, 2])
    several.start = np.full(2, start)
    with pytest.raises(InputError, match="is expected"):
        KanervaRewardNet(gym.spaces.Box(-1, 1, (2,)), several)


def test_logits_of_the_experts_pairs_are_as_if_each_were_left_out() -> None:
    net = _net(features="random")
    net.remember(_transitions(40))
    net.observe(_transitions(40, seed=1, shift=0.5))
    told, own = net.discriminator, net.discriminator.expert.content
    with torch.no_grad():
        left_out, seen = (told.logits_expert_is_high(own, left_out=x) for x in (True, False))
    torch.testing.assert_close(net.expert_logits(40), left_out)
    torch.testing.assert_close(net.expert_logits(10), left_out[::4])
    assert (left_out < seen).all()
