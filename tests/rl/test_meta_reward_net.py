"""A few-shot discriminator as a reward net: what it pays, and what it refuses."""

from __future__ import annotations

import few_shot_tasks
import gymnasium as gym
import numpy as np
import pytest
import tiny_agents
import torch
from few_shot_tasks import ACTION, STATE
from imitation.rewards.reward_wrapper import RewardVecEnvWrapper
from stable_baselines3.common.vec_env import VecNormalize

from km_rl.errors import InputError
from km_rl.rl import FewShotRewardNet, MetaDiscriminator, ObserveRollouts, meta_reward_net
from km_rl.rl.tasks import rows_of

TINY = {"slots": 6, "code": 3, "hidden": 5}
SPACES = (
    gym.spaces.Box(-np.inf, np.inf, (STATE,), np.float32),
    gym.spaces.Box(-9, 9, (ACTION,), np.float32),
)


def _net() -> FewShotRewardNet:
    torch.manual_seed(0)
    return FewShotRewardNet(*SPACES, MetaDiscriminator(STATE, ACTION, **TINY))


def _covs(net: FewShotRewardNet) -> torch.Tensor:
    """U of the expert's memory and the policy's in the first channel."""
    assert isinstance(net.model, MetaDiscriminator)
    return net.model.written().memories[0].cov


def _pairs(n: int, centre: float = 0.0) -> dict[str, np.ndarray]:
    found = few_shot_tasks.drawn(n, centre, torch.Generator().manual_seed(n))
    return {"obs": found.state.numpy(), "acts": found.action.numpy()}


def test_it_pays_the_softplus_of_the_logit() -> None:
    net = _net()
    net.remember(_pairs(20, 1.0))
    net.observe(_pairs(30, -1.0))
    given = _pairs(7)
    none = np.zeros(7, dtype=bool)
    paid = net.reward_fn(given["obs"], given["acts"], given["obs"], none)
    rows = rows_of(few_shot_tasks.drawn(7, 0.0, torch.Generator().manual_seed(7)))
    told = torch.nn.functional.softplus(net.model(rows)).numpy()
    np.testing.assert_allclose(paid, told, rtol=1e-5)
    assert not any(p.requires_grad for p in net.parameters())


def test_what_is_remembered_survives_training_mode_and_can_be_forgotten() -> None:
    net, rows = _net(), torch.randn(100, STATE + ACTION)
    empty = net.model(rows)
    net.remember(_pairs(20, 1.0))
    told = net.model(rows)
    net.train()
    net.eval()
    assert torch.equal(net.model(rows), told) and not torch.allclose(told, empty)
    net.forget(_pairs(20, 1.0))
    torch.testing.assert_close(net.model(rows), empty, atol=1e-5, rtol=1e-4)


def test_an_agent_is_paid_by_it_and_its_rollouts_are_seen() -> None:
    venv = tiny_agents.environments(tiny_agents.PENDULUM)
    spaces = venv.observation_space, venv.action_space
    net = FewShotRewardNet(*spaces, MetaDiscriminator(3, 1, **TINY))
    before = _covs(net).clone()
    learner = tiny_agents.ppo(RewardVecEnvWrapper(venv, net.reward_fn))
    learner.learn(2 * tiny_agents.ROUND, ObserveRollouts(net))
    after = _covs(net)
    assert torch.equal(before[0], after[0]) and not torch.allclose(before[1], after[1])
    net.clear()
    assert torch.equal(_covs(net), before)


def test_what_an_off_policy_agent_does_is_seen_in_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meta_reward_net, "OFF_POLICY_ROUND", 20)
    venv = tiny_agents.environments(tiny_agents.PENDULUM, 1)
    spaces = venv.observation_space, venv.action_space
    net = FewShotRewardNet(*spaces, MetaDiscriminator(3, 1, **TINY))
    seen: list[int] = []
    monkeypatch.setattr(net, "observe", lambda rows: seen.append(len(rows["acts"])))
    learner = tiny_agents.sac(RewardVecEnvWrapper(venv, net.reward_fn))
    with pytest.warns(UserWarning, match=r"call km_rl.rl.relabel_rewards\(model, net.reward_fn\)"):
        learner.learn(50, ObserveRollouts(net))
    assert seen == [20, 20]


def test_short_rollouts_are_seen_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meta_reward_net, "ROUND_PAIRS", 20)
    venv = tiny_agents.environments(tiny_agents.PENDULUM, 2)
    net = FewShotRewardNet(
        venv.observation_space, venv.action_space, MetaDiscriminator(3, 1, **TINY)
    )
    seen: list[int] = []
    monkeypatch.setattr(net, "observe", lambda rows: seen.append(len(rows["acts"])))
    learner = tiny_agents.ppo(RewardVecEnvWrapper(venv, net.reward_fn), n_steps=8)
    learner.learn(80, ObserveRollouts(net))
    assert seen == [32, 32]


def test_spaces_that_do_not_count_from_zero_are_refused() -> None:
    one_based = gym.spaces.Discrete(STATE, start=1)
    with pytest.raises(InputError, match="which counts from 1"):
        FewShotRewardNet(one_based, SPACES[1], MetaDiscriminator(STATE, ACTION, **TINY))


def test_nets_of_one_model_share_no_memory() -> None:
    torch.manual_seed(0)
    model = MetaDiscriminator(STATE, ACTION, **TINY)
    one, other = (FewShotRewardNet(*SPACES, model) for _ in range(2))
    before = _covs(other).clone()
    one.remember(_pairs(20, 1.0))
    assert torch.equal(_covs(other), before) and not torch.allclose(_covs(one), before)
    assert all(p.requires_grad for p in model.parameters())


def test_vec_normalize_is_refused() -> None:
    venv = tiny_agents.environments(tiny_agents.PENDULUM)
    net = FewShotRewardNet(
        venv.observation_space, venv.action_space, MetaDiscriminator(3, 1, **TINY)
    )
    with pytest.raises(InputError, match="wrapped in VecNormalize"):
        tiny_agents.ppo(VecNormalize(venv)).learn(tiny_agents.ROUND, ObserveRollouts(net))


def test_a_discriminator_of_another_environment_is_refused() -> None:
    with pytest.raises(InputError, match=r"trained on 4 entries of a state and 2 of an action"):
        FewShotRewardNet(*SPACES, MetaDiscriminator(4, 2, **TINY))
