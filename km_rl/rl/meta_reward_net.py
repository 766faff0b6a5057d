"""A discriminator that was trained on many experts, as imitation's reward net for a new one.

    net = FewShotRewardNet(venv.observation_space, venv.action_space, model)
    net.remember(demonstrations)
    net.observe(random_transitions)                       # what is not the expert
    venv = RewardVecEnvWrapper(venv, net.reward_fn)       # imitation's
    PPO("MlpPolicy", venv).learn(100_000)

Nothing in it is trained any more, so there is no adversarial trainer. So it is a reward that stays
as it is, for a model that was trained with mixup (`km_rl.rl.MetaRecipe`); with
``learn(..., callback=ObserveRollouts(net))`` what the agent does is written, too, and the reward
follows it.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from imitation.rewards.reward_nets import RewardNet
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from torch import Tensor
from torch.nn.functional import softplus

from km_rl.errors import InputError
from km_rl.rl.episodes import Pairs
from km_rl.rl.few_shot import ROUND_PAIRS, FewShot
from km_rl.rl.replay import keeps_old_rewards
from km_rl.rl.rollout import OFF_POLICY_ROUND, Rollout
from km_rl.rl.sources import check_start, pairs


class FewShotRewardNet(RewardNet):
    """The logit of pairs, high for the expert that is remembered.

    Args:
        model: trained. A copy of it is taken, whose parameters are frozen, so that nets of several
            experts share no memory.

    Attributes:
        model: that copy.

    Raises:
        InputError: the model was trained on states or actions of other widths.
    """

    def __init__(
        self, observation_space: gym.Space, action_space: gym.Space, model: FewShot
    ) -> None:
        super().__init__(observation_space, action_space)
        for space in (observation_space, action_space):
            check_start(space)
        widths = gym.spaces.flatdim(observation_space), gym.spaces.flatdim(action_space)
        if widths != (model.state, model.rest):
            raise InputError(
                f"The discriminator was trained on {model.state} entries of a state and "
                f"{model.rest} of an action where the environment has {widths[0]} and "
                f"{widths[1]}: give one that was trained on experts of this environment."
            )
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.eval()

    def forward(self, state: Tensor, action: Tensor, next_state: Tensor, done: Tensor) -> Tensor:
        """The logits of N pairs: (N,)."""
        return self.model(torch.cat([state.flatten(1), action.flatten(1)], -1).float())

    def remember(self, demonstrations: Any) -> None:
        """Take in pairs of an expert; errors as `km_rl.rl.sources.pairs`."""
        self.model.remember(self._pairs(demonstrations))

    def forget(self, demonstrations: Any) -> None:
        """Take pairs that were remembered out again, as if they had never been there."""
        self.model.forget(self._pairs(demonstrations))

    def clear(self) -> None:
        """Know no expert and no policy, as before the first `remember`."""
        self.model.clear()

    def observe(self, transitions: Any) -> None:
        """Take in what a policy did in a round; errors as `remember`."""
        self.model.observe(self._pairs(transitions))

    def reward_fn(
        self, state: np.ndarray, action: np.ndarray, next_state: np.ndarray, done: np.ndarray
    ) -> np.ndarray:
        """softplus(logit), the reward of imitation's GAIL: (N,)."""
        return softplus(self.predict_th(state, action, next_state, done)).cpu().numpy()

    def _pairs(self, source: Any) -> Pairs:
        return pairs(source, self.observation_space, self.action_space)


class ObserveRollouts(BaseCallback):
    """Shows what an agent does to a `FewShotRewardNet`: each rollout of an on-policy algorithm, or
    as many short ones as have `ROUND_PAIRS` pairs, of an off-policy one every `OFF_POLICY_ROUND`.

    Warns where an off-policy one would learn from rewards of long ago.

    Raises:
        InputError: at the start of training, an environment in VecNormalize.
    """

    def __init__(self, net: FewShotRewardNet) -> None:
        super().__init__()
        self.net, self._unseen = net, Rollout()

    def _on_training_start(self) -> None:
        if self.model.get_vec_normalize_env() is not None:
            raise InputError(
                "The agent's environment is wrapped in VecNormalize, so that it acts on other "
                "observations than the expert's: leave it out, and normalise inside the policy, "
                "for instance by imitation's NormalizeFeaturesExtractor."
            )
        if keeps_old_rewards(self.model):
            warnings.warn(
                "The agent's replay buffer keeps what pairs were worth before the net had seen "
                "later ones: call km_rl.rl.relabel_rewards(model, net.reward_fn) before it "
                "learns.",
                UserWarning,
                stacklevel=2,
            )

    def _on_step(self) -> bool:
        assert isinstance(self.model._last_obs, np.ndarray)
        self._unseen.add(self.model._last_obs, self.locals)
        return True

    def _on_rollout_end(self) -> None:
        off_policy = isinstance(self.model, OffPolicyAlgorithm)
        if self._unseen.count >= (OFF_POLICY_ROUND if off_policy else ROUND_PAIRS):
            self.net.observe(self._unseen.pop())
