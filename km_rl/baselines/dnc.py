"""The Differentiable Neural Computer, and LRUA, as the memory of the same auto-encoder.

    write   y_t ~ q(y|x_t), and for t = 1..T an LSTM that sees e(x_t), f(y_t) and what its heads
            read before writes one word
    read    y ~ q(y|x),  r_1..r_H = what H heads find for f(y),  z ~ q(z|x, r),  x ~ p(x|z)
    dream   y ~ N(0, I), z = the mean of p(z|r),                 x ~ p(x|z)

with p(z|y, M) = N(linear(r_1..r_H), sigma^2 I). An item is looked up by keys made from y, not from
x, and y is paid for by KL(q(y|x) || N(0, I)), as in the Kanerva Machine: keys made from x would
carry the image into the prior of z for nothing.

**What is free.** The memory is a function of the episode and its addresses. It has no posterior
and no KL, so what it holds is never counted: the bound is one on ln p(X|M) alone,
`Elbo.rate_memory` is 0, and `Elbo.full_bound` does not bound ln p(X).

Graves et al., "Hybrid computing using a neural network with dynamic external memory", Nature 2016;
Santoro et al., "Meta-learning with memory-augmented neural networks", ICML 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Independent, kl_divergence
from torch.nn.functional import softplus

from km_rl.baselines import dnc_memory as access
from km_rl.baselines.dnc_memory import Lookup, Slots
from km_rl.core.addressing import START_DIMS, START_STD, look_at_few
from km_rl.core.elbo import Elbo
from km_rl.core.episodic import EpisodicModel
from km_rl.core.machine import Reading
from km_rl.errors import above_zero, at_least_one, not_below_zero
from km_rl.nn.initial import EMBEDDING_STD, quieten
from km_rl.nn.mlp import GaussianHead, mlp, normal
from km_rl.nn.precision import full_precision

Hidden = tuple[Tensor, Tensor]

START_STRENGTH = 30.0
"""About how sharp a lookup is when training starts. Keys share much then: an item's own word is
ahead of the others by little more than a tenth in cosine, and yet has to be found."""

START_GATE = 2.0
"""Log-odds of the gates then, to the side that keeps each item in a slot of its own."""


class DNC(EpisodicModel[Slots]):
    """The auto-encoder whose prior over codes is read from a DNC's memory.

    After an episode is written each item is looked up by itself: a head reads by content, and
    along the temporal links from where that content lies. q(z|x, y, M) is the prior's mean and a
    shift that the image asks for, so that a memory which is of no use yet leaves a VAE.

    Args:
        encoder: images ``[..., channels, H, W]`` to embeddings ``[..., encoder.width]``.
        decoder: codes ``[..., code]`` to a distribution over images.
        slots: K, the words of the memory.
        code: C, the width of a word and of z.
        key: S, the width of y.
        heads: read heads.
        noise_var: sigma^2, the variance of a code around what is read.
        learn_noise: train it.
        address_noise_std: std of the noise on the input of q(y|x) in training.

    Raises:
        InputError: a size below 1, a variance that is not positive.
    """

    kind = "dnc"
    prices_memory = False
    modes = 3
    """Ways to read: backward, by content, forward."""
    gates: ClassVar[Sequence[int]] = (-1, 1, 1)
    """To which side the gates, last in what `_wrote` is given, start: see `START_GATE`."""

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        slots: int = 64,
        code: int = 100,
        key: int = 50,
        heads: int = 4,
        noise_var: float = 1.0,
        learn_noise: bool = False,
        address_noise_std: float = 0.2,
    ) -> None:
        super().__init__(encoder, decoder)
        at_least_one(slots=slots, code=code, key=key, heads=heads)
        above_zero(noise_var=noise_var)
        not_below_zero(address_noise_std=address_noise_std)
        width: int = encoder.width  # type: ignore[assignment]
        lookup = heads * (code + 1 + self.modes)
        self.sizes = (slots, code, heads)
        self.key_width = key
        self.address_noise_std = address_noise_std
        self.controller = nn.LSTMCell(width + code + heads * code, width)
        self.writer = nn.Linear(2 * width + code, sum(self._write_sizes()))
        self.looker = nn.Linear(2 * width + code, lookup)
        self.q_y = GaussianHead(width, key, width).start_sharp(min(START_DIMS, key), START_STD)
        self.question = mlp(key, width, lookup)
        look_at_few(self.question, min(START_DIMS, key))
        self.merge = nn.Linear(heads * code, code)
        self.shift = GaussianHead(width + code, code, width, noise_var**0.5)
        self.shift.last.weight.data[:code] *= noise_var**0.5
        self.log_noise_var = nn.Parameter(torch.tensor(noise_var).log(), requires_grad=learn_noise)
        self._start()

    def elbo(self, images: Tensor, sample_memory: bool = False) -> Elbo:
        """Write the episode in order, then read each image back; see `EpisodicModel.elbo`.

        The memory has no posterior to draw it from: ``sample_memory`` changes nothing.
        """
        embeddings = self._embed(images)
        with full_precision(embeddings):
            reading = self._read(embeddings, self._written(embeddings))
        distortion = -self.decoder(reading.q_z.rsample()).log_prob(images)
        return Elbo(
            distortion,
            kl_divergence(reading.q_y, normal(torch.zeros_like(reading.y), 1.0)),
            kl_divergence(reading.q_z, reading.p_z),
            rate_memory=torch.zeros_like(distortion),
        )

    def log_weights(self, images: Tensor, samples: int, sample_memory: bool = False) -> Tensor:
        """See `EpisodicModel.log_weights`; ``sample_memory`` changes nothing."""
        at_least_one(samples=samples)
        embeddings = self._embed(images)
        with full_precision(embeddings):
            slots = self._written(embeddings)
            return torch.stack(
                [
                    self._read(embeddings, slots).log_weight(images, self.decoder)
                    for _ in range(samples)
                ]
            )

    def write(self, images: Tensor) -> Slots:
        """The memory after the images (B, T, channels, H, W) were written in their order.

        Each is written with one sample of its address.
        """
        return self._written(self._embed(images))

    def address_weights(self, images: Tensor) -> Tensor:
        """Where each head reads each image, at the mean of q(y|x), with shape (B, T, heads, K)."""
        embeddings = self._embed(images)
        with full_precision(embeddings):
            return self._look(self._written(embeddings), self.q_y(embeddings).mean)

    def codes(self, memory: Slots, embeddings: Tensor) -> Tensor:
        """The mean of q(z|x, r) at the mean of q(y|x), with shape (B, T, C)."""
        with full_precision(embeddings):
            return self._read(embeddings, memory, sample=False).q_z.mean

    def dream(self, memory: Slots, n: int) -> Tensor:
        """The mean of p(z|y, M) at n draws of y ~ N(0, I), with shape (B, n, C)."""
        M = memory.memory
        with full_precision(M):
            return self._p_z(memory, M.new_empty(len(M), n, self.key_width).normal_()).mean

    def resize(self, slots: int) -> None:
        """Let the memory have so many words: nothing that is learned depends on their number.

        Raises:
            InputError: fewer than one.
        """
        at_least_one(slots=slots)
        self.sizes = (slots, *self.sizes[1:])
        if self.spec:
            self.spec = {**self.spec, "slots": slots}

    @torch.no_grad()
    def _start(self) -> None:
        """Write each word, its own key in it, to a free slot; look words up by content, sharply.

        From vague lookups, even gates and words that no key fits, every read is about the mean of
        the memory, and y falls silent before the memory is of any use.
        """
        _, code, heads = self.sizes
        self.writer.weight[:code, -code:] += torch.eye(code)
        asked: nn.Linear = self.question[-1]  # type: ignore[assignment]
        quieten(asked, 0.25)
        for last in (self.looker, asked):
            bias = last.bias.view(heads, -1)
            bias[:, code] += START_STRENGTH
            bias[:, code + 1 :] += torch.tensor([0.0, 2.0, 0.0][: self.modes])
        gates = self.writer.bias.split(self._write_sizes())[-len(self.gates) :]
        for gate, sign in zip(gates, self.gates, strict=True):
            gate += sign * START_GATE

    def _written(self, embeddings: Tensor) -> Slots:
        """The memory after one step of the controller for each embedding of (B, T, width)."""
        slots = Slots.empty(embeddings, *self.sizes)
        hidden: Hidden = (torch.zeros_like(embeddings[:, 0]), torch.zeros_like(embeddings[:, 0]))
        with full_precision(embeddings):
            keys = self.question(self._q_y(embeddings).rsample())[..., : self.sizes[1]]
            for item in torch.cat([embeddings / EMBEDDING_STD, keys], -1).unbind(1):
                slots, hidden = self._step(slots, hidden, item)
        return slots

    def _step(self, slots: Slots, hidden: Hidden, item: Tensor) -> tuple[Slots, Hidden]:
        """Write one word, then let the heads read.

        Args:
            item: an embedding beside the key by which the first head will ask for it, with shape
                (B, width + C).
        """
        _, code, heads = self.sizes
        found = (slots.reads @ slots.memory).flatten(1)
        hidden = self.controller(torch.cat([item, found], -1), hidden)
        seen = torch.cat([hidden[0], item], -1)
        slots = self._wrote(slots, self.writer(seen).split(self._write_sizes(), -1))
        lookup = Lookup.of(self.looker(seen).unflatten(-1, (heads, -1)), code)
        return slots._replace(reads=access.read_weights(slots, lookup, slots.reads)), hidden

    def _write_sizes(self) -> list[int]:
        """Widths of what `_wrote` is given."""
        _, code, heads = self.sizes
        return [code, code, code, 1, heads, 1, 1]

    def _wrote(self, slots: Slots, interface: tuple[Tensor, ...]) -> Slots:
        """Graves et al.: to where the key is found, or to a slot that is free."""
        add, erase, key, strength, free, allocation_gate, write_gate = interface
        usage = access.usage_after(slots.usage, slots.write, slots.reads, free.sigmoid())
        content = access.content_weights(slots.memory, key[:, None], 1 + softplus(strength))
        write = access.write_weights(
            content[:, 0],
            access.allocation(usage),
            allocation_gate.sigmoid(),
            write_gate.sigmoid(),
        )
        return slots._replace(
            memory=access.erase_and_add(slots.memory, write, erase.sigmoid(), add),
            usage=usage,
            write=write,
            precedence=access.precedence_after(slots.precedence, write),
            link=access.link_after(slots.link, slots.precedence, write),
        )

    def _read(self, embeddings: Tensor, slots: Slots, sample: bool = True) -> Reading:
        q_y = self._q_y(embeddings)
        y = q_y.rsample() if sample else q_y.mean
        p_z = self._p_z(slots, y)
        shift = self.shift(torch.cat([embeddings, p_z.mean], -1))
        return Reading(y, q_y, p_z, normal(p_z.mean + shift.mean, shift.stddev))

    def _q_y(self, embeddings: Tensor) -> Independent:
        if self.training:
            embeddings = embeddings + self.address_noise_std * torch.randn_like(embeddings)
        return self.q_y(embeddings)

    def _p_z(self, slots: Slots, y: Tensor) -> Independent:
        """p(z|y, M) for addresses y with shape (B, n, S)."""
        found = torch.einsum("bnhk,bkc->bnhc", self._look(slots, y), slots.memory)
        return normal(self.merge(found.flatten(-2)), (0.5 * self.log_noise_var).exp())

    def _look(self, slots: Slots, y: Tensor) -> Tensor:
        """Where the heads read for addresses y (B, n, S), with shape (B, n, heads, K)."""
        _, code, heads = self.sizes
        raw = self.question(y).unflatten(-1, (heads, -1))
        weights = access.read_weights(slots, Lookup.of(raw.flatten(1, 2), code))
        return weights.unflatten(1, (-1, heads))


class LRUA(DNC):
    """The same with Santoro et al.'s rule: write to the slot used least, or to the one just read.

    It reads by content alone and has no links. One word is written at each step; "just read" is
    the mean over the heads. Santoro et al. write the very key that they read by, and their gate is
    one trained number: here the word and the gate are the controller's.
    """

    kind = "lrua"
    modes = 0
    gates = (-1,)

    def _write_sizes(self) -> list[int]:
        return [self.sizes[1], 1]

    def _wrote(self, slots: Slots, interface: tuple[Tensor, ...]) -> Slots:
        add, gate = interface
        usage = access.decayed_usage(slots.usage, slots.write, slots.reads)
        least = access.least_used(usage)
        write = access.lrua_write_weights(slots.reads, least, gate.sigmoid())
        memory = access.clear_and_add(slots.memory, least, write, add)
        return slots._replace(memory=memory, usage=usage, write=write)
