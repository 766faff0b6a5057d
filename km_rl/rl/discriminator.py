r"""Whose pair is this? The logit of a pair (s, a), given a memory of the expert and of the policy.

Both memories predict the code z of the pair from its address w (`km_rl.rl.channel`). By Bayes'
rule, with as many pairs of the one as of the other,

.. math::
    \ln \frac{p(\text{expert} \mid z, w)}{p(\text{policy} \mid z, w)}
        = \ln p(z \mid w, M_E) - \ln p(z \mid w, M_\pi)

so **a high logit means expert**, the sign of imitation's GAIL, whose reward is
:math:`-\ln(1 - D)` with :math:`D = \mathrm{sigmoid}(\text{logit})`. If neither memory knows the
address both predict the prior and the logit is 0: it says when it does not know. The ratio has a
learned temperature per channel, and a small network on what both memories say may correct it; the
sum is bounded by ``bound`` tanh(logit / ``bound``).

Three things make it work (Wu et al. 2018 did none of this; see the project's README):

* it is trained by the discriminator's loss through the reads *and* the writes;
* a pair that is in a memory is scored as if it were not (`km_rl.rl.evidence`), or training would
  look perfect and fail;
* the policy's memory keeps its history, or older policies would pass for the expert.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from km_rl.core.memory import Memory
from km_rl.core.natural import NaturalMemory
from km_rl.errors import InputError, above_zero, at_least_one
from km_rl.nn.mlp import mlp
from km_rl.rl.channel import Channel, Features
from km_rl.rl.episodes import RunningStats
from km_rl.rl.evidence import Evidence, consult
from km_rl.rl.pile import Pile
from km_rl.rl.scorer import EXPERT, POLICY, Scorer

FEW = 64
"""Rows up to which numpy is faster than torch."""


@dataclass(frozen=True)
class Options:
    """What a discriminator is made of."""

    slots: int = 64
    """K, the slots of each memory."""
    code: int = 16
    """C, the width of learned codes."""
    hidden: int = 64
    """Width of the perceptrons."""
    channels: Literal["h", "a", "both"] = "both"
    """What is done here (h), have I seen this (a), or both."""
    features: Features = "learned"
    """Addresses and codes that are trained, or random Fourier features of the pair."""
    head: Literal["ratio", "conditional"] = "conditional"
    """The log-likelihood ratio alone, or with a network on the memories' statistics."""
    leave_one_out: bool = True
    """Score a pair that is in a memory as if it were not."""
    history: bool = True
    """Remember the policies of earlier rounds, or only the last."""
    rounds: int = 16
    """Rounds that the history reaches back."""
    round_pairs: int = 256
    """Pairs that are kept of each."""
    forget_rate: float = 0.1
    """Share of its weight that a round loses with the next."""
    expert_capacity: int = 16_384
    """The most expert pairs that are remembered."""
    support: int = 512
    """Pairs that a memory counts for at most, and that it is written from in training."""
    noise_var: float = 0.1
    """Where the variance of codes around their read-out starts; an empty slot has 1."""
    bound: float = 10.0
    """The longest logit."""

    def validate(self) -> None:
        """Refuse what no discriminator can have with an `InputError`."""
        at_least_one(
            slots=self.slots,
            code=self.code,
            hidden=self.hidden,
            rounds=self.rounds,
            round_pairs=self.round_pairs,
            expert_capacity=self.expert_capacity,
            support=self.support,
        )
        above_zero(noise_var=self.noise_var, bound=self.bound)
        if not 0 <= self.forget_rate < 1:
            raise InputError(
                f"forget_rate is {self.forget_rate}: a number from 0 to below 1 is expected."
            )
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise InputError(
                    f"{name} is '{getattr(self, name)}': one of {', '.join(known)} is expected."
                )


CHOICES = {
    "channels": ("h", "a", "both"),
    "features": ("learned", "random"),
    "head": ("ratio", "conditional"),
}


class Content(NamedTuple):
    """What one memory is written from: rows, their keys in rising order, and their weights."""

    rows: Tensor
    keys: Tensor
    weights: Tensor

    def weight_of(self, keys: Tensor) -> Tensor:
        """The weight of the row with each key, 0 where there is none: (N,)."""
        if not len(self.keys):
            return torch.zeros(len(keys), device=keys.device)
        place = torch.searchsorted(self.keys, keys).clamp(max=len(self.keys) - 1)
        return torch.where(self.keys[place] == keys, self.weights[place], 0)


class Frozen(NamedTuple):
    """Both memories of each channel, moments (2, K, C) and (2, K, K), and what is in them."""

    contents: tuple[Content, Content]
    memories: list[Memory]


class Discriminator(nn.Module):
    """The logit of pairs, from two piles of pairs.

    In training mode the memories are written anew in every call, from random rows of the piles and
    with gradients. In evaluation they are written once and kept until something changes.

    Args:
        state: entries of s.
        rest: entries of a, or of (a, s').
    """

    def __init__(self, state: int, rest: int, options: Options | None = None) -> None:
        super().__init__()
        self.options = o = options or Options()
        o.validate()
        width = state + rest
        self.stats = RunningStats(width)
        self.expert = Pile(o.expert_capacity, width)
        self.policy = Pile(o.round_pairs * (o.rounds if o.history else 1), width)
        modes = ("h", "a") if o.channels == "both" else (o.channels,)
        self.channels = nn.ModuleList(
            Channel(m, o.features, state, rest, o.slots, o.code, o.hidden)  # type: ignore[arg-type]
            for m in modes
        )
        self.raw_noise_var = nn.Parameter(
            _softplus_inverse(torch.full((len(modes),), o.noise_var))
        )
        self.raw_temperature = nn.Parameter(_softplus_inverse(torch.ones(len(modes))))
        self.bias = nn.Parameter(torch.zeros(()))
        self.correction: nn.Sequential | None = None
        if o.head == "conditional":
            inputs = sum(2 * (2 * c.code_width + 4) for c in self._channels)
            self.correction = mlp(inputs, o.hidden, 1)
            nn.init.zeros_(self.correction[2].weight)  # type: ignore[arg-type]
        self._frozen: Frozen | None = None
        self._expert_scores: Tensor | None = None
        self._scorer: Scorer | None = None
        self.register_load_state_dict_post_hook(_thaw_hook)

    @property
    def noise_var(self) -> Tensor:
        """sigma^2 of each channel."""
        return softplus(self.raw_noise_var)

    @property
    def temperature(self) -> Tensor:
        """What a nat per entry of the code counts in the logit, for each channel."""
        return softplus(self.raw_temperature)

    def forward(self, rows: Tensor) -> Tensor:
        """`logits_expert_is_high` of pairs (N, D), by the faster way where they are few."""
        if self.training or torch.is_grad_enabled() or len(rows) > FEW or not rows.is_cpu:
            return self.logits_expert_is_high(rows)
        if self._scorer is None:
            self._scorer = Scorer(self)
        return torch.from_numpy(self._scorer(rows.numpy()))

    def logits_expert_is_high(self, rows: Tensor) -> Tensor:
        """Pairs (s, a) or (s, a, s') with shape (N, D) -> logits (N,), high for the expert."""
        return self.weigh(self.evidence(rows))

    def weigh(self, evidence: list[Evidence]) -> Tensor:
        """The logits (N,) that follow from what both memories say."""
        ratios = [_mean_log_ratio(e) for e in evidence]
        logit = torch.stack(ratios, -1) @ self.temperature + self.bias
        if self.correction is not None:
            told = torch.cat([_statistics(e) for e in evidence], -1)
            logit = logit + self.correction(told)[:, 0]
        bound = self.options.bound
        return bound * (logit / bound).tanh()

    def evidence(self, rows: Tensor) -> list[Evidence]:
        """What both memories say about pairs, for each channel; axes (2, N): expert, policy."""
        contents, memories = self.written()
        held = None
        if self.options.leave_one_out:
            keys = self.expert.key(rows)
            held = torch.stack([content.weight_of(keys) for content in contents])
        x, said = self.stats(rows), []
        for channel, memory, noise_var in zip(
            self._channels, memories, self.noise_var, strict=True
        ):
            w, z = channel(x)
            said.append(consult(memory, w, z, noise_var, held))
        return said

    @torch.no_grad()
    def p_value(self, rows: Tensor) -> Tensor:
        """The share of the expert's own pairs that look no more like the expert: (N,), in (0, 1].

        (1 + #{i: logit_i <= logit}) / (n + 1) over the n expert pairs, each scored as if left out:
        for a further pair of the expert it is uniform, whatever the scale of the logits, because
        the pairs are exchangeable (conformal prediction, Vovk et al. 2005).
        """
        if self._expert_scores is None or self.training:
            scores = self.logits_expert_is_high(self.expert.content)
            self._expert_scores = scores.sort().values
        scores = self._expert_scores
        below = torch.searchsorted(scores, self.logits_expert_is_high(rows), right=True)
        return (1 + below) / (1 + len(scores))

    def written(self) -> Frozen:
        """The memories: anew in training, else those of the last change."""
        if self.training:
            self.thaw()
            return self._write(self._contents(sample=True))
        if self._frozen is None:
            with torch.no_grad():
                self._frozen = self._write(self._contents(sample=False))
        return self._frozen

    def thaw(self) -> None:
        """Let the memories be written anew when they are next read."""
        self._frozen = self._expert_scores = self._scorer = None

    def _contents(self, sample: bool) -> tuple[Content, Content]:
        """What the memories are written from. Both weigh the same, so equal densities tie."""
        o = self.options
        fade = self.policy.weights(o.forget_rate if o.history else 0.0, o.round_pairs)
        expert = self._choose(self.expert, torch.ones_like(self.expert.held_keys).float(), sample)
        policy = self._choose(self.policy, fade, sample)
        total = min(len(expert.keys) or len(policy.keys), o.support)
        return _weighing(expert, total), _weighing(policy, total)

    def _choose(self, pile: Pile, weights: Tensor, sample: bool) -> Content:
        """All of a pile, or at most `support` rows of it at random."""
        keys, order = pile.held_keys.sort()
        if sample:
            kept = torch.randperm(len(keys), device=keys.device)[: self.options.support]
            kept = kept.sort().values
            keys, order = keys[kept], order[kept]
        return Content(pile.content[order], keys, weights[order])

    def _write(self, contents: tuple[Content, Content]) -> Frozen:
        memories = []
        for channel, noise_var in zip(self._channels, self.noise_var, strict=True):
            pair = [self._write_one(channel, noise_var, content) for content in contents]
            memories.append(Memory(*(torch.stack(x).float() for x in zip(*pair, strict=True))))
        return Frozen(contents, memories)

    def _write_one(self, channel: Channel, noise_var: Tensor, content: Content) -> Memory:
        w, z = channel(self.stats(content.rows))
        K, C = w.shape[-1], z.shape[-1]
        prior = NaturalMemory.prior(w.new_zeros(K, C), torch.eye(K, device=w.device))
        return prior.write(w, z, noise_var, content.weights).moments()

    @property
    def _channels(self) -> list[Channel]:
        return cast(list[Channel], list(self.channels))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_scorer": None}

    def _apply(self, fn, recurse=True):
        self.thaw()
        return super()._apply(fn, recurse)


def _mean_log_ratio(evidence: Evidence) -> Tensor:
    """ln p(z|w, M_E) - ln p(z|w, M_pi), in nats per entry of the code: (N,)."""
    log_prob = evidence.log_prob / evidence.residual.shape[-1]
    return log_prob[EXPERT] - log_prob[POLICY]


def _statistics(evidence: Evidence) -> Tensor:
    """All that both memories say about each pair, on scales of about 1: (N, 2 (2 C + 4))."""
    C = evidence.residual.shape[-1]
    scalars = torch.stack(
        [evidence.log_var, evidence.distance.log1p(), evidence.log_prob / C, evidence.gain / C], -1
    )
    told = torch.cat([evidence.read, evidence.residual, scalars], -1)
    return told.movedim(0, 1).flatten(1)


def _weighing(content: Content, total: float) -> Content:
    """The same rows with weights that sum to ``total``."""
    weights = content.weights
    return content._replace(weights=weights * (total / weights.sum().clamp(min=1e-6)))


def _softplus_inverse(x: Tensor) -> Tensor:
    return x.expm1().log()


def _thaw_hook(module: nn.Module, _: object) -> None:
    assert isinstance(module, Discriminator)
    module.thaw()
