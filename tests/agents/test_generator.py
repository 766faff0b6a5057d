"""The presets are found by any form of an environment's name, and make a learner."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.generator import PPO_SETTINGS, PpoSettings, ppo, ppo_settings, sac
from envs.make import make_vec


@pytest.mark.parametrize("name", ["CartPole", "CartPole-v1", "seals/CartPole-v0"])
def test_a_preset_is_found_by_name_and_by_id(name: str) -> None:
    assert ppo_settings(name) is PPO_SETTINGS["CartPole"]


def test_others_take_the_defaults_of_mujoco() -> None:
    assert ppo_settings("HalfCheetah-v4") == ppo_settings("Anything") == PpoSettings()


def test_the_learner_normalises_what_it_sees_inside_its_net() -> None:
    learner = ppo(make_vec("Pendulum", 2, 0), 0, PpoSettings(n_envs=2, n_steps=16, batch_size=16))
    before = [x.clone() for x in learner.policy.features_extractor.buffers()]
    learner.learn(32)
    after = list(learner.policy.features_extractor.buffers())
    assert any((x != y).any() for x, y in zip(before, after, strict=True))


def test_a_learner_is_as_its_settings_say() -> None:
    settings = PpoSettings(n_envs=1, n_steps=16, width=7, log_std_init=-2.0, target_kl=0.5)
    learner = ppo(make_vec("Pendulum", 1, 0), 0, settings)
    assert learner.policy.log_std.tolist() == [-2.0] and learner.target_kl == 0.5
    nets = learner.policy.mlp_extractor
    widths = [x.out_features for x in (*nets.policy_net, *nets.value_net) if hasattr(x, "bias")]
    assert widths == [7] * 4


@pytest.mark.parametrize("learner", [ppo, sac])
def test_neighbouring_seeds_have_no_environment_in_common(learner: Any) -> None:
    """SB3's own do: environment 1 of one is environment 0 of the next."""
    starts = []
    for seed in (0, 0, 1, 2):
        made = learner(make_vec("Pendulum", 4, seed), seed)
        starts.append(made.env.reset())
    np.testing.assert_array_equal(starts[0], starts[1])
    assert len(np.unique(np.concatenate(starts[1:]), axis=0)) == 3 * 4


def test_sac_takes_changes() -> None:
    learner = sac(make_vec("Pendulum", 2, 0), 0, buffer_size=100, learning_starts=7)
    assert learner.learning_starts == 7 and learner.batch_size == 256
