r"""Hopfield nets: patterns as minima of an energy (Hopfield 1982).

.. math::
    E(s) = -\tfrac12 \sum_{i \ne j} W_{ij} s_i s_j, \qquad
    s_i \leftarrow \mathrm{sign} \sum_{j \ne i} W_{ij} s_j

Two rules write W. Hebb's, :math:`W = X^T X / D`, adds up and forgets itself beyond 0.138 D random
patterns (Amit, Gutfreund & Sompolinsky 1985). The pseudo-inverse rule projects onto the span of
the patterns, which keeps as many as are linearly independent (Personnaz, Guyon & Dreyfus 1985).

The modern net holds the patterns themselves, in an energy whose minimum one softmax attention
finds; its capacity grows exponentially with D (Ramsauer et al. 2021, eq. 3).

Axes: ``N`` patterns, ``D`` units.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from km_rl.baselines.associative import checked, signs
from km_rl.baselines.key_value import appended
from km_rl.errors import InputError, above_zero, at_least_one

Rule = Literal["hebbian", "pseudo-inverse"]
Update = Literal["asynchronous", "synchronous"]
RULES: tuple[Rule, ...] = ("hebbian", "pseudo-inverse")
UPDATES: tuple[Update, ...] = ("asynchronous", "synchronous")
NEW = 1e-5
"""Share of a pattern's squared length that must lie outside the span for it to be a new one."""


class Hopfield(NamedTuple):
    """The binary net. Units do not act on themselves, whatever the diagonal of W says.

    Attributes:
        weights: W, symmetric, with shape (D, D).
        rule: ``hebbian`` or ``pseudo-inverse``.
        update: ``asynchronous``, one unit after another in random order, or ``synchronous``, all
            at once.
    """

    weights: Tensor
    rule: Rule
    update: Update

    @classmethod
    def empty(cls, size: int, rule: Rule = "hebbian", update: Update = "asynchronous") -> Hopfield:
        """A net of ``size`` units with nothing written.

        Raises:
            InputError: a size below 1, a rule or an update that is not known.
        """
        at_least_one(size=size)
        for name, given, known in (("rule", rule, RULES), ("update", update, UPDATES)):
            if given not in known:
                raise InputError(f"The {name} '{given}' is not known: give {' or '.join(known)}.")
        return cls(torch.zeros(size, size), rule, update)

    @property
    def stored_numbers(self) -> int:
        """The lower triangle of W, whose diagonal only the pseudo-inverse rule needs."""
        D = len(self.weights)
        return D * (D - 1) // 2 if self.rule == "hebbian" else D * (D + 1) // 2

    def write(self, patterns: Tensor) -> Hopfield:
        """Add patterns by the rule; their order does not matter."""
        X = checked(patterns, len(self.weights))
        W = self.weights.to(X.device)
        added = X.mT @ X / X.shape[1] if self.rule == "hebbian" else _outside(W, X)
        return self._replace(weights=W + added)

    def read(self, queries: Tensor, steps: int = 1) -> Tensor:
        """Update every unit ``steps`` times, or until nothing changes."""
        at_least_one(steps=steps)
        states = checked(queries, len(self.weights))
        for _ in range(steps):
            before = states
            states = self._sweep(states) if self.update == "asynchronous" else self._jump(states)
            if torch.equal(states, before):
                break
        return states

    def fields(self, states: Tensor) -> Tensor:
        """What the other units say to each, with the shape of ``states``."""
        return states @ self.weights - states * self.weights.diagonal()

    def energy(self, states: Tensor) -> Tensor:
        """E(s) of each state, with shape (N,). No asynchronous update raises it."""
        return -0.5 * (states * self.fields(states)).sum(-1)

    def _jump(self, states: Tensor) -> Tensor:
        return signs(self.fields(states), states)

    def _sweep(self, states: Tensor) -> Tensor:
        """Every unit once, in random order; the states as columns, so that a unit is a row."""
        s, W = states.mT.clone(), self.weights
        for i in torch.randperm(len(W)).tolist():
            s[i] = signs(W[i] @ s - W[i, i] * s[i], s[i])
        return s.mT.contiguous()


def _outside(W: Tensor, X: Tensor) -> Tensor:
    """The projector onto what the patterns add to the span that W projects onto."""
    rest = X.double() - X.double() @ W.double()
    variance, axes = torch.linalg.eigh(rest.mT @ rest)
    new = axes[:, variance > NEW * X.shape[1]]
    return (new @ new.mT).to(W.dtype)


class ModernHopfield(NamedTuple):
    r"""The continuous net: :math:`\xi \leftarrow X^T \mathrm{softmax}(\beta X \xi)`.

    Attributes:
        patterns: X, with shape (N, D), in the order of writing.
        beta: how sharply the nearest pattern is chosen.
        slots: how many patterns there may be; beyond it the oldest give way.
    """

    patterns: Tensor
    beta: float
    slots: int

    @classmethod
    def empty(cls, size: int, slots: int, beta: float = 1.0) -> ModernHopfield:
        """A net for patterns of ``size`` units with nothing written.

        Raises:
            InputError: sizes below 1, a beta that is not positive.
        """
        at_least_one(size=size, slots=slots)
        above_zero(beta=beta)
        return cls(torch.empty(0, size), beta, slots)

    @property
    def stored_numbers(self) -> int:
        """D for each slot."""
        return self.slots * self.patterns.shape[1]

    def write(self, patterns: Tensor) -> ModernHopfield:
        """Append, and let the oldest go where there is no room."""
        return self._replace(patterns=appended(self.patterns, patterns, self.slots))

    def read(self, queries: Tensor, steps: int = 1) -> Tensor:
        """The sign of `settle`."""
        queries = checked(queries, self.patterns.shape[1])
        return signs(self.settle(queries, steps), queries)

    def settle(self, states: Tensor, steps: int = 1) -> Tensor:
        """So many steps from real states with shape (N, D)."""
        at_least_one(steps=steps, written=len(self.patterns))
        X = self.patterns
        for _ in range(steps):
            states = scaled_dot_product_attention(states, X, X, scale=self.beta)
        return states

    def energy(self, states: Tensor) -> Tensor:
        r"""With shape (N,), up to a constant: :math:`|\xi|^2/2 - \ln\sum e^{\beta X\xi}/\beta`."""
        attraction = (self.beta * states @ self.patterns.mT).logsumexp(-1) / self.beta
        return 0.5 * states.square().sum(-1) - attraction
