"""p(x|z): from a decoder's output, in image layout, to a distribution over images.

The three image axes ``[channels, height, width]`` are the event: ``log_prob`` is in nats per
image.
"""

from __future__ import annotations

import math
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal
from torch.nn.functional import binary_cross_entropy_with_logits

from km_rl.nn.precision import at_least_single

Likelihood = Literal["bernoulli", "gaussian", "pixel-gaussian"]


class _Bernoulli(Bernoulli):
    """Bernoulli whose log-probability is the fused, stable cross-entropy on the logits."""

    def log_prob(self, value: Tensor) -> Tensor:
        logits, value = torch.broadcast_tensors(self.logits, value)
        return -binary_cross_entropy_with_logits(logits, value, reduction="none")


class BernoulliLikelihood(nn.Module):
    """Binary pixels: the decoder's output is the log-odds of ink."""

    outputs = 1
    """Numbers that a decoder gives for each value of an image."""
    background = -2.3
    """The output to start from: a drawing has ink on about a tenth of its pixels."""
    middle = 0.0
    """The value of a pixel that an encoder sees as 0: paper, which is most of a drawing."""

    def forward(self, output: Tensor) -> Distribution:
        """``[..., channels, H, W]`` logits to a distribution over images."""
        return Independent(_Bernoulli(logits=at_least_single(output), validate_args=False), 3)


class GaussianLikelihood(nn.Module):
    """Pixels in 0..1 with uniform noise over one grey level added, see `km_rl.data.episodes`.

    One std for all pixels is trained. It starts at that of natural images, as nothing is known
    about them: with a smaller one the first decoded images are so improbable that training starts
    with a jolt. It stays above ``smallest_std`` (a quarter of one of ``levels`` grey levels),
    because a density on discrete values would grow without bound.

    Args:
        levels: how many grey levels the data have.
    """

    outputs = 1
    background = 0.0
    """The output to start from: none, so that pictures are all of the middle grey."""
    middle = 0.5
    """What an encoder sees as 0 and a decoder's output is added to. Without it the grey that all
    images share is most of their embeddings, addresses start alike, and the first steps are
    rough; and in bfloat16 an output near 1 would be right to a whole grey level only."""

    def __init__(self, levels: int = 256) -> None:
        super().__init__()
        self.smallest_std = 0.25 / levels
        self.log_std = nn.Parameter(torch.tensor(0.25).log())

    def forward(self, output: Tensor) -> Distribution:
        """``[..., channels, H, W]`` means, less the middle, to a density over images."""
        return self._around(at_least_single(output), self.log_std)

    def _around(self, mean: Tensor, log_std: Tensor) -> Distribution:
        std = (log_std.exp() + self.smallest_std).expand_as(mean)
        return Independent(Normal(self.middle + mean, std, validate_args=False), 3)


class PixelGaussianLikelihood(GaussianLikelihood):
    """The same with a std of each pixel's own: that for all, times the decoder's factor for it."""

    outputs = 2
    """Mean and log of the factor: the first half of the channels and the second."""

    def forward(self, output: Tensor) -> Distribution:
        """``[..., 2 channels, H, W]`` to a density over images."""
        mean, log_factor = at_least_single(output).chunk(2, -3)
        return self._around(mean, self.log_std + log_factor)


LIKELIHOODS: dict[str, type[BernoulliLikelihood] | type[GaussianLikelihood]] = {
    "bernoulli": BernoulliLikelihood,
    "gaussian": GaussianLikelihood,
    "pixel-gaussian": PixelGaussianLikelihood,
}


def picture(likelihood: Distribution) -> Tensor:
    """The mean, which of a Gaussian may lie a little outside 0..1, where no image is: within."""
    return likelihood.mean.clamp(0, 1)


Number = TypeVar("Number", float, Tensor)


def bits_per_dimension(nats: Number, dimensions: int, levels: int = 256) -> Number:
    """From nats per image, for a density over pixels in 0..1, to bits per dimension.

    Whole grey levels k with noise u from U(0, 1) are ``x = (k + u) / levels``. A density over
    0..1 becomes one over 0..levels by dividing by ``levels`` per dimension, which adds
    ``ln levels`` nats each: ``(nats / dimensions + ln levels) / ln 2``, for 256 levels
    ``nats / (dimensions ln 2) + 8``. That bounds the bits of the whole levels, which a code
    without loss needs (Theis et al. 2016, "A note on the evaluation of generative models"), where
    the density does not depend on u: a VAE's, or a machine's full bound. Given a memory that was
    written from the same draw, which may have stored u, it bounds no code and can be negative.
    """
    return (nats / dimensions + math.log(levels)) / math.log(2)
