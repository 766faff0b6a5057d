"""What an agent does, written into a memory: in stock PPO and SAC, and inside GAIL."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from imitation.rewards.reward_nets import BasicRewardNet
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from tiny_agents import CARTPOLE, PENDULUM, ROUND, SMALL, environments, gail, logged, ppo, sac

from km_rl.errors import InputError
from km_rl.rl import KanervaCallback, KanervaRewardNet, attach, relabel_rewards
from km_rl.rl.callbacks import _own_randomness

POLICY_KEYS = {f"km/{k}" for k in ("surprise", "information_gain", "policy_slots", "memory_drift")}
EXPERT_KEYS = {f"km/{k}" for k in ("expert_gain", "expert_slots", "logit_policy", "logit_expert")}
TINY: dict[str, Any] = {"slots": 16, "round_pairs": 16}
AGENTS = {
    "PPO on CartPole": lambda **s: ppo("CartPole-v1", **s),
    "PPO on Pendulum": lambda **s: ppo(PENDULUM, **s),
    "SAC on Pendulum": lambda **s: sac(PENDULUM, **s),
}


class Rewards(BaseCallback):
    """Writes down what the environment paid, before the callbacks after it may change that."""

    def __init__(self) -> None:
        super().__init__()
        self.paid: list[np.ndarray] = []

    def _on_step(self) -> bool:
        normaliser = self.model.get_vec_normalize_env()
        rewards = normaliser.old_reward if normaliser else self.locals["rewards"]
        self.paid.append(rewards.copy())
        return True


def km(line: dict[str, float]) -> dict[str, float]:
    """The keys of the callback, without imitation's prefix."""
    return {k.removeprefix("mean/gen/"): v for k, v in line.items() if "km/" in k}


@pytest.mark.parametrize("agent", AGENTS)
def test_stock_agents_log_finite_numbers(
    tmp_path: Path, agent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("km_rl.rl.callbacks.OFF_POLICY_ROUND", ROUND)
    callback = KanervaCallback(**TINY)
    model = AGENTS[agent](folder=tmp_path)
    model.learn(3 * ROUND, callback=callback, log_interval=1)
    model.logger.dump(model.num_timesteps)
    *_, line = filter(None, map(km, logged(tmp_path)))
    assert line.keys() == POLICY_KEYS
    assert all(math.isfinite(value) for value in line.values())
    assert 0 < line["km/policy_slots"] < TINY["slots"]
    state = callback.reward_net.memory_state
    assert state.policy_pairs == 3 * 16
    assert state.expert_pairs == 0


@pytest.mark.parametrize("make", [ppo, sac])
def test_what_is_written_is_what_the_environment_saw(make: Callable[..., BaseAlgorithm]) -> None:
    seen: list[np.ndarray] = []

    class Watched(gym.Wrapper):
        last: np.ndarray

        def step(self, action: Any) -> Any:
            following, *rest = self.env.step(action)
            seen.append(np.concatenate([self.last, action]))
            self.last = following
            return following, *rest

        def reset(self, **settings: Any) -> Any:
            self.last, info = self.env.reset(**settings)
            return self.last, info

    short = gym.wrappers.TimeLimit(gym.make(PENDULUM).unwrapped, 10)
    callback = KanervaCallback(slots=8, round_pairs=ROUND)
    make(DummyVecEnv([lambda: Watched(short)])).learn(ROUND, callback=callback)
    rows = callback.reward_net.discriminator.policy.content.tolist()
    assert sorted(rows) == sorted(np.array(seen, dtype=np.float32).tolist())


def test_the_last_state_of_an_episode_is_its_own() -> None:
    short = gym.wrappers.TimeLimit(gym.make(PENDULUM).unwrapped, 5)
    model = ppo(DummyVecEnv([lambda: short]))
    callback = KanervaCallback(slots=16, round_pairs=ROUND, use_next_state=True)
    model.learn(ROUND, callback=callback)
    rows = callback.reward_net.discriminator.policy.content
    turn = (torch.atan2(rows[:, 5], rows[:, 4]) - torch.atan2(rows[:, 1], rows[:, 0])).sin()
    torch.testing.assert_close(turn, (0.05 * rows[:, 6]).sin(), atol=1e-4, rtol=0)


def test_without_a_bonus_the_agent_learns_as_without_the_callback() -> None:
    for make in AGENTS.values():
        models = [make().learn(2 * ROUND, callback=c) for c in (None, KanervaCallback(**TINY))]
        ends = [torch.cat([p.flatten() for p in m.policy.parameters()]) for m in models]
        torch.testing.assert_close(*ends, atol=0, rtol=0)


def test_what_is_repeated_surprises_less_and_what_is_new_more(tmp_path: Path) -> None:
    model = ppo(PENDULUM, tmp_path, learning_rate=0.0, n_steps=50, batch_size=100)
    net: Any = model.policy
    net.log_std.data.fill_(-1.0)
    callback = KanervaCallback(slots=64)
    model.learn(600, callback=callback)
    net.action_net.bias.data.fill_(1.5)
    model.learn(100, callback=callback, reset_num_timesteps=False)
    *old, new = (km(line) for line in logged(tmp_path))
    for key in ("km/surprise", "km/information_gain"):
        first, last = old[0][key], old[-1][key]
        assert last < 0.9 * first, key
        assert new[key] > 3 * last, key
    codes, var = 1 + 4, 1 + 0.1  # of modes h and a; of an empty slot and the noise
    prior = 0.5 * codes * (1 / var + math.log(2 * math.pi * var))
    assert old[0]["km/surprise"] == pytest.approx(prior, rel=0.05)
    assert old[0]["km/memory_drift"] == pytest.approx(1)
    assert old[-1]["km/memory_drift"] < new["km/memory_drift"] < 1
    assert old[0]["km/policy_slots"] < old[-1]["km/policy_slots"]


def in_buffer(model: Any, n: int) -> np.ndarray:
    buffer = getattr(model, "rollout_buffer", None) or model.replay_buffer
    return buffer.rewards.reshape(-1, 1)[:n, 0].copy()


@pytest.mark.parametrize("agent", ["PPO", "SAC", "SAC behind VecNormalize"])
def test_the_bonus_is_in_the_rewards_that_are_learned_from(agent: str) -> None:
    venv = environments(PENDULUM, 1)
    make = ppo if agent == "PPO" else sac
    model = make(VecNormalize(venv) if "Vec" in agent else venv)
    first, second = Rewards(), Rewards()
    callback = KanervaCallback(slots=16, round_pairs=ROUND, bonus_scale=0.5)
    model.learn(ROUND, callback=[first, callback])
    np.testing.assert_array_equal(in_buffer(model, ROUND), np.concatenate(first.paid))
    model.learn(ROUND, callback=[second, callback], reset_num_timesteps=False)
    late = in_buffer(model, ROUND if agent == "PPO" else 2 * ROUND)[-ROUND:]
    assert (late - np.concatenate(second.paid) > 0.001).all()


def test_the_bonus_is_the_information_gain(tmp_path: Path) -> None:
    model = ppo(PENDULUM, tmp_path, learning_rate=0.0)
    watch, callback = Rewards(), KanervaCallback(**TINY, bonus_scale=2.0)
    model.learn(2 * ROUND, callback=[watch, callback])
    added = in_buffer(model, ROUND) - np.concatenate(watch.paid[ROUND // 2 :])
    gain = km(logged(tmp_path)[-1])["km/information_gain"]
    assert added.mean() == pytest.approx(2 * gain, rel=1e-4)


def test_a_bonus_that_would_be_undone_is_refused(tmp_path: Path) -> None:
    trainer = gail(tmp_path, generator=sac(), venv=environments(PENDULUM, 1))
    relabel_rewards(trainer)
    attach(trainer, KanervaCallback(bonus_scale=1.0))
    with pytest.raises(InputError, match="leave out one of it and relabel_rewards"):
        trainer.train(2 * ROUND)


def test_a_bonus_on_whole_number_rewards_is_refused() -> None:
    class WholeRewards(DummyVecEnv):
        def step_wait(self) -> Any:
            obs, rewards, dones, infos = super().step_wait()
            return obs, rewards.astype(int), dones, infos

    model = ppo(WholeRewards([lambda: gym.make("CartPole-v1")]))
    with pytest.raises(InputError, match=r"rewards of type int64.* let it return floats"):
        model.learn(2 * ROUND, callback=KanervaCallback(**TINY, bonus_scale=1.0))


def test_inside_gail(tmp_path: Path) -> None:
    trainer = gail(tmp_path)
    net = trainer._reward_net
    callback = KanervaCallback()
    attach(trainer, callback).train(4 * ROUND)
    assert callback.reward_net is net and net.observes_itself  # again, once training is over
    first, *later = (km(line) for line in logged(tmp_path / "log"))
    assert first.keys() == POLICY_KEYS
    for line in later:
        assert line.keys() == POLICY_KEYS | EXPERT_KEYS
        assert all(math.isfinite(value) for value in line.values())
        assert line["km/logit_expert"] > line["km/logit_policy"]
    assert net.memory_state.policy_pairs == 4 * ROUND
    assert net.memory_state.expert_pairs > 16


def test_a_net_that_is_given_is_the_one_that_is_written(tmp_path: Path) -> None:
    trainer = gail(tmp_path, generator=sac(), venv=environments(PENDULUM, 1))
    net = trainer._reward_net
    attach(trainer, KanervaCallback(net)).train(2 * ROUND)
    assert net.memory_state.policy_pairs == 2 * ROUND
    assert net.observes_itself


def test_after_an_interrupt_the_net_observes_by_itself_again(tmp_path: Path) -> None:
    class Interrupted(BaseCallback):
        def _on_step(self) -> bool:
            raise KeyboardInterrupt

    trainer = gail(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        attach(trainer, KanervaCallback(), Interrupted()).train(ROUND)
    assert trainer._reward_net.observes_itself
    with pytest.raises(KeyboardInterrupt):
        callback = KanervaCallback(trainer._reward_net)
        ppo("CartPole-v1").learn(ROUND, callback=[callback, Interrupted()])
    assert trainer._reward_net.observes_itself


def test_where_it_cannot_be_saved_is_told_before_training(tmp_path: Path) -> None:
    model = ppo("CartPole-v1")
    with pytest.raises(InputError, match="is a folder where a file is to be written"):
        model.learn(ROUND, callback=KanervaCallback(**TINY, save_path=tmp_path))
    assert model.num_timesteps == 0


def test_beside_another_discriminator_it_has_a_memory_of_its_own(tmp_path: Path) -> None:
    venv = environments(CARTPOLE)
    other = BasicRewardNet(venv.observation_space, venv.action_space)
    trainer = gail(tmp_path, venv=venv, reward_net=other)
    callback = KanervaCallback(**TINY)
    attach(trainer, callback).train(2 * ROUND)
    assert callback.reward_net.memory_state.policy_pairs == 2 * TINY["round_pairs"]
    assert km(logged(tmp_path / "log")[-1]).keys() == POLICY_KEYS


def test_the_memory_is_saved_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "memory.safetensors"
    counts = []

    class AtRolloutStart(BaseCallback):
        def _on_rollout_start(self) -> None:
            counts.append(path.exists() and KanervaRewardNet.load(path).memory_state.policy_pairs)

        def _on_step(self) -> bool:
            return True

    callback = KanervaCallback(**TINY, save_path=path, save_every=2 * ROUND)
    ppo().learn(5 * ROUND, callback=[callback, AtRolloutStart()])
    assert counts == [0, 0, 32, 32, 64]
    saved = KanervaRewardNet.load(path)
    assert saved.memory_state == callback.reward_net.memory_state
    assert saved.memory_state.policy_pairs == 80


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"bonus_scale is -1.*at least 0"):
        KanervaCallback(bonus_scale=-1)
    with pytest.raises(InputError, match="a file to save to"):
        KanervaCallback(save_every=10)
    with pytest.raises(InputError, match="no memory yet: start training"):
        _ = KanervaCallback().reward_net
    cartpole = environments("CartPole-v1")
    net = KanervaRewardNet(cartpole.observation_space, cartpole.action_space, **SMALL)
    with pytest.raises(InputError, match="'slots' was given where there is a reward net"):
        KanervaCallback(net, slots=3)
    with pytest.raises(InputError, match="There is no option 'slot'"):
        ppo().learn(ROUND, callback=KanervaCallback(slot=3))
    with pytest.raises(InputError, match=r"where the agent has Box.*build it from the spaces"):
        ppo(PENDULUM).learn(ROUND, callback=KanervaCallback(net))
    with pytest.raises(InputError, match="'slots' was given where there is a reward net"):
        attach(gail(tmp_path), KanervaCallback(slots=3))


def test_with_a_second_trainer_it_writes_into_that_ones_memory(tmp_path: Path) -> None:
    one, other = gail(tmp_path / "one"), gail(tmp_path / "other")
    callback = KanervaCallback()
    attach(one, callback).train(ROUND)
    held = one._reward_net.memory_state.policy_pairs
    attach(other, callback).train(ROUND)
    assert callback.reward_net is other._reward_net
    assert one._reward_net.memory_state.policy_pairs == held
    given = KanervaCallback(one._reward_net)
    attach(other, given)
    assert given.reward_net is one._reward_net


def test_other_places_of_each_round_are_kept_of_an_agent_without_randomness() -> None:
    """Of torch's own, that is: SB3's DQN draws numpy's alone."""
    device, drawn = torch.device("cpu"), []
    before = torch.get_rng_state()
    for steps in (ROUND, 2 * ROUND, ROUND):
        with _own_randomness(device, steps):
            drawn.append(torch.randperm(100))
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(drawn[0], drawn[2]) and not torch.equal(drawn[0], drawn[1])
