"""What an agent does, written into a memory while it learns: SB3's PPO, SAC and the like, or GAIL.

::

    model.learn(100_000, callback=KanervaCallback())
    attach(trainer, KanervaCallback())          # imitation's GAIL or AIRL
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from imitation.policies.replay_buffer_wrapper import ReplayBufferRewardWrapper
from imitation.util.networks import evaluating
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from km_rl.errors import InputError, not_below_zero
from km_rl.files import check_place
from km_rl.rl.attached import TrainerCallback, attach
from km_rl.rl.evidence import POLICY
from km_rl.rl.reward_net import KanervaRewardNet, Surprise
from km_rl.rl.rollout import OFF_POLICY_ROUND, Rollout, Transitions
from km_rl.rl.traps import memory_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import gymnasium as gym
    from imitation.algorithms.adversarial.common import AdversarialTrainer
    from torch import Tensor

__all__ = ["KanervaCallback", "attach"]

EXPERT_SAMPLE = 1024
"""About how many of the expert's pairs the mean logit is taken over."""
OWN_NET: dict[str, Any] = {
    "head": "ratio",
    "channels": "both",
    "scale": "all",
    "noise_var": 0.1,
    "round_pairs": 256,
}
"""Options of a net that the callback builds: its memory holds what was done, not whose it is."""


class KanervaCallback(TrainerCallback):
    """Writes each rollout into a policy memory and logs how surprising it was before that.

    On-policy algorithms write after each rollout, off-policy ones once in each of the trainer's
    rounds, or without a trainer every `OFF_POLICY_ROUND` transitions. Pairs are what the
    environment saw: actions clipped to the space, observations as the agent sees them.

    In a trainer's own `KanervaRewardNet`, given or found by `attach`, this takes the place of what
    the net observes by itself, while training lasts. Elsewhere the callback builds a net that is
    never trained. Without a bonus it does not disturb the agent, whose random numbers stay the
    same.

    ========================  ===================================================================
    ``km/surprise``           -ln p(code | address) of the new pairs under the policy's memory,
                              in nats, before they are written
    ``km/information_gain``   nats that this memory would learn from one of them
    ``km/expert_gain`` *      nats that the expert's memory would; high where it was never seen
    ``km/logit_policy`` *     logit of the new pairs, before they are written
    ``km/logit_expert`` *     logit of the expert's pairs, each as if left out of the memory
    ``km/expert_slots`` *     effective number of slots in use in the expert's memory
    ``km/policy_slots``       the same for the policy's memory, after the write
    ``km/memory_drift``       |R' - R| / |R'| of the policy memory's mean before (R) and after (R')
                              the write, by the same nets; 1 for the first
    ========================  ===================================================================

    The first five are means over pairs; * is logged once an expert is remembered.

    With ``bonus_scale`` the information gain of each pair is added to its reward (curiosity, cf.
    VIME, Houthooft et al. 2016), from the first write on. ``rollout/ep_rew_mean`` is SB3's and
    stays without it.

    Args:
        reward_net: what to write into.
        bonus_scale: reward for a nat of information gain.
        save_path: where the net is saved at the end of training; its folder is made.
        save_every: environment steps after which it is saved too, 0 for never.
        verbose: 1 to tell of each save.
        options: of the net that the callback builds; see `KanervaRewardNet`.

    Raises:
        InputError: arguments that contradict each other; at the start of training, spaces that the
            net is not for, or a bonus beside `relabel_rewards`, which would undo it.
    """

    def __init__(
        self,
        reward_net: KanervaRewardNet | None = None,
        *,
        bonus_scale: float = 0.0,
        save_path: str | Path | None = None,
        save_every: int = 0,
        verbose: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(verbose)
        not_below_zero(bonus_scale=bonus_scale)
        if save_every < 0 or (save_every and save_path is None):
            raise InputError(
                f"save_every is {save_every} and save_path is {save_path}: "
                f"environment steps of at least 0 and a file to save to are expected."
            )
        self.bonus_scale, self.save_every = bonus_scale, save_every
        self.save_path = None if save_path is None else Path(save_path)
        self.options = options
        self._net: KanervaRewardNet | None = None
        self._given = reward_net is not None
        self._unwritten = Rollout()
        self._saved_at = 0
        if reward_net is not None:
            self._use(reward_net)

    @property
    def reward_net(self) -> KanervaRewardNet:
        """What is written into.

        Raises:
            InputError: the callback is to build it, and training has not started.
        """
        if self._net is None:
            raise InputError("The callback has no memory yet: start training, or give it one.")
        return self._net

    def on_attach(self, trainer: AdversarialTrainer) -> None:
        """Find the trainer's memory, if it has one."""
        super().on_attach(trainer)
        found = memory_of(trainer._reward_net)
        if not self._given and found is not None:
            self._use(found)

    def _use(self, net: KanervaRewardNet) -> None:
        if self.options:
            raise InputError(
                f"'{min(self.options)}' was given where there is a reward net already: "
                f"options are for a net that the callback builds; give them to the reward net."
            )
        self._net = net

    def _on_training_start(self) -> None:
        buffer = getattr(self.model, "replay_buffer", None)
        if self.bonus_scale and isinstance(buffer, ReplayBufferRewardWrapper):
            raise InputError(
                f"bonus_scale is {self.bonus_scale} where the replay buffer pays pairs anew when "
                f"they are drawn, so that a bonus would be lost: leave out one of it and "
                f"relabel_rewards."
            )
        spaces = self.model.observation_space, self.model.action_space
        if self._net is None:
            with _own_randomness(self.model.device):
                settings = {**OWN_NET, **self.options}
                self._net = KanervaRewardNet(*spaces, **settings).to(self.model.device).eval()
        _check_space(spaces[0], self._net.observation_space)
        _check_space(spaces[1], self._net.action_space)
        if self.trainer is not None:  # elsewhere nothing but this callback makes it observe
            self._net.observes_itself = False
        if self.save_path is not None:
            check_place(self.save_path)
        self._saved_at = self.num_timesteps

    def _on_step(self) -> bool:
        assert isinstance(self.model._last_obs, np.ndarray)
        seen = self._unwritten.add(self.model._last_obs, self.locals)
        if self.bonus_scale and self.reward_net.discriminator.policy.count:
            self._add_to_rewards(self.bonus_scale * self._score(seen).information_gain)
        return True

    def _on_rollout_end(self) -> None:
        off_policy = isinstance(self.model, OffPolicyAlgorithm)
        if off_policy and self._unwritten.count < self._round_steps:
            return
        self._write()
        if self.save_every and self.num_timesteps - self._saved_at >= self.save_every:
            self._save()

    def _on_training_end(self) -> None:
        self._write()
        self.reward_net.observes_itself = True
        if self.save_path is not None:
            self._save()

    def on_interrupt(self) -> None:
        """Leave the net as it was: without this callback it observes by itself."""
        if self._net is not None:
            self._net.observes_itself = True

    @property
    def _round_steps(self) -> int:
        """Steps that are a round of an off-policy algorithm; never fewer than are kept of it."""
        steps = self.trainer.gen_train_timesteps if self.trainer else OFF_POLICY_ROUND
        return max(steps, self.reward_net.discriminator.options.round_pairs)

    def _score(self, seen: Transitions) -> Surprise:
        net = self.reward_net
        pairs = net.preprocess(seen["obs"], seen["acts"], seen["next_obs"], seen["dones"])
        stats = net.discriminator.stats
        if stats.count:
            return net.surprise(*pairs)
        stats.update(net.rows(*pairs[:3]))  # the first pairs tell their own scale
        told = net.surprise(*pairs)
        stats.count.zero_()  # and count when they are written
        return told

    def _add_to_rewards(self, bonus: Tensor) -> None:
        """In place, before SB3 puts them into its buffer."""
        rewards, normaliser = self.locals["rewards"], self.model.get_vec_normalize_env()
        if normaliser is not None and isinstance(self.model, OffPolicyAlgorithm):
            rewards = normaliser.old_reward  # a replay buffer gets these, not yet normalised
        if not np.issubdtype(rewards.dtype, np.floating):
            raise InputError(
                f"The environment pays rewards of type {rewards.dtype}, to which no bonus can be "
                f"added: let it return floats, or leave bonus_scale at 0."
            )
        rewards += bonus.cpu().numpy().astype(rewards.dtype)

    def _write(self) -> None:
        """Log what the memory says about the new pairs, then write them."""
        if not self._unwritten.count:
            return
        seen = self._unwritten.pop()
        told, before = self._score(seen), self._policy_means()
        with _own_randomness(self.reward_net.device, self.num_timesteps):
            self.reward_net.observe(seen)
        self._record(told, _drift(before, self._policy_means()))

    def _record(self, told: Surprise, drift: float) -> None:
        state, net = self.reward_net.memory_state, self.reward_net.discriminator
        values = {
            "surprise": float(told.surprise.mean()),
            "information_gain": float(told.information_gain.mean()),
            "policy_slots": state.policy_slots,
            "memory_drift": drift,
        }
        if net.expert.count:
            values["logit_expert"] = float(self.reward_net.expert_logits(EXPERT_SAMPLE).mean())
            values["logit_policy"] = float(told.logit.mean())
            values["expert_gain"] = float(told.expert_gain.mean())
            values["expert_slots"] = state.expert_slots
        for name, value in values.items():
            self.logger.record(f"km/{name}", value)

    def _policy_means(self) -> list[Tensor]:
        """R of the policy's memory, for each channel."""
        with torch.no_grad(), evaluating(self.reward_net.discriminator) as net:
            return [memory.mean[POLICY] for memory in net.written().memories]

    def _save(self) -> None:
        assert self.save_path is not None
        self.reward_net.save(self.save_path)
        self._saved_at = self.num_timesteps
        if self.verbose:
            print(f"{self.save_path}: the memory after {self.num_timesteps} steps")


def _check_space(given: gym.Space, known: gym.Space) -> None:
    shapes = [(type(x), x.shape, getattr(x, "n", None)) for x in (given, known)]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"The reward net is for {known} where the agent has {given}: "
            f"build it from the spaces of the environment that the agent learns in."
        )


@contextmanager
def _own_randomness(device: torch.device, steps: int = 0) -> Iterator[None]:
    """Draw random numbers, others after other steps, and leave the agent's as they were.

    An agent that draws none of torch's own, as DQN, has the same stream after all steps.
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        if steps:
            seed = int(torch.randint(2**62, ())) + steps
            torch.default_generator.manual_seed(seed)
            if device.type == "cuda":
                torch.cuda.manual_seed(seed)
        yield


def _drift(before: list[Tensor], after: list[Tensor]) -> float:
    """|R' - R| / |R'|, Frobenius, over all channels together."""
    R, R_new = (torch.cat([x.flatten() for x in means]) for means in (before, after))
    return float((R_new - R).norm() / R_new.norm().clamp(min=1e-12))
