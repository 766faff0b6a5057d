"""Weights to start from: a signal is neither lost nor blown up on its way through the nets."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from km_rl.nn.conv import ConvDecoder, ConvEncoder
from km_rl.nn.initial import EMBEDDING_STD, keep_variance

LAYERS = {
    "linear": (nn.Linear(200, 300), (50, 200)),
    "conv": (nn.Conv2d(30, 40, 4, 2, 1), (20, 30, 16, 16)),
    "transposed": (nn.ConvTranspose2d(30, 40, 4, 2, 1), (20, 30, 16, 16)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_relu_and_layer_keep_the_power_of_the_signal(name: str) -> None:
    layer, shape = LAYERS[name]
    assert isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
    output = keep_variance(layer)(torch.randn(shape).relu())
    inner = output if name == "linear" else output[..., 2:-2, 2:-2]
    assert inner.square().mean().item() == pytest.approx(1.0, rel=0.15)
    assert layer.bias is not None
    assert_close(layer.bias, torch.zeros_like(layer.bias))


def test_two_images_stay_apart_on_the_way_to_their_codes_and_back() -> None:
    images = (torch.rand(16, 1, 28, 28) > 0.7).float()
    embeddings = ConvEncoder((1, 28, 28), 16, 50)(images)
    pictures = ConvDecoder(50, (1, 28, 28), 16)(torch.randn(16, 50)).mean
    assert EMBEDDING_STD / 3 < embeddings.std(0).mean() < 3 * EMBEDDING_STD
    assert pictures.std(0).mean() > 0.001
    assert pictures.mean().item() == pytest.approx(0.09, abs=0.02)
