"""The paper's multi-layer perceptrons: two layers, one ReLU between them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal
from torch.nn.functional import softplus

from km_rl.nn.initial import EMBEDDING_STD, keep_variance
from km_rl.nn.precision import at_least_single

QUIET = 0.2
"""Share of their means and spreads that Gaussian heads start with."""

ADDED = 0.01
"""Share of a net's mean that is added to a code that is passed. A wide layer's weights each jitter
by Adam's step size, which together would blur what is passed."""


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two linear layers with a ReLU between: ``[..., inputs] -> [..., outputs]``."""
    return keep_variance(
        nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
    )


def normal(mean: Tensor, std: Tensor | float) -> Independent:
    """The distribution ``N(mean, diag(std^2))`` over the last axis."""
    if not isinstance(std, Tensor):
        std = mean.new_full((), std)
    return Independent(Normal(mean, std.expand_as(mean), validate_args=False), 1)


class GaussianHead(nn.Module):
    """From an embedding to a diagonal Gaussian: ``[..., inputs] -> N(mean, diag(std^2))``.

    The std is ``softplus`` of the second half of the outputs, which starts near ``initial_std``
    for every input; it cannot become zero or negative.

    Args:
        passes: a skip connection: the last ``width`` inputs are a code, and the mean is that code
            and what the net adds to it.
        gain: the same, and the mean moves from there towards the ``width`` inputs before, which
            tell of the same code, by a trained share of the way, as a Kalman gain does; this is
            where it starts, from 0 to 1 with shape (width,).
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        hidden: int,
        initial_std: float = 1.0,
        passes: bool = False,
        gain: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.net = mlp(inputs, hidden, 2 * width)
        self.passes = passes or gain is not None
        self.raw_gain = None if gain is None else nn.Parameter(gain.logit())
        with torch.no_grad():
            self.first.weight /= EMBEDDING_STD
            self.last.weight *= QUIET
            # The inverse of softplus, which is linear from 20 on.
            raw = initial_std if initial_std > 20 else math.log(math.expm1(initial_std))
            self.last.bias[width:] = raw

    @property
    def first(self) -> nn.Linear:
        """The layer that sees the inputs."""
        return self.net[0]  # type: ignore[return-value]

    @property
    def last(self) -> nn.Linear:
        """The layer whose outputs are the mean and the raw std."""
        return self.net[2]  # type: ignore[return-value]

    @torch.no_grad()
    def start_sharp(self, dims: int, std: float) -> GaussianHead:
        """Let only the first ``dims`` entries start with something to say, and with this std."""
        width = self.last.out_features // 2
        self.last.weight[:dims] /= QUIET
        self.last.weight[dims:width] *= QUIET
        self.last.bias[width : width + dims] = math.log(math.expm1(std))
        return self

    @torch.no_grad()
    def start_as_identity(self) -> GaussianHead:
        """Let the mean start near the last ``width`` inputs, by relu(x) - relu(-x) = x.

        Otherwise a posterior that ought to follow its prior has to learn to copy it first.
        """
        width = self.last.out_features // 2
        eye = torch.eye(width)
        self.first.weight[:, :-width] *= 0.02
        self.first.weight[:, -width:] = 0
        self.first.weight[: 2 * width, -width:] = torch.cat([eye, -eye])
        self.last.weight *= 0.02
        self.last.weight[:width, : 2 * width] += torch.cat([eye, -eye], 1)
        return self

    def forward(self, inputs: Tensor) -> Independent:
        """Return the Gaussian, in float32 also under autocast."""
        mean, raw = at_least_single(self.net(inputs)).chunk(2, dim=-1)
        if self.passes:
            mean = ADDED * mean + self._passed(at_least_single(inputs), mean.shape[-1])
        return normal(mean, softplus(raw) + 1e-4)

    def _passed(self, inputs: Tensor, width: int) -> Tensor:
        code = inputs[..., -width:]
        if self.raw_gain is None:
            return code
        return torch.lerp(code, inputs[..., -2 * width : -width], self.raw_gain.sigmoid())
