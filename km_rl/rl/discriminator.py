r"""Whose pair is this? The logit of a pair (s, a), given a memory of the expert and of the policy.

A memory of each is written from a buffer of its pairs: at the address of a pair
(`km_rl.rl.channel`) its code, or whose it is. What they say about a further pair
(`km_rl.rl.evidence`) becomes the logit (`km_rl.rl.heads`), bounded by ``bound`` tanh(logit /
``bound``). While neither memory holds anything both predict the prior, and the
logit is 0 until bias and correction are trained.

Four things make it work; Wu et al. 2018 did none of them:

* inputs are in units of the expert's own spread: what the expert never varies counts most;
* what is trained is trained by the discriminator's loss, through the reads *and* the writes;
* a pair to learn from that is in a memory is scored as if it were not, or training would look
  perfect and fail;
* the policy's memory keeps its history, or older policies would pass for the expert.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from km_rl.core.memory import Memory
from km_rl.core.natural import NaturalMemory
from km_rl.errors import InputError
from km_rl.rl.channel import Channel
from km_rl.rl.evidence import EXPERT, POLICY, Evidence, consult
from km_rl.rl.heads import LeastSquares, Ratio, bounded, softplus_inverse
from km_rl.rl.options import Options
from km_rl.rl.pair_buffer import PairBuffer
from km_rl.rl.scorer import FEW, Scorer
from km_rl.rl.stats import RunningStats

LABELS = (1.0, -1.0)
"""Whose a pair is, as a code: the expert's, the policy's."""


class Content(NamedTuple):
    """What one memory is written from: rows, their keys in rising order, and their weights."""

    rows: Tensor
    keys: Tensor
    weights: Tensor

    def weight_of(self, keys: Tensor) -> Tensor:
        """The weight of all rows with each key, 0 where there is none: (N,)."""
        upto = torch.cat([self.weights.new_zeros(1), self.weights.cumsum(0)])
        first, last = (torch.searchsorted(self.keys, keys, right=right) for right in (False, True))
        return torch.where(first < last, upto[last] - upto[first], 0)


class Frozen(NamedTuple):
    """The memories of each channel, moments (2, K, C) and (2, K, K), and what is in them.

    The first is the expert's, the second the policy's; where labels are stored there is a third,
    the two merged.
    """

    contents: tuple[Content, Content]
    memories: list[Memory]


class Discriminator(nn.Module):
    """The logit of pairs, from two buffers of pairs.

    In evaluation the memories are written once and kept until something changes. In training mode
    they are written anew in every call, from random rows of the buffers and with gradients, unless
    nothing in them is trained.

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
        self.expert = PairBuffer(o.expert_capacity, width)
        self.policy = PairBuffer(o.round_pairs * (o.rounds if o.history else 1), width)
        self.labelled = o.head == "least_squares"
        self.trained = o.features == "learned" or not self.labelled
        modes = ("h", "a") if o.channels == "both" else (o.channels,)
        code = 0 if self.labelled else o.code
        self.channels = nn.ModuleList(
            Channel(m, o.features, state, rest, o.slots, code, o.hidden)  # type: ignore[arg-type]
            for m in modes
        )
        self.raw_noise_var = nn.Parameter(
            softplus_inverse(torch.full((len(modes),), o.noise_var)), requires_grad=self.trained
        )
        self.head: LeastSquares | Ratio = LeastSquares()
        if not self.labelled:
            correcting = o.hidden if o.head == "conditional" else None
            self.head = Ratio([c.code_width for c in self._channels], correcting)
        self._frozen: Frozen | None = None
        self._expert_scores: Tensor | None = None
        self._scorer: Scorer | None = None
        self._weights: list[int] = []
        self.register_load_state_dict_post_hook(_thaw_hook)

    @property
    def noise_var(self) -> Tensor:
        """sigma^2 of each channel."""
        return softplus(self.raw_noise_var)

    def see(self, rows: Tensor) -> None:
        """Take in the scale of pairs (N, D), where it is not the expert's alone.

        Raises:
            InputError: NaN or infinity.
        """
        if not rows.isfinite().all():
            raise InputError("Pairs with NaN or infinity were given: leave such rows out.")
        if self.options.scale == "all" or not self.expert.count:
            self.stats.update(rows)
            self.thaw()

    def remember(self, rows: Tensor) -> None:
        """Add those of an expert's pairs (N, D) to its buffer that are not there yet.

        Raises:
            InputError: numbers too large to be told apart, in which case none is put there.
        """
        if not (added := self.expert.add_new(rows)):
            return
        try:
            self._rescale()
        except InputError:
            self.expert.remove(self.expert.content[-added:])
            self._rescale()
            raise

    def forget(self, rows: Tensor) -> int:
        """Take pairs out of the expert's buffer; returns how many were there."""
        removed = self.expert.remove(rows)
        self._rescale()
        return removed

    def observe(self, rows: Tensor) -> None:
        """Add pairs of the policy (N, D) to its buffer; the oldest fall out."""
        self.policy.add(rows)
        self.thaw()

    def _rescale(self) -> None:
        """The expert's buffer has changed, and with it the scale; the memories are to follow."""
        if self.options.scale == "expert":
            self.stats.restart((self.expert if self.expert.count else self.policy).content)
        self.thaw()

    def forward(self, rows: Tensor) -> Tensor:
        """The logits (N,) of pairs (N, D), by the faster way where they are few.

        In training mode each pair is left out of the memories it is in.
        """
        if self.training:
            self._scorer = self._expert_scores = None  # what is trained is about to change
            return self.logits_expert_is_high(rows, left_out=True)
        self._notice_steps()
        if torch.is_grad_enabled() or len(rows) > FEW or not rows.is_cpu:
            return self.logits_expert_is_high(rows)
        if self._scorer is None:
            self._scorer = Scorer(self)
        return torch.from_numpy(self._scorer(rows.numpy()))

    def logits_expert_is_high(self, rows: Tensor, left_out: bool = False) -> Tensor:
        """Pairs (s, a) or (s, a, s') with shape (N, D) -> logits (N,), high for the expert.

        Args:
            left_out: score pairs that are in a memory as if they were not: right for those that
                were written, wrong for new ones that happen to be equal to one.
        """
        return self.weigh(self.evidence(rows, left_out))

    def weigh(self, evidence: list[Evidence]) -> Tensor:
        """The logits (N,) that follow from what the memories say."""
        return bounded(self.head(evidence), self.options.bound)

    def evidence(self, rows: Tensor, left_out: bool = False) -> list[Evidence]:
        """What the memories say about pairs, for each channel; axes (2, N): expert, policy.

        Where labels are stored, (3, N): the two merged, too. ``left_out`` as above, and only if
        the options have `leave_one_out`.
        """
        contents, memories = self.written()
        held = None
        if left_out and self.options.leave_one_out:
            held = torch.stack([c.weight_of(self.expert.key(rows)) for c in contents])
        x, said = self.stats(rows), []
        for channel, memory, noise_var in zip(
            self._channels, memories, self.noise_var, strict=True
        ):
            w = channel.where(x)
            if not self.labelled:
                said.append(consult(memory, w, channel.what(x), noise_var, held))
                continue
            labels = _labels(rows, held)
            all_held = None if held is None else torch.cat([held, held.sum(0, keepdim=True)])
            said.append(consult(memory, w, labels, noise_var, all_held))
        return said

    @torch.no_grad()
    def p_value(self, rows: Tensor) -> Tensor:
        """The share of the expert's own pairs that look no more like the expert: (N,), in (0, 1].

        (1 + #{i: logit_i <= logit}) / (n + 1) over the n expert pairs, each scored as if left out:
        for a further pair of the expert it is about uniform, whatever the scale of the logits,
        because the pairs are exchangeable (conformal prediction, Vovk et al. 2005; exactly so it
        would be if the pair itself were in the memory of the others' scores).
        """
        self._notice_steps()
        if self._expert_scores is None or self.training:
            scores = self.logits_expert_is_high(self.expert.content, left_out=True)
            self._expert_scores = scores.sort().values
        scores = self._expert_scores
        logits = self.logits_expert_is_high(rows)
        below = torch.searchsorted(scores, logits, right=True)  # above all where it is NaN
        return ((1 + below) / (1 + len(scores))).where(~logits.isnan(), logits)

    def written(self) -> Frozen:
        """The memories: anew while what they hold is trained, else those of the last change."""
        if self.training and self.trained:
            self.thaw()
            return self._write(self._contents(sample=True))
        self._notice_steps()
        if self._frozen is None:
            with torch.no_grad():
                self._frozen = self._write(self._contents(sample=False))
        return self._frozen

    def _notice_steps(self) -> None:
        """Thaw if an optimiser has stepped since."""
        weights = [weight._version for weight in self.parameters()] if self.trained else []
        if weights != self._weights:
            self.thaw()
            self._weights = weights

    def thaw(self) -> None:
        """Let the memories be written anew when they are next read."""
        self._frozen = self._expert_scores = self._scorer = None

    def _contents(self, sample: bool) -> tuple[Content, Content]:
        """What the memories are written from.

        Both weigh the same, so equal densities tie: as much as the lighter of those buffers that
        hold anything, of which only `support` rows may be chosen.
        """
        o = self.options
        fade = self.policy.weights(o.forget_rate if o.history else 0.0, o.round_pairs)
        alike = torch.ones_like(self.expert.held_keys).float()
        buffers = [(self.expert, alike), (self.policy, fade)]
        total = min([float(weights.sum()) for _, weights in buffers if len(weights)], default=0.0)
        expert, policy = (_weighing(self._choose(*buffer, sample), total) for buffer in buffers)
        return expert, policy

    def _choose(self, buffer: PairBuffer, weights: Tensor, sample: bool) -> Content:
        """All of a buffer, or at most `support` rows of it at random."""
        keys, order = buffer.held_keys.sort()
        if sample:
            kept = torch.randperm(len(keys), device=keys.device)[: self.options.support]
            kept = kept.sort().values
            keys, order = keys[kept], order[kept]
        return Content(buffer.content[order], keys, weights[order])

    def _write(self, contents: tuple[Content, Content]) -> Frozen:
        memories = []
        for channel, noise_var in zip(self._channels, self.noise_var, strict=True):
            expert, policy = (
                self._write_one(channel, noise_var, content, label)
                for content, label in zip(contents, LABELS, strict=True)
            )
            stack = [expert, policy, *([expert.merge(policy)] if self.labelled else [])]
            moments = NaturalMemory(*map(torch.stack, zip(*stack, strict=True))).moments()
            memories.append(Memory(*(x.float() for x in moments)))
        return Frozen(contents, memories)

    def _write_one(
        self, channel: Channel, noise_var: Tensor, content: Content, label: float
    ) -> NaturalMemory:
        x = self.stats(content.rows)
        w = channel.where(x)
        z = w.new_full((len(w), 1), label) if self.labelled else channel.what(x)
        K, C = w.shape[-1], z.shape[-1]
        prior = NaturalMemory.prior(w.new_zeros(K, C), torch.eye(K, device=w.device))
        return prior.write(w, z, noise_var, content.weights)

    @property
    def _channels(self) -> list[Channel]:
        return cast(list[Channel], list(self.channels))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_scorer": None}

    def _apply(self, fn, recurse=True):
        self.thaw()
        return super()._apply(fn, recurse)


def _labels(rows: Tensor, held: Tensor | None) -> Tensor:
    """The label of each pair in each of the three memories, (3, N, 1).

    In the merged one a pair that is held has its owner's, the mean of both if it is in both; of
    others it plays no part.
    """
    expert, policy = (rows.new_full((len(rows),), label) for label in LABELS)
    both = torch.zeros_like(expert)
    if held is not None:
        both = (held[EXPERT] - held[POLICY]) / held.sum(0).clamp(min=1e-12)
    return torch.stack([expert, policy, both])[..., None]


def _weighing(content: Content, total: float) -> Content:
    """The same rows with weights that sum to ``total``."""
    weights = content.weights
    return content._replace(weights=weights * (total / weights.sum().clamp(min=1e-6)))


def _thaw_hook(module: nn.Module, _: object) -> None:
    assert isinstance(module, Discriminator)
    module.thaw()
