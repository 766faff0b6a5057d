"""Adversarial training, saved between rounds and resumed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from imitation.algorithms.adversarial.airl import AIRL
from imitation.rewards.reward_nets import BasicRewardNet
from safetensors.torch import load_file
from stable_baselines3.common.callbacks import BaseCallback
from tiny_agents import CARTPOLE, PENDULUM, ROUND, SMALL, environments, gail, ppo, sac

from km_rl.errors import InputError
from km_rl.rl import KanervaCallback, KanervaRewardNet, attach
from km_rl.rl.replay import relabel_rewards
from km_rl.rl.resume import TRAINING, SaveTraining, resume_training, save_training
from km_rl.rl.ring import Ring


def off_policy(folder: Path, **settings: Any) -> Any:
    return gail(folder, generator=sac(**settings), venv=environments(PENDULUM, 1))


def paid_anew(folder: Path) -> Any:
    trainer = off_policy(folder)
    relabel_rewards(trainer)
    return trainer


def trained(folder: Path, rounds: int = 2, make: Any = gail, **settings: Any) -> Any:
    trainer = make(folder, **settings)
    trainer.train(rounds * ROUND)
    return trainer


def everything(trainer: Any) -> dict[str, Any]:
    """What decides how the training goes on, but for the environment."""
    buffer, replay = trainer._gen_replay_buffer._buffer, trainer.gen_algo
    rings = [Ring.of_trainer(trainer._gen_replay_buffer)]
    if getattr(replay, "replay_buffer", None) is not None:
        inner = getattr(replay.replay_buffer, "replay_buffer", replay.replay_buffer)
        rings.append(Ring.of_generator(inner))
    optimisers = {k: v for k, v in trainer.gen_algo.get_parameters().items() if k != "policy"}
    return {
        "net": trainer._reward_net.state_dict(),
        "disc_opt": trainer._disc_opt.state_dict()["state"],
        "policy": trainer.policy.state_dict(),
        "optimisers": [o["state"] for o in optimisers.values()],
        "rings": [
            (ring.count, ring.next, {k: v[: ring.count] for k, v in ring.arrays.items()})
            for ring in rings
        ],
        "log_ent_coef": getattr(trainer.gen_algo, "log_ent_coef", None),
        "counters": (
            trainer._global_step,
            trainer._disc_step,
            trainer._horizon,
            trainer.gen_algo.num_timesteps,
            trainer.gen_algo._n_updates,
            buffer.size(),
        ),
    }


def assert_same(a: Any, b: Any) -> None:
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        a, b = list(a.values()), list(b.values())
    if isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, (torch.Tensor, np.ndarray)):
        np.testing.assert_array_equal(
            np.asarray(torch.as_tensor(a).detach()), np.asarray(torch.as_tensor(b).detach())
        )
    else:
        assert a == b


@pytest.mark.parametrize("make", [gail, off_policy, paid_anew])
def test_all_is_as_it_was(tmp_path: Path, make: Any) -> None:
    trainer = trained(tmp_path / "a", make=make)
    save_training(trainer, tmp_path / "run")
    drawn = (torch.rand(2), np.random.rand(2), random.random())
    again = make(tmp_path / "b")
    assert resume_training(again, tmp_path / "run") == 2 * ROUND
    assert_same(everything(again), everything(trainer))
    assert_same((torch.rand(2), np.random.rand(2), random.random()), drawn)


@pytest.mark.parametrize("make", [gail, off_policy, paid_anew])
def test_it_goes_on_from_there_the_same_way_each_time(tmp_path: Path, make: Any) -> None:
    save_training(trained(tmp_path / "a", make=make), tmp_path / "run")
    ends = []
    for name in "bc":
        trainer = make(tmp_path / name)
        resume_training(trainer, tmp_path / "run")
        trainer.train(2 * ROUND)
        assert trainer.gen_algo.num_timesteps == 4 * ROUND
        assert trainer._global_step == 4 and trainer._disc_step == 8
        ends.append(everything(trainer))
    assert_same(*ends)


@pytest.mark.parametrize("seed", [0, None])
def test_it_does_not_begin_with_the_episodes_it_began_with(
    tmp_path: Path, seed: int | None
) -> None:
    """Not even where the environments alone were seeded, and not the algorithm."""
    save_training(trained(tmp_path / "a"), tmp_path / "run")
    starts = [gail(tmp_path / "b").gen_algo.env.reset()]
    for name in "cd":
        trainer = gail(tmp_path / name)
        trainer.gen_algo.seed = seed
        resume_training(trainer, tmp_path / "run")
        starts.append(trainer.gen_algo.env.reset())
    np.testing.assert_array_equal(starts[1], starts[2])
    assert not (starts[0] == starts[1]).any()


def test_the_logit_is_as_it_was(tmp_path: Path) -> None:
    trainer = trained(tmp_path / "a")
    save_training(trainer, tmp_path / "run")
    again = gail(tmp_path / "b")
    steps = Ring.of_trainer(trainer._gen_replay_buffer).arrays
    batch = [steps[name] for name in ("obs", "acts", "next_obs", "dones")]
    before = again.reward_train.predict(*batch)
    resume_training(again, tmp_path / "run")
    wanted = trainer.reward_train.predict(*batch)
    np.testing.assert_array_equal(again.reward_train.predict(*batch), wanted)
    assert not np.allclose(before, wanted)
    exported = KanervaRewardNet.load(tmp_path / "run" / "discriminator.safetensors")
    np.testing.assert_allclose(
        exported.predict(*batch), trainer._reward_net.predict(*batch), atol=1e-6
    )


def test_any_reward_net_and_airl(tmp_path: Path) -> None:
    def make(folder: Path) -> Any:
        venv = environments(CARTPOLE)
        net = BasicRewardNet(venv.observation_space, venv.action_space)
        return gail(folder, kind=AIRL, venv=venv, reward_net=net)

    trainer = trained(tmp_path / "a", make=make)
    save_training(trainer, tmp_path / "run")
    again = make(tmp_path / "b")
    resume_training(again, tmp_path / "run")
    assert_same(everything(again), everything(trainer))
    exported = load_file(tmp_path / "run" / "discriminator.safetensors")
    state = trainer._reward_net.state_dict()
    assert_same({name: exported[name] for name in state}, dict(state))


def test_a_callback_saves_at_the_end_of_rounds(tmp_path: Path) -> None:
    found: list[int] = []

    class Look(BaseCallback):
        def _on_rollout_start(self) -> None:
            path = tmp_path / "run" / "training.pt"
            saved = path.exists() and torch.load(path, weights_only=True)
            found.append(saved["of_trainer"]["_disc_step"] if saved else 0)

        def _on_step(self) -> bool:
            return True

    saving = SaveTraining(tmp_path / "run", every=2 * ROUND)
    trainer = attach(gail(tmp_path), KanervaCallback(), saving, Look())
    trainer.train(5 * ROUND)
    assert found == [0, 0, 4, 4, 8]
    again = attach(gail(tmp_path / "b"), KanervaCallback(), saving)
    assert resume_training(again, tmp_path / "run") == 5 * ROUND
    assert_same(everything(again), everything(trainer))
    again.train(ROUND)
    assert resume_training(gail(tmp_path / "c"), tmp_path / "run") == 6 * ROUND


def test_a_folder_without_a_save_is_a_start(tmp_path: Path) -> None:
    trainer = gail(tmp_path / "a")
    assert resume_training(trainer, tmp_path / "none") == 0
    assert trainer.gen_algo.num_timesteps == 0


def test_an_interrupted_round_can_be_resumed_in_the_same_process(tmp_path: Path) -> None:
    class Interrupted(BaseCallback):
        def _on_step(self) -> bool:
            if self.num_timesteps == 2 * ROUND + 6 and not again:
                raise KeyboardInterrupt
            return True

    again = False
    trainer = attach(gail(tmp_path), SaveTraining(tmp_path / "run", every=1), Interrupted())
    with pytest.raises(KeyboardInterrupt):
        trainer.train(3 * ROUND)
    again = True
    assert resume_training(trainer, tmp_path / "run") == 2 * ROUND
    assert trainer._disc_step == 4
    trainer.train(ROUND)
    steps = [len(env._obs) - 1 for env in trainer.venv.envs]
    assert steps == [ROUND // 2, ROUND // 2]  # of new episodes
    assert resume_training(gail(tmp_path / "b"), tmp_path / "run") == 3 * ROUND


@pytest.mark.parametrize("broken", ["cut off", "empty", "another pickle"])
def test_a_broken_save_is_refused(tmp_path: Path, broken: str) -> None:
    trainer = trained(tmp_path, 1)
    save_training(trainer, tmp_path)
    path = tmp_path / "training.pt"
    if broken == "another pickle":
        torch.save({"kinds": KanervaCallback}, path)
    else:
        path.write_bytes(path.read_bytes()[: 0 if broken == "empty" else -1000])
    before = everything(trainer)
    with pytest.raises(InputError, match="not a whole save of an adversarial training"):
        resume_training(trainer, tmp_path)
    assert_same(everything(trainer), before)


OTHERS = {
    "AIRL as its algorithm": lambda folder: gail(folder, kind=AIRL),
    "SAC as its generator": off_policy,
    "SGD as its optimiser": lambda folder: gail(
        folder, disc_opt_cls=torch.optim.SGD, disc_opt_kwargs={"lr": 0.1}
    ),
}


@pytest.mark.parametrize("saved", OTHERS)
def test_another_kind_of_trainer_is_refused(tmp_path: Path, saved: str) -> None:
    save_training(trained(tmp_path / "a", 1, OTHERS[saved]), tmp_path / "run")
    with pytest.raises(InputError, match=f"saved with {saved}.*build the trainer as it was"):
        resume_training(gail(tmp_path / "b"), tmp_path / "run")


def test_equal_shapes_are_not_enough(tmp_path: Path) -> None:
    save_training(trained(tmp_path / "a", 1), tmp_path / "run")
    venv = environments(CARTPOLE)
    spaces = venv.observation_space, venv.action_space
    bold = KanervaRewardNet(*spaces, **{**SMALL, "bound": 3.0})
    with pytest.raises(InputError, match="as its options of the memory where"):
        resume_training(gail(tmp_path / "b", reward_net=bold), tmp_path / "run")
    other = gail(tmp_path / "c", venv=environments("CartPole-v1"))
    with pytest.raises(InputError, match="saved with seals/CartPole-v0 as its environment where"):
        resume_training(other, tmp_path / "run")


def test_other_sizes_are_refused(tmp_path: Path) -> None:
    save_training(trained(tmp_path / "a", 1), tmp_path / "run")
    venv = environments(CARTPOLE)
    wide = KanervaRewardNet(venv.observation_space, venv.action_space, **{**SMALL, "slots": 9})
    with pytest.raises(InputError, match=r"'slots': 8.*where this trainer has .*'slots': 9"):
        resume_training(gail(tmp_path / "b", reward_net=wide), tmp_path / "run")
    deep = ppo(venv, policy_kwargs={"net_arch": [8]})
    with pytest.raises(InputError, match=r"where this model has"):
        resume_training(gail(tmp_path / "c", generator=deep, venv=venv), tmp_path / "run")
    with pytest.raises(InputError, match="a buffer of 32 rows where it has 40"):
        resume_training(gail(tmp_path / "d", gen_replay_buffer_capacity=40), tmp_path / "run")


def test_what_cannot_be_written_leaves_the_old_save(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    trainer = trained(tmp_path, 1)
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(InputError, match="cannot be made"):
            save_training(trainer, folder)


def test_where_it_cannot_be_saved_is_told_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    trainer = attach(gail(tmp_path), SaveTraining(tmp_path / "file", every=10**6))
    with pytest.raises(InputError, match=r"'.*file' cannot be made"):
        trainer.train(ROUND)
    assert trainer.gen_algo.num_timesteps == 0


def test_a_save_of_something_else_is_not_called_broken(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(1)}, tmp_path / "training.pt")
    with pytest.raises(InputError, match=r"something else than an adversarial training \('kinds'"):
        resume_training(gail(tmp_path), tmp_path)
    torch.save(torch.zeros(1), tmp_path / "training.pt")
    with pytest.raises(InputError, match=r"\('kinds' is not in it\): give another folder"):
        resume_training(gail(tmp_path), tmp_path)


def test_a_callback_outside_a_trainer_is_refused() -> None:
    with pytest.raises(InputError, match=r"put it into one by attach"):
        ppo().learn(ROUND, callback=SaveTraining("run", every=1))
    with pytest.raises(InputError, match="every is 0"):
        SaveTraining("run", every=0)


def test_the_resume_point_is_never_newer_than_the_discriminator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trained(tmp_path / "logs")
    save_training(trainer, tmp_path / "kept")
    before = (tmp_path / "kept" / TRAINING).read_bytes()
    trainer.train(ROUND)

    def full(*_: object) -> None:
        raise InputError("The disk is full.")

    monkeypatch.setattr(KanervaRewardNet, "save", full)
    monkeypatch.setattr("km_rl.rl.resume.save_weights", full)
    with pytest.raises(InputError, match="full"):
        save_training(trainer, tmp_path / "kept")
    assert (tmp_path / "kept" / TRAINING).read_bytes() == before
