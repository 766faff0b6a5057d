"""Nets without convolutions have the shapes of those with."""

from __future__ import annotations

import torch

from km_rl.nn.flat import FlatDecoder, FlatEncoder
from km_rl.nn.initial import EMBEDDING_STD

SHAPE = (1, 28, 28)


def test_an_image_goes_in_and_a_distribution_comes_out() -> None:
    images = (torch.rand(2, 3, *SHAPE) < 0.1).float()
    encoder, decoder = FlatEncoder(SHAPE, 16), FlatDecoder(5, SHAPE, 16)
    embeddings = encoder(images)
    assert embeddings.shape == (2, 3, encoder.width)
    distribution = decoder(torch.randn(2, 3, 5))
    assert distribution.mean.shape == images.shape
    assert distribution.log_prob(images).shape == (2, 3)


def test_pictures_start_mostly_blank_and_embeddings_apart() -> None:
    images = (torch.rand(50, *SHAPE) < 0.13).float()
    mean = FlatDecoder(5, SHAPE, 64)(torch.randn(50, 5)).mean
    assert 0.05 < mean.mean() < 0.2
    spread = FlatEncoder(SHAPE, 256)(images).std(0).mean()
    assert 0.1 * EMBEDDING_STD < spread < EMBEDDING_STD
