"""What goes wrong in imitation's trainers without a word, as warnings when callbacks are attached.

Seen in imitation 1.0.1; each warning says what to do.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from km_rl.rl.replay import keeps_old_rewards
from km_rl.rl.reward_net import KanervaRewardNet

if TYPE_CHECKING:
    from imitation.algorithms.adversarial.common import AdversarialTrainer
    from torch import nn

SCHEDULES = {
    "lr_schedule": "learning rate",
    "clip_range": "clip range",
    "clip_range_vf": "clip range of values",
    "exploration_schedule": "exploration rate",
}
"""Attributes of SB3's algorithms that are functions of how much of a training is left."""


def warn_of_traps(trainer: AdversarialTrainer) -> None:
    """Warn of every one that this trainer is in."""
    for sentence in _traps(trainer):
        warnings.warn(sentence, UserWarning, stacklevel=3)


def memory_of(net: nn.Module | None) -> KanervaRewardNet | None:
    """The memory inside a reward net and its wrappers, if there is one."""
    while net is not None and not isinstance(net, KanervaRewardNet):
        net = getattr(net, "base", None)
    return net


def _traps(trainer: AdversarialTrainer) -> Iterator[str]:
    from imitation.algorithms.adversarial.airl import AIRL

    learner, net = trainer.gen_algo, memory_of(trainer._reward_net)
    if learner.get_vec_normalize_env() is not None:
        yield (
            "The trainer's environment is wrapped in VecNormalize, which normalises what the "
            "policy sees but not the demonstrations, and SB3's EvalCallback fails beneath "
            "imitation's wrappers: leave it out, and normalise inside the nets."
        )
    for name, what in SCHEDULES.items():
        schedule = getattr(learner, name, None)
        if callable(schedule) and schedule(1.0) != schedule(0.0):
            yield (
                f"The policy's {what} follows a schedule, but each round is a training of its own "
                f"to SB3, so that from the second on it has the schedule's last value: "
                f"give a constant, or set gen_algo.{name} between rounds."
            )
    if keeps_old_rewards(learner):
        yield (
            "The generator's replay buffer keeps what pairs were worth to discriminators of long "
            "ago: call km_rl.rl.relabel_rewards(trainer) before training."
        )
    capacity = trainer._gen_replay_buffer.capacity
    if capacity < max(trainer.gen_train_timesteps, trainer.demo_batch_size):
        yield (
            f"The discriminator's batches of {trainer.demo_batch_size} are drawn from the last "
            f"{capacity} steps where a round has {trainer.gen_train_timesteps}: give the trainer "
            f"larger rounds, such as gen_train_timesteps=4096, and as large a "
            f"gen_replay_buffer_capacity."
        )
    if net is None:
        return
    if isinstance(trainer, AIRL):
        if net.discriminator.labelled:
            yield (
                "AIRL's net is a part of the logit, and the memory's usual head is a logit "
                "already: build KanervaRewardNet(..., head='conditional'), or take GAIL."
            )
        if net.reward != "softplus":
            yield (
                f"AIRL pays what its net says, so that to have told the memory {net.reward} "
                f"changes nothing: leave it out, or take GAIL."
            )
    elif net.reward != "softplus" and not _paid_by(trainer.venv_wrapped, net):
        yield (
            f"GAIL pays softplus of the logit where the memory was told {net.reward}: set "
            f"trainer.venv_wrapped.reward_fn = net.reward_fn."
        )


def _paid_by(wrapped: Any, net: KanervaRewardNet) -> bool:
    return getattr(wrapped, "reward_fn", None) == net.reward_fn
