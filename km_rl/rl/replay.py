"""What an off-policy generator, such as SAC, is paid for the pairs in its replay buffer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imitation.policies.replay_buffer_wrapper import ReplayBufferRewardWrapper
from stable_baselines3.common.buffers import ReplayBuffer

from km_rl.errors import InputError
from km_rl.rl.sources import in_units

if TYPE_CHECKING:
    from imitation.algorithms.adversarial.common import AdversarialTrainer
    from imitation.rewards.reward_function import RewardFn
    from stable_baselines3.common.base_class import BaseAlgorithm


def keeps_old_rewards(learner: BaseAlgorithm) -> bool:
    """Whether a learner draws from SB3's own replay buffer, which pays pairs as they were seen."""
    return type(getattr(learner, "replay_buffer", None)) is ReplayBuffer


def relabel_rewards(
    trainer: AdversarialTrainer | BaseAlgorithm, reward_fn: RewardFn | None = None
) -> None:
    """Reward an agent's pairs when they are drawn, by the discriminator as it is then.

    SB3's buffer keeps what each pair was worth when it was seen, in GAIL mostly to a discriminator
    of long ago. In its place comes imitation's ``ReplayBufferRewardWrapper``, empty: call this
    before training, and before `resume_training`. It pays for actions in the environment's units,
    where the buffer has them rescaled to [-1, 1].

    Args:
        trainer: imitation's, or an off-policy learner that learns without one.
        reward_fn: what pays; a trainer's is ``trainer.venv_wrapped.reward_fn`` as it is by then.

    Raises:
        InputError: the learner has no such buffer, there are transitions in it, or it is not said
            what pays.
    """
    learner: Any = getattr(trainer, "gen_algo", trainer)
    if reward_fn is None and learner is trainer:
        raise InputError(
            f"relabel_rewards was given a {type(learner).__name__} and nothing that pays: give "
            f"that too, such as net.reward_fn."
        )
    if isinstance(getattr(learner, "replay_buffer", None), ReplayBufferRewardWrapper):
        raise InputError("relabel_rewards was called of this learner before: call it once.")
    if not keeps_old_rewards(learner):
        raise InputError(
            f"{type(learner).__name__} has no plain replay buffer whose rewards grow old: leave "
            f"relabel_rewards out, or take an off-policy learner such as SAC."
        )
    if held := learner.replay_buffer.size():
        raise InputError(
            f"The replay buffer holds {held} transitions that relabel_rewards would throw away: "
            f"call it before training, and before resume_training."
        )
    wrapped: Any = getattr(trainer, "venv_wrapped", None)

    def paid(state: Any, action: Any, next_state: Any, done: Any) -> Any:
        pays = reward_fn or wrapped.reward_fn
        return pays(state, in_units(action, learner.action_space), next_state, done)

    learner.replay_buffer = ReplayBufferRewardWrapper(
        learner.buffer_size,
        learner.observation_space,
        learner.action_space,
        replay_buffer_class=ReplayBuffer,
        reward_fn=paid,
        device=learner.device,
        n_envs=learner.n_envs,
        optimize_memory_usage=learner.optimize_memory_usage,
        **learner.replay_buffer_kwargs,
    )
