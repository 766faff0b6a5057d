"""SB3's callbacks inside imitation's adversarial trainers: one training, not one a round."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from imitation.algorithms.adversarial.airl import AIRL
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import (
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    EveryNTimesteps,
)
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecNormalize
from tiny_agents import CARTPOLE, PENDULUM, ROUND, environments, gail, logged, ppo, sac

from km_rl.errors import InputError
from km_rl.rl import KanervaCallback, attach, relabel_rewards
from km_rl.rl.attached import Attached, TrainerCallback
from km_rl.rl.reward_net import KanervaRewardNet


class Recorder(TrainerCallback):
    """Writes down what it is told, and asks to stop after so many steps."""

    def __init__(self, stop_after: float = float("inf")) -> None:
        super().__init__()
        self.told: list[str] = []
        self.totals: list[int] = []
        self.disc_steps: list[int] = []
        self.stop_after = stop_after

    def _init_callback(self) -> None:
        self.told.append("init")

    def _on_training_start(self) -> None:
        self.told.append("start")
        self.totals.append(self.locals["total_timesteps"])

    def _on_rollout_end(self) -> None:
        self.told.append("rollout")
        assert self.locals["self"] is self.model

    def on_round_end(self) -> None:
        assert self.trainer is not None
        self.told.append("round")
        self.disc_steps.append(self.trainer._disc_step)

    def _on_training_end(self) -> None:
        self.told.append("end")

    def _on_step(self) -> bool:
        return self.num_timesteps < self.stop_after


ROUNDS = ["rollout", "round"] * 3


def test_a_callback_sees_one_training(tmp_path: Path) -> None:
    recorder = Recorder()
    trainer = gail(tmp_path)
    assert attach(trainer, recorder) is trainer
    trainer.train(3 * ROUND)
    assert recorder.told == ["init", "start", *ROUNDS, "end"]
    assert recorder.totals == [3 * ROUND]
    assert recorder.disc_steps == [2, 4, 6]
    assert recorder.n_calls == 3 * ROUND // 2
    trainer.train(3 * ROUND)
    assert recorder.told == 2 * ["init", "start", *ROUNDS, "end"]
    assert recorder.totals == [3 * ROUND, 6 * ROUND]


def test_the_trainers_own_callback_stays(tmp_path: Path) -> None:
    short: Any = {"venv": environments("CartPole-v1"), "allow_variable_horizon": True}
    attach(gail(tmp_path, **short), Recorder()).train(4 * ROUND)
    assert "mean/gen/rollout/ep_rew_wrapped_mean" in logged(tmp_path / "log")[-1]


@pytest.mark.parametrize("kind", ["AIRL", "ground truth"])
def test_other_trainers(tmp_path: Path, kind: str) -> None:
    settings: Any = {"kind": AIRL} if kind == "AIRL" else {"debug_use_ground_truth": True}
    recorder = Recorder()
    attach(gail(tmp_path, **settings), recorder).train(3 * ROUND)
    assert recorder.told == ["init", "start", *ROUNDS, "end"]


def test_attaching_again_appends(tmp_path: Path) -> None:
    first, second, third = Recorder(), Recorder(), Recorder()
    trainer = attach(attach(gail(tmp_path), first), second)
    trainer.train(3 * ROUND)
    attach(trainer, third).train(3 * ROUND)
    once = ["init", "start", *ROUNDS, "end"]
    assert first.told == second.told == 2 * once
    assert third.told == once


def test_evaluation_on_the_true_return_goes_on_over_rounds(tmp_path: Path) -> None:
    evaluation = EvalCallback(
        Monitor(gym.make("CartPole-v1")),
        eval_freq=ROUND // 2,
        n_eval_episodes=2,
        log_path=str(tmp_path),
        verbose=0,
    )
    trainer = attach(gail(tmp_path), evaluation)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        trainer.train(3 * ROUND)
    saved = np.load(tmp_path / "evaluations.npz")
    assert saved["timesteps"].tolist() == [ROUND, 2 * ROUND, 3 * ROUND]
    np.testing.assert_array_equal(saved["results"], saved["ep_lengths"])  # 1 a step, by CartPole
    assert evaluation.best_mean_reward == saved["results"].mean(1).max()
    means = [line["mean/gen/eval/mean_reward"] for line in logged(tmp_path / "log")]
    np.testing.assert_allclose(means, saved["results"].mean(1))


def test_checkpoints_go_on_over_rounds(tmp_path: Path) -> None:
    checkpoints = CheckpointCallback(ROUND // 2 + 2, str(tmp_path / "policies"))
    attach(gail(tmp_path), checkpoints).train(3 * ROUND)
    names = {path.name for path in (tmp_path / "policies").iterdir()}
    assert names == {"rl_model_36_steps.zip", "rl_model_72_steps.zip"}


def test_a_callback_that_returns_false_ends_the_training_after_its_round(tmp_path: Path) -> None:
    stopping, other, rounds = Recorder(stop_after=ROUND + 6), Recorder(), list[int]()
    trainer = attach(gail(tmp_path), stopping, other)
    trainer.train(9 * ROUND, rounds.append)
    assert trainer.gen_algo.num_timesteps == ROUND + 6
    assert rounds == [0, 1]
    assert trainer._disc_step == 4
    assert other.told == ["init", "start", "rollout", "round", "round", "end"]
    assert len(logged(tmp_path / "log")) == 2
    stopping.stop_after = float("inf")
    trainer.train(2 * ROUND)
    assert trainer.gen_algo.num_timesteps == 3 * ROUND + 6
    assert other.told[-6:] == ["start", "rollout", "round", "rollout", "round", "end"]


def test_a_loop_of_ones_own(tmp_path: Path) -> None:
    recorder = Recorder()
    trainer = attach(gail(tmp_path), recorder)
    attached = trainer.gen_callback
    assert isinstance(attached, Attached)
    for _ in range(3):
        trainer.train_gen()
        trainer.train_disc()
        attached.on_round_end()
    attached.finish()
    assert recorder.told == ["init", "start", *ROUNDS, "end"]


def test_too_few_steps_are_refused_by_imitation_as_ever(tmp_path: Path) -> None:
    recorder = Recorder()
    with pytest.raises(AssertionError, match="No updates"):
        attach(gail(tmp_path), recorder).train(ROUND - 1)
    assert recorder.told == []


def test_what_cannot_be_attached(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"PPO.*GAIL or AIRL is expected"):
        attach(ppo(), Recorder())  # type: ignore[type-var]
    trainer, before = (made := gail(tmp_path)), made.gen_callback
    with pytest.raises(InputError, match="list was to be attached: an SB3 callback is expected"):
        attach(trainer, [Recorder()])  # type: ignore[arg-type]
    assert trainer.gen_callback is before


def test_vec_normalize_is_warned_of(tmp_path: Path) -> None:
    trainer = gail(tmp_path, venv=VecNormalize(environments(CARTPOLE)))
    with pytest.warns(UserWarning, match="but not the demonstrations"):
        attach(trainer, Recorder())


TRAPS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "schedule": (
        lambda folder: gail(folder, generator=ppo(learning_rate=lambda left: 1e-3 * left)),
        "The policy's learning rate follows a schedule.*has the schedule's last value",
    ),
    "clip range": (
        lambda folder: gail(folder, generator=ppo(clip_range=lambda left: 0.2 * left)),
        "The policy's clip range follows a schedule",
    ),
    "exploration": (
        lambda folder: exploring(folder),
        "The policy's exploration rate follows a schedule",
    ),
    "rewards of long ago": (
        lambda folder: gail(folder, generator=sac(), venv=environments(PENDULUM, 1)),
        r"call km_rl.rl.relabel_rewards\(trainer\) before training",
    ),
    "buffer": (
        lambda folder: gail(folder, gen_train_timesteps=4 * ROUND, gen_replay_buffer_capacity=32),
        r"the last 32 steps where a round has 128",
    ),
    "airl": (lambda folder: gail(folder, kind=AIRL), "build KanervaRewardNet.*conditional"),
    "reward": (
        lambda folder: gail(folder, reward_net=memory(reward="logit")),
        r"was told logit: set trainer.venv_wrapped.reward_fn",
    ),
    "airl's reward": (
        lambda folder: gail(
            folder, kind=AIRL, reward_net=memory(head="conditional", reward="conformal")
        ),
        "AIRL pays what its net says, so that to have told the memory conformal changes nothing",
    ),
}


def exploring(folder: Path) -> Any:
    agent = DQN("MlpPolicy", environments(CARTPOLE, 1), buffer_size=100, device="cpu")
    trainer = gail(folder, generator=agent)
    relabel_rewards(trainer)
    return trainer


def memory(**options: Any) -> KanervaRewardNet:
    venv = environments(CARTPOLE)
    return KanervaRewardNet(venv.observation_space, venv.action_space, **options)


@pytest.mark.parametrize("trap", TRAPS)
def test_what_imitation_does_not_tell_is_warned_of(trap: str, tmp_path: Path) -> None:
    make, sentence = TRAPS[trap]
    trainer = make(tmp_path)
    with pytest.warns(UserWarning, match=sentence) as told:
        attach(trainer)
    # but for files that earlier tests left open, which Python tells of whenever it collects
    assert len([w for w in told if not issubclass(w.category, ResourceWarning)]) == 1


def test_a_trainer_in_no_trap_is_not_warned_of(tmp_path: Path) -> None:
    first, paid = gail(tmp_path / "a"), gail(tmp_path / "b", reward_net=memory(reward="logit"))
    paid.venv_wrapped.reward_fn = paid._reward_net.reward_fn
    airl = gail(tmp_path / "c", kind=AIRL, reward_net=memory(head="conditional"))
    anew = gail(tmp_path / "d", generator=sac(), venv=environments(PENDULUM, 1))
    relabel_rewards(anew)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for trainer in (first, paid, airl, anew):
            attach(trainer)


def test_callbacks_that_were_put_in_by_hand_stay(tmp_path: Path) -> None:
    trainer, mine, second = gail(tmp_path), Recorder(), Recorder()
    trainer.gen_callback = [trainer.gen_callback, mine]
    attach(trainer, second).train(3 * ROUND)
    assert mine.told == second.told == ["init", "start", *ROUNDS, "end"]


def test_those_in_a_list_are_told_of_the_trainer_and_in_an_event_refused(tmp_path: Path) -> None:
    trainer, callback = gail(tmp_path), KanervaCallback()
    attach(trainer, CallbackList([CallbackList([callback])]))
    assert callback.reward_net is trainer._reward_net
    event = EveryNTimesteps(10, EveryNTimesteps(5, KanervaCallback()))
    with pytest.raises(InputError, match="KanervaCallback inside a EveryNTimesteps"):
        attach(trainer, event)
