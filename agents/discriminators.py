"""What the memory is compared to: discriminators that imitation's GAIL takes in its place."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import torch
from imitation.rewards.reward_nets import BasicRewardNet, RewardNet
from imitation.util.networks import RunningNorm
from torch import Tensor, nn
from torch.nn.functional import softplus

from km_rl.nn.mlp import mlp
from km_rl.rl.pair_buffer import PairBuffer
from km_rl.rl.stats import RunningStats

HIDDEN = 100


class ExpertNorm(RunningNorm):
    """Normalises by the statistics of a training batch's first half, which is the expert's."""

    def update_stats(self, batch: Tensor) -> None:
        """Take in the expert's half."""
        super().update_stats(batch[: len(batch) // 2])


def perceptron(
    observation_space: gym.Space,
    action_space: gym.Space,
    dropout: float = 0.0,
    expert_scale: bool = False,
    width: int = HIDDEN,
) -> RewardNet:
    """imitation's own net at the recipe that works.

    With dropout and the expert's scale it is the strongest classical rival that was found.

    Two layers of this ``width`` on normalised pairs; ``dropout`` after each (Orsini et al. 2021
    found it as good as a gradient penalty).
    """
    return BasicRewardNet(
        observation_space,
        action_space,
        hid_sizes=(width, width),
        normalize_input_layer=ExpertNorm if expert_scale else RunningNorm,
        dropout_prob=dropout,
    )


class PairNet(RewardNet):
    """Reward nets that see a normalised pair (s, a).

    Attributes:
        expert_scale: normalise by the expert's statistics, not by those of all pairs.
    """

    expert_scale = False

    def __init__(self, observation_space: gym.Space, action_space: gym.Space) -> None:
        super().__init__(observation_space, action_space)
        self.width = gym.spaces.flatdim(observation_space) + gym.spaces.flatdim(action_space)
        self.stats = RunningStats(self.width)

    def forward(self, state: Tensor, action: Tensor, next_state: Tensor, done: Tensor) -> Tensor:
        """The logits of N pairs, high for the expert: (N,)."""
        pairs = torch.cat([state.flatten(1), action.flatten(1)], -1).float()
        if self.training:
            self.stats.update(pairs[: len(pairs) // 2] if self.expert_scale else pairs)
        return self.logits_expert_is_high(pairs)

    def logits_expert_is_high(self, pairs: Tensor) -> Tensor:
        """Pairs (N, D) -> logits (N,)."""
        raise NotImplementedError


class Bottleneck(PairNet):
    r"""The variational discriminator bottleneck, VAIL (Peng et al. 2019).

    The logit sees the pair through :math:`z \sim \mathcal N(\mu(x), \mathrm{diag}(\sigma^2(x)))`
    only, and training adds :math:`\beta\,(\mathrm E\,\mathrm{KL}(q(z|x) \,\|\, \mathcal N(0, I))
    - I_c)` to the loss; :math:`\beta \ge 0` grows while the constraint is broken (eqs. 9-11).

    Args:
        information: :math:`I_c`, nats that z may tell of a pair.
        code: entries of z.
        step: by how much beta moves for each nat of excess in an update.
    """

    def __init__(
        self,
        observation_space: gym.Space,
        action_space: gym.Space,
        information: float = 0.5,
        code: int = 16,
        step: float = 1e-3,
    ) -> None:
        super().__init__(observation_space, action_space)
        self.information, self.step = information, step
        self.encoder = mlp(self.width, HIDDEN, 2 * code)
        self.decoder = nn.Linear(code, 1)
        self.beta: Tensor
        self.register_buffer("beta", torch.tensor(0.1))

    def logits_expert_is_high(self, pairs: Tensor) -> Tensor:
        """Pairs (N, D) -> logits (N,), of a draw of z in training and of its mean otherwise."""
        mean, raw = self.encoder(self.stats(pairs)).chunk(2, -1)
        if not self.training:
            return self.decoder(mean)[:, 0]
        std = softplus(raw)
        kl = 0.5 * (mean.square() + std.square() - 1 - 2 * std.log()).sum(-1).mean()
        logits = self.decoder(mean + std * torch.randn_like(std))[:, 0]
        penalised = AddToLoss.apply(logits, self.beta.clone() * (kl - self.information))
        with torch.no_grad():
            self.beta += self.step * (kl - self.information)
            self.beta.clamp_(min=0)
        return penalised


class AddToLoss(torch.autograd.Function):
    """Pass x on, and add ``extra`` to whatever loss is made of it: imitation's is out of reach."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, extra: Tensor) -> Tensor:
        """x, unchanged."""
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient of the loss in x, and 1 in what was added to it."""
        return grads[0], torch.ones((), device=grads[0].device)


class Nearest(PairNet):
    r"""The distance to the nearest expert pair, without a net: logit = a (1 - d / tau) + b.

    tau is the median distance between an expert pair and its nearest other one. a > 0 and b are
    calibrated by the discriminator's loss, which cannot change which of two pairs looks more like
    the expert. A pair of the expert's is measured to its nearest other.

    Args:
        capacity: expert pairs that are remembered.
    """

    SAMPLE = 512  # expert pairs that tau is taken over

    def __init__(
        self, observation_space: gym.Space, action_space: gym.Space, capacity: int = 16_384
    ) -> None:
        super().__init__(observation_space, action_space)
        self.expert = PairBuffer(capacity, self.width)
        self.raw_slope = nn.Parameter(torch.tensor(0.54))  # softplus: 1
        self.offset = nn.Parameter(torch.zeros(()))
        self._tau: Tensor | None = None

    def forward(self, state: Tensor, action: Tensor, next_state: Tensor, done: Tensor) -> Tensor:
        """The logits of N pairs; in training the first half is the expert's and remembered."""
        if self.training:
            half = len(state) // 2
            pairs = torch.cat([state.flatten(1), action.flatten(1)], -1).float()
            self.expert.add_new(pairs[:half])
            self._tau = None
        return super().forward(state, action, next_state, done)

    def logits_expert_is_high(self, pairs: Tensor) -> Tensor:
        """Pairs (N, D) -> logits (N,); 0 while no expert is known."""
        if self.expert.count < 2:
            return self.offset.expand(len(pairs))
        if self._tau is None:
            own = self._distance(self.expert.content[: self.SAMPLE])
            self._tau = own.median().clamp(min=1e-6)
        distance = self._distance(pairs) / self._tau
        return softplus(self.raw_slope) * (1 - distance) + self.offset

    @torch.no_grad()
    def _distance(self, pairs: Tensor) -> Tensor:
        """To the nearest expert pair other than itself, in standard deviations: (N,)."""
        expert = self.expert.content
        distance = torch.cdist(self.stats(pairs), self.stats(expert))
        own = self.expert.key(pairs)[:, None] == self.expert.held_keys
        return distance.masked_fill(own, float("inf")).amin(-1)
