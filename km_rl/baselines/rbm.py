r"""A restricted Boltzmann machine as a memory, trained by PCD (Tieleman 2008).

.. math::
    p(v, h) \propto \exp(a^T v + b^T h + v^T W h), \qquad
    F(v) = -a^T v - \sum_k \ln(1 + e^{b_k + v^T W_k})

Writing is maximum likelihood by stochastic gradients: the data's statistics less those of Markov
chains that persist from one update to the next. Reading is Gibbs sampling from the query.

Axes: ``N`` patterns, ``D`` visible units, ``H`` hidden ones. Units are 0 or 1 inside.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from km_rl.baselines.associative import checked, from_bits, to_bits
from km_rl.errors import InputError, above_zero, at_least_one

MOST_ENUMERATED = 20
"""Units of the smaller side up to which all its states are summed over."""


class RBM(NamedTuple):
    """The net, and how it learns.

    Attributes:
        weights: W, with shape (D, H).
        visible: a, with shape (D,).
        hidden: b, with shape (H,).
        updates: gradient steps of one write.
        rate: the first step's size; it falls to 0 in a straight line.
        batch: patterns in a step, and chains.
    """

    weights: Tensor
    visible: Tensor
    hidden: Tensor
    updates: int
    rate: float
    batch: int

    @classmethod
    def empty(
        cls, size: int, hidden: int, updates: int = 1000, rate: float = 0.05, batch: int = 64
    ) -> RBM:
        """Small random weights and no biases.

        Raises:
            InputError: sizes below 1, a rate that is not positive.
        """
        at_least_one(size=size, hidden=hidden, updates=updates, batch=batch)
        above_zero(rate=rate)
        weights = 0.01 * torch.randn(size, hidden)
        return cls(weights, torch.zeros(size), torch.zeros(hidden), updates, rate, batch)

    @property
    def stored_numbers(self) -> int:
        """Weights and biases; the chains are let go after a write."""
        return self.weights.numel() + self.visible.numel() + self.hidden.numel()

    def write(self, patterns: Tensor) -> RBM:
        """Learn these patterns, from where the net is. What was learned before may fade."""
        data = to_bits(checked(patterns, len(self.visible)))
        rbm = self._replace(**{name: getattr(self, name).to(data.device) for name in NUMBERS})
        chains = data[torch.randint(len(data), (self.batch,))]
        for update in range(self.updates):
            batch = data[torch.randint(len(data), (self.batch,))]
            chains = rbm.gibbs(chains)
            rate = self.rate * (1 - update / self.updates)
            rbm = rbm._climbed(batch, chains, rate)
        return rbm

    def read(self, queries: Tensor, steps: int = 1) -> Tensor:
        """Gibbs steps from the query; the last one ends in the likelier value of each unit."""
        at_least_one(steps=steps)
        v = to_bits(checked(queries, len(self.visible)))
        for _ in range(steps - 1):
            v = self.gibbs(v)
        v = self.visible_given(self.hidden_given(v).bernoulli())
        return from_bits((v > 0.5).float())

    def hidden_given(self, v: Tensor) -> Tensor:
        """p(h = 1 | v), with shape (N, H)."""
        return torch.sigmoid(self.hidden + v @ self.weights)

    def visible_given(self, h: Tensor) -> Tensor:
        """p(v = 1 | h), with shape (N, D)."""
        return torch.sigmoid(self.visible + h @ self.weights.mT)

    def gibbs(self, v: Tensor) -> Tensor:
        """A sample of all visible units, by way of one of all hidden units."""
        return self.visible_given(self.hidden_given(v).bernoulli()).bernoulli()

    def free_energy(self, v: Tensor) -> Tensor:
        """F(v) in nats of states 0 or 1, with shape (N,): -ln p(v) up to a constant."""
        return -v @ self.visible - softplus(self.hidden + v @ self.weights).sum(-1)

    def log_partition(self) -> Tensor:
        """ln Z in nats, exactly, by a sum over all states of the smaller side.

        Raises:
            InputError: that side has more than `MOST_ENUMERATED` units.
        """
        fewest = min(self.weights.shape)
        if fewest > MOST_ENUMERATED:
            raise InputError(
                f"The smaller side has {fewest} units: the partition function is summed exactly "
                f"for up to {MOST_ENUMERATED}."
            )
        visible_is_smaller = len(self.visible) <= len(self.hidden)
        rbm = self if visible_is_smaller else self._turned()
        states = torch.arange(2**fewest, device=self.weights.device)[:, None]
        bits = (states >> torch.arange(fewest, device=states.device)) & 1
        return (-rbm.free_energy(bits.to(self.weights.dtype))).logsumexp(0)

    def log_likelihood(self, patterns: Tensor) -> Tensor:
        """ln p(v) in nats of +1 or -1 patterns, with shape (N,); small nets only."""
        v = to_bits(checked(patterns, len(self.visible))).to(self.weights.dtype)
        return -self.free_energy(v) - self.log_partition()

    def _turned(self) -> RBM:
        """The same net with the sides exchanged."""
        return self._replace(weights=self.weights.mT, visible=self.hidden, hidden=self.visible)

    def _climbed(self, data: Tensor, chains: Tensor, rate: float) -> RBM:
        """One step up the likelihood's gradient: <v h> of the data less that of the chains."""
        h, h_model = self.hidden_given(data), self.hidden_given(chains)
        step = rate / len(data)
        return self._replace(
            weights=self.weights + step * (data.mT @ h - chains.mT @ h_model),
            visible=self.visible + rate * (data.mean(0) - chains.mean(0)),
            hidden=self.hidden + rate * (h.mean(0) - h_model.mean(0)),
        )


NUMBERS = ("weights", "visible", "hidden")
"""The fields that hold what was written."""
