"""The two ways in which a memory looks at a pair: where it looks, and what it finds there.

* mode ``h``: address b(s), code e(s, a): what is done here? It is Bayesian regression of the
  policy, whose variance says whether the state was ever seen.
* mode ``a``: address b(s, a), code e(s, a): have I seen this?
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from km_rl.nn.mlp import mlp

Mode = Literal["h", "a"]
Features = Literal["learned", "random"]


class RandomAddress(nn.Module):
    r"""Random Fourier features: :math:`w = \sqrt{2/K} \cos(\Omega x + \phi)`, never trained.

    :math:`w(x)^T w(x') \approx \exp(-|x - x'|^2 / 2 \ell^2)`, so the memory is a Gaussian process
    with that kernel (Rahimi & Recht 2007). :math:`\ell^2` is ``width`` times ``inputs``.
    """

    frequency: Tensor
    phase: Tensor

    def __init__(self, inputs: int, slots: int, width: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("frequency", torch.randn(inputs, slots) / (width * inputs) ** 0.5)
        self.register_buffer("phase", 2 * math.pi * torch.rand(slots))

    def forward(self, x: Tensor) -> Tensor:
        """Features [N, inputs] -> addresses [N, K], of length near 1."""
        return (2 / len(self.phase)) ** 0.5 * (x @ self.frequency + self.phase).cos()


class LearnedAddress(nn.Module):
    """A perceptron's output, scaled to length 1: what it cannot say by length it must by angle."""

    def __init__(self, inputs: int, slots: int, hidden: int) -> None:
        super().__init__()
        self.net = mlp(inputs, hidden, slots)

    def forward(self, x: Tensor) -> Tensor:
        """Features [N, inputs] -> addresses [N, K] of length 1."""
        return normalize(self.net(x), dim=-1)


class Channel(nn.Module):
    """From a pair to its address and code.

    With ``random`` features nothing is trained: the code of mode h is the action, that of mode a
    the pair itself. With ``learned`` ones both are perceptrons, and codes lie between -1 and 1.

    Args:
        state: entries of s.
        rest: entries of a, or of (a, s').
        slots: K.
        code: C, of learned codes.
        hidden: width of the perceptrons.
    """

    def __init__(
        self,
        mode: Mode,
        features: Features,
        state: int,
        rest: int,
        slots: int,
        code: int,
        hidden: int,
    ) -> None:
        super().__init__()
        self.mode, self.features, self.state = mode, features, state
        inputs = state if mode == "h" else state + rest
        self.address: nn.Module
        if features == "random":
            self.address = RandomAddress(inputs, slots)
            self.code_width = rest if mode == "h" else inputs
        else:
            self.address = LearnedAddress(inputs, slots, hidden)
            self.code = mlp(state + rest, hidden, code)
            self.code_width = code

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised pairs [N, D] -> addresses [N, K] and codes [N, C]."""
        w = self.address(x[:, : self.state] if self.mode == "h" else x)
        if self.features == "learned":
            return w, self.code(x).tanh()
        return w, x[:, self.state :] if self.mode == "h" else x
