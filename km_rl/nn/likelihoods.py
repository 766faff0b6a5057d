"""p(x|z): from a decoder's output, in image layout, to a distribution over images.

The three image axes ``[channels, height, width]`` are the event: ``log_prob`` is in nats per
image, and ``mean`` is the picture.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal
from torch.nn.functional import binary_cross_entropy_with_logits

Likelihood = Literal["bernoulli", "gaussian"]


class _Bernoulli(Bernoulli):
    """Bernoulli whose log-probability is the fused, stable cross-entropy on the logits."""

    def log_prob(self, value: Tensor) -> Tensor:
        logits, value = torch.broadcast_tensors(self.logits, value)
        return -binary_cross_entropy_with_logits(logits, value, reduction="none")


class BernoulliLikelihood(nn.Module):
    """Binary pixels: the decoder's output is the log-odds of ink."""

    background = -2.3
    """The output to start from: a drawing has ink on about a tenth of its pixels."""

    def forward(self, output: Tensor) -> Distribution:
        """``[..., channels, H, W]`` logits to a distribution over images."""
        return Independent(_Bernoulli(logits=output.float(), validate_args=False), 3)


class GaussianLikelihood(nn.Module):
    """Pixels in 0..1 with uniform noise over one grey level added (``dequantise``).

    One std for all pixels is trained; it stays above ``smallest_std`` (a quarter of one of
    ``levels`` grey levels), because a density on discrete values would grow without bound.

    Args:
        levels: how many grey levels the data have.
    """

    background = 0.5
    """The output to start from: the middle of the range."""

    def __init__(self, levels: int = 256) -> None:
        super().__init__()
        self.smallest_std = 0.25 / levels
        self.log_std = nn.Parameter(torch.tensor(0.1).log())

    def forward(self, output: Tensor) -> Distribution:
        """``[..., channels, H, W]`` means to a density over images."""
        mean = output.float()
        std = (self.log_std.exp() + self.smallest_std).expand_as(mean)
        return Independent(Normal(mean, std, validate_args=False), 3)


LIKELIHOODS: dict[str, type[BernoulliLikelihood] | type[GaussianLikelihood]] = {
    "bernoulli": BernoulliLikelihood,
    "gaussian": GaussianLikelihood,
}


def dequantise(images: Tensor, generator: torch.Generator, levels: int = 256) -> Tensor:
    """Add U(0, 1/levels) to grey values k/levels, so that a density over them is bounded.

    Args:
        images: whole grey levels divided by ``levels``, with any shape, in ``[0, 1)``.
    """
    noise = torch.rand(images.shape, generator=generator).to(images.device)
    return images + noise / levels


def bits_per_dimension(nats: Tensor, dimensions: int, levels: int = 256) -> Tensor:
    """From nats per image, for a density over pixels in 0..1, to bits per dimension.

    A density over 0..1 becomes one over 0..levels by dividing by ``levels`` per dimension, which
    adds ``ln levels`` nats each: ``(nats / dimensions + ln levels) / ln 2``.
    """
    return (nats / dimensions + torch.tensor(float(levels)).log()) / torch.tensor(2.0).log()
