r"""A new expert by writing: a discriminator trained on many, which adapts by addition.

    model = MetaDiscriminator.fit(tasks)
    model.remember(pairs_of_a_new_expert)         # no gradient: two sums
    model.observe(what_the_policy_did)
    logits = model(rows)                          # high for the expert

In each channel (`km_rl.rl.channel`) the expert and the policy have a memory with the same prior
:math:`\mathcal{MN}(R_0, U_0, I)`, and a pair is written at its address w with its code z:

.. math::
    \Lambda = U_0^{-1} + \sum_i w_i w_i^T / \sigma^2, \quad
    \eta = U_0^{-1} R_0 + \sum_i w_i z_i^T / \sigma^2

so that what is carried is K (K + C) numbers however many pairs there were, their order does not
matter, experts' memories merge and pairs are forgotten exactly. Addresses, codes, :math:`R_0, U_0,
\sigma^2` and the head (`km_rl.rl.heads`) are trained through the reads and the writes.

Two options take a part away, to see what it is worth. Without ``history`` the policy's memory
holds as many pairs, but of the last round alone: what is trained is the same, what an agent is
paid is not. A
``generative`` one is never trained to tell pairs apart: it stores actions as they are, learns
addresses and priors by the likelihood :math:`\ln p(a \mid s, M)` of pairs under the memory of
their owner (Bayesian regression of a policy, as in ALPaCA, Harrison et al. 2018), and its logit is
the log of the ratio. With learned codes, likelihood alone would make all codes the same.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from km_rl.core.memory import Memory
from km_rl.core.natural import NaturalMemory
from km_rl.core.prior import MemoryPrior
from km_rl.errors import InputError, above_zero, at_least_one
from km_rl.rl.channel import Channel
from km_rl.rl.evidence import EXPERT, POLICY, Evidence, consult
from km_rl.rl.few_shot import NOT_REMEMBERED, ROUND_PAIRS, ROUNDS, FewShot
from km_rl.rl.heads import BOUND, Ratio, bounded
from km_rl.rl.scorer import FEW, Scorer

Memories = tuple[NaturalMemory, ...]
"""One for each channel."""


@dataclass(frozen=True)
class MetaOptions:
    """What a `MetaDiscriminator` is made of."""

    channels: Literal["h", "a", "both"] = "both"
    """What is done here (h), have I seen this (a), or both."""
    head: Literal["ratio", "conditional"] = "conditional"
    """The ratio of likelihoods, alone or with a network on the memories' statistics."""
    history: bool = True
    """Remember what the policy did in earlier rounds, fading, or only the last."""
    generative: bool = False
    """Learn by the likelihood of actions alone; with ``channels`` h and ``head`` ratio."""
    slots: int = 32
    """K, the slots of each memory."""
    code: int = 32
    """C, the width of codes."""
    hidden: int = 64
    """Width of the perceptrons."""
    noise_var: float = 0.1
    """Where the variance of codes around their read-out starts; it is trained."""
    bound: float = BOUND
    """The longest logit."""

    def validate(self) -> None:
        """Refuse what cannot be with an `InputError`."""
        at_least_one(slots=self.slots, code=self.code, hidden=self.hidden)
        above_zero(noise_var=self.noise_var, bound=self.bound)
        known = {"channels": ("h", "a", "both"), "head": ("ratio", "conditional")}
        for name, choices in known.items():
            if (given := getattr(self, name)) not in choices:
                raise InputError(f"{name} is '{given}': one of {', '.join(choices)} is expected.")
        if self.generative and (self.channels, self.head) != ("h", "ratio"):
            raise InputError(
                f"A generative memory was asked for with channels '{self.channels}' and head "
                f"'{self.head}': it predicts actions at states, so give 'h' and 'ratio'."
            )


class Written(NamedTuple):
    """Moments of each channel's memories, (2, *, K, C) and (2, *, K, K): expert, policy."""

    memories: list[Memory]


class MetaDiscriminator(FewShot):
    """The logit of a pair from a memory of the expert and one of the policy.

    Args:
        state: entries of s.
        rest: entries of a.
        options: the fields of `MetaOptions`.
    """

    kind = "MetaDiscriminator"
    labelled = False

    def __init__(self, state: int, rest: int, **options: Any) -> None:
        known = {field.name for field in fields(MetaOptions)}
        if unknown := options.keys() - known:
            raise InputError(
                f"There is no option '{min(unknown)}' of MetaDiscriminator: "
                f"one of {', '.join(sorted(known))} is expected."
            )
        o = MetaOptions(**options)
        o.validate()
        super().__init__(state, rest, **asdict(o))
        self.options = o
        modes: tuple[Any, ...] = ("h", "a") if o.channels == "both" else (o.channels,)
        features: Any = "address" if o.generative else "learned"
        self.channels = nn.ModuleList(
            Channel(mode, features, state, rest, o.slots, o.code, o.hidden) for mode in modes
        )
        code = rest if o.generative else o.code
        self.priors = nn.ModuleList(
            MemoryPrior(o.slots, code, o.noise_var, learn_noise=True) for _ in modes
        )
        correcting = o.hidden if o.head == "conditional" else None
        self.head = Ratio([code] * len(modes), correcting, code if o.generative else 1.0)
        self.register_load_state_dict_post_hook(_clear)

    @property
    def generative(self) -> bool:  # type: ignore[override]
        """As `FewShot`."""
        return self.options.generative

    @property
    def noise_var(self) -> Tensor:
        """sigma^2 of each channel."""
        return torch.stack([prior.noise_var for _, prior in self._channels])

    def logits_expert_is_high(
        self, expert: Tensor, policy: Tensor, rows: Tensor, left_out: bool = False
    ) -> Tensor:
        """As `FewShot`; both memories are written anew, with gradients."""
        return self.weigh(self._asked(expert, policy, rows, left_out))

    def log_probs(
        self, expert: Tensor, policy: Tensor, rows: Tensor, left_out: bool = False
    ) -> tuple[Tensor, Tensor]:
        """As `FewShot`; actions have the units of `stats`."""
        (evidence,) = self._asked(expert, policy, rows, left_out)
        return evidence.log_prob[EXPERT], evidence.log_prob[POLICY]

    def _asked(
        self, expert: Tensor, policy: Tensor, rows: Tensor, left_out: bool
    ) -> list[Evidence]:
        held = None
        if left_out:
            counts = torch.tensor([expert.shape[1], policy.shape[1]], device=rows.device)
            own = torch.eye(2, device=rows.device).repeat_interleave(counts, 1)
            held = own[:, None].expand(-1, len(rows), -1)
        written = self.moments(self.write(self.prior(), expert), self.write(self.prior(), policy))
        return self.evidence(written, rows, held)

    def prior(self) -> Memories:
        """Memories in which nothing is written."""
        return tuple(NaturalMemory.prior(*prior()) for _, prior in self._channels)

    def write(self, memories: Memories, rows: Tensor) -> Memories:
        """Add rows (*, N, D) to each channel's memory."""
        items = self._items(rows)
        return tuple(m.write(*item) for m, item in zip(memories, items, strict=True))

    def moments(self, expert: Memories, policy: Memories) -> Written:
        """What is read from: the only factors of a K x K matrix."""
        dtype = self.stats.mean.dtype
        stacks = [
            NaturalMemory(*map(torch.stack, zip(*both, strict=True))).moments()
            for both in zip(expert, policy, strict=True)
        ]
        return Written([Memory(R.to(dtype), U.to(dtype)) for R, U in stacks])

    def evidence(
        self, written: Written, rows: Tensor, held: Tensor | None = None
    ) -> list[Evidence]:
        """What the memories say about rows (*, N, D), for each channel; axes (2, *, N).

        Args:
            held: the weight with which each row is in each memory, (2, *, N); see `consult`.
        """
        items = self._items(rows)
        return [
            consult(memory, *item, held)
            for memory, item in zip(written.memories, items, strict=True)
        ]

    def weigh(self, evidence: list[Evidence]) -> Tensor:
        """The logits (*, N) that follow from it."""
        shape = evidence[0].log_prob.shape[1:]
        flat = [Evidence(*(x.flatten(1, len(shape)) for x in e)) for e in evidence]
        return bounded(self.head(flat), self.options.bound).unflatten(0, shape)

    def rows(self, source: Any) -> Tensor:
        """As `FewShot`, where the memories are."""
        return super().rows(source).to(self.stats.mean.device)

    @torch.no_grad()
    def remember(self, source: Any) -> None:
        """Write pairs of an expert; any order and any number of calls come to the same.

        Raises:
            InputError: as `FewShot.remember`.
        """
        self._keep(self.write(self.expert, self.rows(source)), self.policy)

    @torch.no_grad()
    def forget(self, source: Any) -> None:
        """Take pairs that were remembered out again, as if they had never been written.

        Which pairs a memory was written from it does not know: others are refused only where more
        would be taken out than is there.

        Raises:
            InputError: as `FewShot.remember`, or pairs that were not remembered.
        """
        items = self._items(self.rows(source))
        rest = tuple(m.forget(*item) for m, item in zip(self.expert, items, strict=True))
        for memory, prior, before in zip(rest, self.prior(), self.expert, strict=True):
            written = memory.precision - prior.precision
            if torch.linalg.eigvalsh(written)[0] < -1e-6 * before.precision.diagonal().max():
                raise InputError(NOT_REMEMBERED)
        self._keep(rest, self.policy)

    @torch.no_grad()
    def merge(self, *others: MetaDiscriminator) -> None:
        """Remember what others do too; they are copies of this one, of other experts.

        Raises:
            InputError: another model's memory is in other units.
        """
        if any(not _alike(self, other) for other in others):
            raise InputError(
                "Memories of differently trained discriminators were to be merged: give copies "
                "of one, loaded from the same file."
            )
        if not others:
            return
        theirs = zip(*(other.expert for other in others), strict=True)
        merged = (m.merge(*rest) for m, rest in zip(self.expert, theirs, strict=True))
        self._keep(tuple(merged), self.policy)

    @torch.no_grad()
    def observe(self, source: Any) -> None:
        """Write a round of a policy; what was there fades by 1 / `ROUNDS`, never the prior.

        Without the option ``history`` it is forgotten, and as many pairs as a fading memory comes
        to hold, `ROUNDS` times as many, are written of this round.
        """
        if self.options.history:
            before, n = tuple(m.decay(1 / ROUNDS) for m in self.policy), ROUND_PAIRS
        else:
            before, n = self.prior(), ROUNDS * ROUND_PAIRS
        self._keep(self.expert, self.write(before, self.some(source, n)))

    @property
    def state_floats(self) -> int:
        """K (K + C) of each channel, however many pairs were remembered."""
        return sum(m.precision.numel() + m.shift.numel() for m in self.expert)

    def clear(self) -> None:
        """Know no expert and no policy."""
        self._held: tuple[Memories, Memories] | None = None
        self._written: Written | None = None
        self._scorer: Scorer | None = None

    @property
    def expert(self) -> Memories:
        """The expert's memories."""
        return self._both[0]

    @property
    def policy(self) -> Memories:
        """The policy's memories."""
        return self._both[1]

    @torch.no_grad()
    def written(self) -> Written:
        """What is read now; factored once after each change."""
        if self._written is None:
            self._written = self.moments(*self._both)
        return self._written

    @torch.no_grad()
    def forward(self, rows: Tensor) -> Tensor:
        """The logits (N,) of pairs (N, D), by the faster way where they are few."""
        if len(rows) > FEW or not rows.is_cpu:
            return self.weigh(self.evidence(self.written(), rows))
        if self._scorer is None:
            self._scorer = Scorer(self)
        return torch.from_numpy(self._scorer(rows.numpy()))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_scorer": None}

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        held = self._held
        super()._apply(fn, recurse)
        self.clear()
        if held is not None:
            place = self.stats.mean.device
            expert, policy = (
                tuple(NaturalMemory(*(x.to(place) for x in m)) for m in memories)
                for memories in held
            )
            self._keep(expert, policy)
        return self

    @property
    def _both(self) -> tuple[Memories, Memories]:
        if self._held is None:
            with torch.no_grad():
                self._held = self.prior(), self.prior()
        return self._held

    def _keep(self, expert: Memories, policy: Memories) -> None:
        self.clear()
        self._held = expert, policy

    def _items(self, rows: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Address (*, N, K), code (*, N, C) and noise of rows (*, N, D), for each channel."""
        x, shape = self.stats(rows).flatten(0, -2), rows.shape[:-1]
        return [
            (c.where(x).unflatten(0, shape), c.what(x).unflatten(0, shape), prior.noise_var)
            for c, prior in self._channels
        ]

    @property
    def _channels(self) -> list[tuple[Channel, MemoryPrior]]:
        pairs = zip(self.channels, self.priors, strict=True)
        return cast(list[tuple[Channel, MemoryPrior]], list(pairs))


def _clear(net: torch.nn.Module, _: object) -> None:
    """What other weights wrote is in other units."""
    assert isinstance(net, MetaDiscriminator)
    net.clear()


def _alike(one: MetaDiscriminator, other: MetaDiscriminator) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)
