"""An off-policy generator is paid by the discriminator of now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_agents import PENDULUM, ROUND, environments, gail, sac

from km_rl.errors import InputError
from km_rl.rl.replay import relabel_rewards

HIGHEST = 2.0
"""Of a pendulum's action; SB3's buffer holds it rescaled to 1."""
SEEN = ("observations", "actions", "next_observations", "dones")


def paid_and_worth(trainer: Any) -> tuple[np.ndarray, np.ndarray]:
    """What drawn pairs are paid, and what they are worth to the discriminator as it is."""
    drawn = trainer.gen_algo.replay_buffer.sample(ROUND)
    obs, acts, next_obs, dones = (getattr(drawn, name).numpy() for name in SEEN)
    worth = trainer.venv_wrapped.reward_fn(obs, HIGHEST * acts, next_obs, dones)
    return drawn.rewards.numpy().ravel(), worth


def test_pairs_are_paid_when_they_are_drawn(tmp_path: Path) -> None:
    trainer = gail(tmp_path, generator=sac(), venv=environments(PENDULUM, 1))
    relabel_rewards(trainer)
    trainer.train(2 * ROUND)
    np.testing.assert_allclose(*paid_and_worth(trainer), rtol=1e-6)


def test_they_are_paid_for_the_actions_that_were_taken(tmp_path: Path) -> None:
    trainer = gail(tmp_path, generator=sac(), venv=environments(PENDULUM, 1))
    relabel_rewards(trainer)
    trainer.venv_wrapped.reward_fn = lambda _, acts, *others: np.abs(acts).max(-1)
    trainer.train(2 * ROUND)
    buffer = trainer.gen_algo.replay_buffer
    taken = trainer._gen_replay_buffer.sample(ROUND).acts
    assert np.abs(taken).max() > 1.2
    paid = buffer.sample(ROUND).rewards.numpy()
    assert paid.max() > 1.2 and paid.max() <= HIGHEST


def test_without_it_they_are_paid_as_they_were_seen(tmp_path: Path) -> None:
    trainer = gail(tmp_path, generator=sac(), venv=environments(PENDULUM, 1))
    trainer.train(2 * ROUND)
    paid, worth = paid_and_worth(trainer)
    assert not np.allclose(paid, worth, rtol=0.01)


def test_the_buffer_keeps_its_settings_and_what_is_in_it_is_not_thrown_away(
    tmp_path: Path,
) -> None:
    own = {"handle_timeout_termination": False}
    agent = sac(optimize_memory_usage=True, replay_buffer_kwargs=own)
    trainer = gail(tmp_path, generator=agent, venv=environments(PENDULUM, 1))
    relabel_rewards(trainer)
    inner = trainer.gen_algo.replay_buffer.replay_buffer
    assert inner.optimize_memory_usage and not inner.handle_timeout_termination
    late = gail(tmp_path / "late", generator=sac(), venv=environments(PENDULUM, 1))
    late.train(ROUND)
    told = r"holds \d+ transitions that relabel_rewards would throw away"
    with pytest.raises(InputError, match=told):
        relabel_rewards(late)


def test_a_generator_that_keeps_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="PPO has no plain replay buffer"):
        relabel_rewards(gail(tmp_path))


def test_it_is_called_once(tmp_path: Path) -> None:
    trainer = gail(tmp_path, generator=sac(), venv=environments(PENDULUM, 1))
    relabel_rewards(trainer)
    with pytest.raises(InputError, match="was called of this learner before"):
        relabel_rewards(trainer)


def test_a_learner_without_a_trainer_is_paid_anew_by_what_is_given() -> None:
    learner: Any = sac()
    worth = [1.0]

    def pays(
        state: np.ndarray, action: np.ndarray, next_state: np.ndarray, done: np.ndarray
    ) -> np.ndarray:
        return np.full(len(state), worth[0])

    with pytest.raises(InputError, match="relabel_rewards was given a SAC and nothing that pays"):
        relabel_rewards(learner)
    relabel_rewards(learner, pays)
    learner.learn(ROUND)
    worth[0] = 2.0
    assert (learner.replay_buffer.sample(4).rewards == 2).all()
