"""Nets for images without convolutions: two layers each, several times cheaper on a CPU."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from km_rl.nn.initial import EMBEDDING_STD, keep_variance, quieten
from km_rl.nn.likelihoods import BernoulliLikelihood
from km_rl.nn.mlp import mlp


class FlatEncoder(nn.Module):
    """Images ``[..., channels, H, W]`` to embeddings ``[..., width]``, from 0 up."""

    def __init__(self, image_shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.width = width
        pixels = math.prod(image_shape)
        self.net = keep_variance(
            nn.Sequential(nn.Linear(pixels, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        )

    def forward(self, images: Tensor) -> Tensor:
        """Embed images."""
        return EMBEDDING_STD * self.net(images.flatten(-3))


class FlatDecoder(nn.Module):
    """Codes ``[..., code]`` to Bernoulli pixels."""

    def __init__(self, code: int, image_shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.net = mlp(code, width, math.prod(image_shape))
        self.likelihood = BernoulliLikelihood()
        last: nn.Linear = self.net[2]  # type: ignore[assignment]
        quieten(last)
        with torch.no_grad():
            last.bias.fill_(self.likelihood.background)

    def forward(self, codes: Tensor) -> Distribution:
        """The distribution over images."""
        return self.likelihood(self.net(codes).unflatten(-1, self.image_shape))
