"""Kanerva's machines as associative memories, beside those they descend from.

`NaturalRecall` has nothing learned: the random addresses of a sparse distributed memory, written
by Bayes' rule in place of counting. `KanervaRecall` is the trained machine. `EpisodeRecall` takes
any other one that writes an episode of images at once and reads it iteratively.

Axes: ``N`` patterns, ``D`` units of a pattern, ``K`` slots, ``C`` code width.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from km_rl.baselines.associative import checked, from_bits, signs, to_bits
from km_rl.baselines.dnc import DNC, LRUA
from km_rl.core.diagonal import DiagonalMemory
from km_rl.core.episodic import EpisodicModel
from km_rl.core.machine import KanervaMachine
from km_rl.core.memory import Memory
from km_rl.core.natural import NaturalMemory
from km_rl.core.prior import MemoryPrior
from km_rl.errors import InputError, above_zero, at_least_one

IMAGE_SHAPE = (1, 28, 28)


class NaturalRecall(NamedTuple):
    """A `NaturalMemory` at random addresses w = tanh(g A x), whose codes are the patterns.

    Attributes:
        memory: the posterior over a K x D matrix.
        addresses: A, fixed and random, with shape (D, K).
        noise_var: sigma^2, the variance of a unit around its read-out.
    """

    memory: NaturalMemory
    addresses: Tensor
    noise_var: float

    @classmethod
    def empty(
        cls, size: int, slots: int, noise_var: float = 1.0, gain: float = 1.0, seed: int = 0
    ) -> NaturalRecall:
        """Random addresses and the prior MN(0, I, I).

        Args:
            gain: g, the std of an address's entries before the tanh.

        Raises:
            InputError: sizes below 1, a variance or gain that is not positive.
        """
        at_least_one(size=size, slots=slots)
        above_zero(noise_var=noise_var, gain=gain)
        generator = torch.Generator().manual_seed(seed)
        addresses = gain * size**-0.5 * torch.randn(size, slots, generator=generator)
        prior = NaturalMemory.prior(torch.zeros(slots, size), torch.eye(slots))
        return cls(prior, addresses, noise_var)

    @property
    def stored_numbers(self) -> int:
        """The shift, and the lower triangle of the precision."""
        K, C = self.memory.shift.shape
        return K * C + K * (K + 1) // 2

    def write(self, patterns: Tensor) -> NaturalRecall:
        """Add patterns; their order does not matter."""
        X = checked(patterns, len(self.addresses))
        memory = NaturalMemory(*(x.to(X.device) for x in self.memory))
        return self._replace(memory=memory.write(self.weights(X), X, self.noise_var))

    def read(self, queries: Tensor, steps: int = 1) -> Tensor:
        """Signs of the mean read-out, fed back ``steps`` times."""
        at_least_one(steps=steps)
        states = checked(queries, len(self.addresses))
        mean = self.memory.moments().mean.float()
        for _ in range(steps):
            states = signs(self.weights(states) @ mean, states)
        return states

    def weights(self, patterns: Tensor) -> Tensor:
        """w, with shape (N, K)."""
        return torch.tanh(patterns @ self.addresses.to(patterns.device))


class EpisodeRecall(NamedTuple):
    """A machine with the memory of one episode.

    Attributes:
        machine: as trained, in evaluation mode, on images of ``image_shape``.
        memory: what `write` returned; None before.
        image_shape: channels, height and width.
    """

    machine: EpisodicModel[Any]
    memory: Any = None
    image_shape: tuple[int, int, int] = IMAGE_SHAPE

    @classmethod
    def empty(
        cls, machine: EpisodicModel[Any], image_shape: tuple[int, int, int] = IMAGE_SHAPE
    ) -> EpisodeRecall:
        """The machine before it writes."""
        return cls(machine.eval(), None, image_shape)

    @property
    def stored_numbers(self) -> int:
        """Whatever writing changes.

        A DNC's words, usage, last weightings and precedence, and its links but those of a slot to
        itself; the same without precedence and links for LRUA; R and the lower triangle of U.
        """
        machine = self.machine
        if isinstance(machine, DNC):
            K, C, heads = machine.sizes
            links = 0 if isinstance(machine, LRUA) else K + K * (K - 1)
            return K * (C + 2 + heads) + links
        prior: MemoryPrior = machine.prior  # type: ignore[assignment]
        K, C = prior.mean.shape
        return K * C + K * (K + 1) // 2

    @torch.no_grad()
    def write(self, patterns: Tensor) -> EpisodeRecall:
        """Write the patterns as one episode.

        Raises:
            InputError: there is an episode in it already.
        """
        if self.memory is not None:
            raise InputError("An episode is written already: write all patterns at once.")
        memory = self.machine.write(images_of(patterns, self.image_shape))
        return self._replace(memory=memory)

    def read(self, queries: Tensor, steps: int = 1) -> Tensor:
        """Ink where the last of ``steps`` pictures has it with probability above a half.

        Raises:
            InputError: nothing is written.
        """
        if self.memory is None:
            raise InputError("Nothing is written yet: write patterns before reading.")
        return _read(self.machine, self.memory, queries, steps, self.image_shape)


class KanervaRecall(NamedTuple):
    """A trained `KanervaMachine` with a memory, which may be written to again and again.

    Attributes:
        machine: as trained, in evaluation mode.
        memory: the posterior of one episode, with shapes (1, K, C) and (1, K, K).
        image_shape: channels, height and width.
    """

    machine: KanervaMachine
    memory: Memory
    image_shape: tuple[int, int, int] = IMAGE_SHAPE

    @classmethod
    @torch.no_grad()
    def empty(
        cls, machine: KanervaMachine, image_shape: tuple[int, int, int] = IMAGE_SHAPE
    ) -> KanervaRecall:
        """The machine with its prior for a memory, in float64: see `condition`."""
        prior = machine.prior()
        memory = type(prior)(*(x[None].double() for x in prior))
        return cls(machine.eval(), memory, image_shape)

    @property
    def stored_numbers(self) -> int:
        """R, and the lower triangle of U, or its diagonal where that is all."""
        K, C = self.memory.mean.shape[-2:]
        return K * C + (K if isinstance(self.memory, DiagonalMemory) else K * (K + 1) // 2)

    @torch.no_grad()
    def write(self, patterns: Tensor) -> KanervaRecall:
        """Condition the memory on a sample of every pattern's address and code."""
        items = self.machine.items(images_of(patterns, self.image_shape))
        return self._replace(memory=self.memory.write(*items, self.machine.prior.noise_var))

    def read(self, queries: Tensor, steps: int = 1) -> Tensor:
        """Ink where the last of ``steps`` pictures has it with probability above a half."""
        return _read(self.machine, self.memory, queries, steps, self.image_shape)


def images_of(patterns: Tensor, shape: tuple[int, int, int] = IMAGE_SHAPE) -> Tensor:
    """Patterns ``[N, D]`` as one episode of images in 0..1, ``[1, N, channels, H, W]``."""
    channels, height, width = shape
    bits = to_bits(checked(patterns, channels * height * width))
    return bits.unflatten(1, shape)[None]


@torch.no_grad()
def _read(
    machine: EpisodicModel[Any],
    memory: Any,
    queries: Tensor,
    steps: int,
    shape: tuple[int, int, int],
) -> Tensor:
    pictures = machine.iterate(memory, images_of(queries, shape), steps)[-1, 0]
    return from_bits((pictures > 0.5).float()).flatten(1)
