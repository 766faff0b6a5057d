"""Saving and resuming imitation's GAIL and AIRL.

::

    attach(trainer, SaveTraining("run", every=50_000))
    left = 244 * trainer.gen_train_timesteps - resume_training(trainer, "run")  # whole rounds
    if left > 0:
        trainer.train(left)

The folder holds ``training.pt``, from which alone a training is resumed, so one rename is the
whole save, and ``discriminator.safetensors``, the reward net for everyone else.

A training is saved between rounds, after the discriminator's updates, when nothing is half done.
What is restored: reward net, its memories and optimiser, policy and optimisers, an off-policy
algorithm's replay buffer, the transitions that the discriminator learns from, all counters, and
the random streams of torch, numpy and Python. What is not: the state and random streams of the
environment, which begins new episodes (others than at the start, see `km_rl.rl.streams`), the
place in the shuffled demonstrations, running means of episode returns, and callbacks.
Demonstrations are the trainer's own and are not compared with those before: of other ones the
memory holds both, until the old are forgotten by `KanervaRewardNet.forget`.
"""

from __future__ import annotations

import random
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from km_rl.errors import InputError, at_least_one
from km_rl.files import check_place, make_folder
from km_rl.nn.saves import load_state, save_state
from km_rl.nn.weights import fill, save_weights
from km_rl.rl.attached import TrainerCallback
from km_rl.rl.reward_net import KanervaRewardNet
from km_rl.rl.ring import Ring
from km_rl.rl.streams import seed_environments
from km_rl.rl.traps import memory_of

if TYPE_CHECKING:
    from imitation.algorithms.adversarial.common import AdversarialTrainer

TRAINING = "training.pt"
DISCRIMINATOR = "discriminator.safetensors"
OF_TRAINER = ("_global_step", "_disc_step", "_horizon")
OF_GENERATOR = ("num_timesteps", "_episode_num", "_n_updates")
KEYS = (
    "kinds",
    "reward_net",
    "discriminator_optimiser",
    "generator",
    "variables",
    "transitions",
    "replay",
    "of_trainer",
    "of_generator",
    "streams",
)


class SaveTraining(TrainerCallback):
    """Saves the trainer it is attached to at the end of a round, and at the end of training.

    Args:
        folder: made if it does not exist.
        every: environment steps after which the next end of a round is saved.
        verbose: 1 to tell of each save.
    """

    def __init__(self, folder: str | Path, every: int, verbose: int = 0) -> None:
        super().__init__(verbose)
        at_least_one(every=every)
        self.folder, self.every = Path(folder), every
        self._saved_at = 0

    def _on_training_start(self) -> None:
        if self.trainer is None:
            raise InputError(
                "SaveTraining was started outside of imitation's GAIL or AIRL: put it into one by "
                "attach(trainer, ...), or take SB3's CheckpointCallback."
            )
        check_place(self.folder / TRAINING)
        self._saved_at = self.num_timesteps

    def on_round_end(self) -> None:
        """Save if enough steps have passed."""
        if self.num_timesteps - self._saved_at >= self.every:
            self._save()

    def _on_training_end(self) -> None:
        if self.num_timesteps > self._saved_at:
            self._save()

    def _save(self) -> None:
        assert self.trainer is not None
        save_training(self.trainer, self.folder)
        self._saved_at = self.num_timesteps
        if self.verbose:
            print(f"{self.folder}: saved after {self.num_timesteps} steps")


def save_training(trainer: AdversarialTrainer, folder: str | Path) -> None:
    """Write all that `resume_training` needs, between two rounds: the resume point last, so that
    nothing beside it is older.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = Path(folder)
    make_folder(folder)
    net, path = trainer._reward_net, folder / DISCRIMINATOR
    if isinstance(net, KanervaRewardNet):
        net.save(path)
    else:
        save_weights(path, type(net).__name__, {}, net)
    save_state(folder / TRAINING, _state(trainer))


def resume_training(trainer: AdversarialTrainer, folder: str | Path) -> int:
    """Bring a trainer that was built like the saved one to where that one was.

    Returns:
        Environment steps done; 0 if nothing was saved in the folder.

    Raises:
        InputError: the save is not whole, or is one of another trainer: other algorithms, another
            environment, another reward net or options of it, other sizes. The trainer may be half
            resumed then: build it anew.
    """
    path = Path(folder) / TRAINING
    if not path.exists():
        return 0
    saved = load_state(path, KEYS, "an adversarial training")
    for what, kind in _kinds(trainer).items():
        if (before := saved["kinds"].get(what, kind)) != kind:
            raise InputError(
                f"'{path}' was saved with {before} as its {what} where this trainer has {kind}: "
                f"build the trainer as it was, or give another folder."
            )
    fill(trainer._reward_net, saved["reward_net"], path)
    fill(trainer.policy, saved["generator"]["policy"], path)
    try:
        _restore(trainer, saved)
    except (ValueError, LookupError, TypeError, RuntimeError, AttributeError) as error:
        raise InputError(
            f"'{path}' does not fit this trainer ({error}): "
            f"build the trainer as it was, or give another folder."
        ) from error
    return trainer.gen_algo.num_timesteps


def _state(trainer: AdversarialTrainer) -> dict[str, Any]:
    """Everything, as tensors and plain values."""
    generator = trainer.gen_algo
    variables, replay = generator._get_torch_save_params()[1], _replay_buffer(trainer)
    return {
        "kinds": _kinds(trainer),
        "reward_net": trainer._reward_net.state_dict(),
        "discriminator_optimiser": trainer._disc_opt.state_dict(),
        "generator": generator.get_parameters(),
        "variables": {name: getattr(generator, name).detach() for name in variables},
        "transitions": Ring.of_trainer(trainer._gen_replay_buffer).state(),
        "replay": None if replay is None else Ring.of_generator(replay).state(),
        "of_trainer": _counters(trainer, OF_TRAINER),
        "of_generator": _counters(generator, OF_GENERATOR),
        "streams": _streams(),
    }


def _restore(trainer: AdversarialTrainer, saved: dict[str, Any]) -> None:
    generator = trainer.gen_algo
    generator.set_parameters(saved["generator"], device=generator.device)
    with torch.no_grad():
        for name, value in saved["variables"].items():
            getattr(generator, name).copy_(value)
    trainer._disc_opt.load_state_dict(saved["discriminator_optimiser"])
    Ring.of_trainer(trainer._gen_replay_buffer).restore(saved["transitions"])
    if (replay := _replay_buffer(trainer)) is not None:
        Ring.of_generator(replay).restore(saved["replay"])
    for owner, counters in ((trainer, saved["of_trainer"]), (generator, saved["of_generator"])):
        for name, value in counters.items():
            setattr(owner, name, value)
    if trainer.venv_buffering.n_transitions:
        trainer.venv_buffering.pop_trajectories()
    generator._last_obs = None  # SB3 resets the environment where this is missing
    _restore_streams(saved["streams"])
    seed_environments(generator)


def _counters(owner: Any, names: tuple[str, ...]) -> dict[str, int | None]:
    """As plain integers: imitation's horizon is numpy's, which a safe load refuses."""
    values = {name: getattr(owner, name) for name in names}
    return {name: None if value is None else int(value) for name, value in values.items()}


def _kinds(trainer: AdversarialTrainer) -> dict[str, str]:
    """What a trainer is made of, where tensors of equal shapes do not tell."""
    parts = {
        "algorithm": trainer,
        "generator": trainer.gen_algo,
        "reward net": trainer._reward_net,
        "optimiser of the discriminator": trainer._disc_opt,
    }
    kinds = {what: type(part).__name__ for what, part in parts.items()}
    if (memory := memory_of(trainer._reward_net)) is not None:
        told = {name: getattr(memory, name) for name in ("use_next_state", "reward")}
        kinds["options of the memory"] = str({**told, **asdict(memory.discriminator.options)})
    # In processes of their own environments are not asked: what they are need not be picklable.
    spec = getattr(getattr(trainer.venv, "envs", [None])[0], "spec", None)
    return kinds if spec is None else {**kinds, "environment": spec.id}


def _replay_buffer(trainer: AdversarialTrainer) -> Any:
    """Where an off-policy algorithm has its transitions, inside imitation's wrapper or not."""
    buffer = getattr(trainer.gen_algo, "replay_buffer", None)
    return getattr(buffer, "replay_buffer", buffer)


def _streams() -> dict[str, Any]:
    """The random streams of torch, numpy and Python."""
    name, key, *rest = np.random.get_state(legacy=True)
    assert isinstance(key, np.ndarray)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": (name, key.tolist(), *rest),
        "python": random.getstate(),
    }


def _restore_streams(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count() > 0:
        torch.cuda.set_rng_state_all(state["cuda"])
    name, key, *rest = state["numpy"]
    np.random.set_state((name, np.array(key, dtype=np.uint32), *rest))
    random.setstate(state["python"])
