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

from km_rl.errors import InputError
from km_rl.nn.mlp import mlp

Mode = Literal["h", "a"]
Features = Literal["learned", "random"]


class RandomAddress(nn.Module):
    r"""Random features of a pair and the pair itself, never trained.

    :math:`w = (\sqrt{2/F} \cos(\Omega x + \phi),\ x / \sqrt D,\ 1) / \sqrt 3`, so that reading a
    memory is Gaussian process regression (Rahimi & Recht 2007) with the kernel
    :math:`[(1 + |x - x'|^2 / D)^{-1/2} + x^T x' / D + 1] / 3 \approx w(x)^T w(x')`. The rational
    quadratic, a mixture of Gaussian kernels of all widths, tells near pairs apart; the linear part
    still says which way the expert is where all that was remembered is far.

    Args:
        inputs: D.
        slots: K, of which F = K - D - 1 are random.

    Raises:
        InputError: no slot is left for a random feature.
    """

    frequency: Tensor
    phase: Tensor

    def __init__(self, inputs: int, slots: int) -> None:
        super().__init__()
        F = slots - inputs - 1
        if F < 1:
            raise InputError(
                f"slots is {slots} where pairs have {inputs} entries: give more than "
                f"{inputs + 1}, or learned features."
            )
        width = torch.distributions.Gamma(0.5, 0.5).sample((F,)).rsqrt()
        self.register_buffer("frequency", torch.randn(inputs, F) / (width * inputs**0.5))
        self.register_buffer("phase", 2 * math.pi * torch.rand(F))

    def forward(self, x: Tensor) -> Tensor:
        """Features [N, D] -> addresses [N, K], of length near 1 where x is of variance 1."""
        waves = (2 / len(self.phase)) ** 0.5 * (x @ self.frequency + self.phase).cos()
        parts = [waves, x / x.shape[-1] ** 0.5, torch.ones_like(x[:, :1])]
        return torch.cat(parts, -1) / 3**0.5


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
    the pair itself. With ``learned`` ones both are perceptrons, and codes lie between -1 and 1;
    with ``address`` only the address is one, and codes are as with random features. Where a
    memory is to hold labels, ``code`` is 0 and only addresses are asked for.

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
        features: Features | Literal["address"],
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
        else:
            self.address = LearnedAddress(inputs, slots, hidden)
        self.code_width = rest if mode == "h" else inputs
        if features == "learned":
            self.code_width = code
            if code:
                self.code = mlp(state + rest, hidden, code)

    def where(self, x: Tensor) -> Tensor:
        """Normalised pairs [N, D] -> addresses w [N, K]."""
        return self.address(x[:, : self.state] if self.mode == "h" else x)

    def what(self, x: Tensor) -> Tensor:
        """Normalised pairs [N, D] -> codes z [N, C]."""
        if self.features == "learned":
            return self.code(x).tanh()
        return x[:, self.state :] if self.mode == "h" else x
