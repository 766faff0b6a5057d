"""Weights to start from: activations keep their variance from layer to layer (He et al. 2015).

Without normalisation layers, torch's own defaults shrink the difference between two images by a
hundred on the way through the encoder, and a memory cannot tell them apart for thousands of steps.
Residual branches and the last layer of a decoder start quiet: a large loss in the first steps
drives units to zero for good.
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import nn

Net = TypeVar("Net", bound=nn.Module)

EMBEDDING_STD = 4.0
"""About how far the embeddings of two images lie apart in each entry when training starts: twenty
times the paper's noise on the input of q(y|x). Encoders start so, and heads expect it."""


def keep_variance(net: Net) -> Net:
    """Draw the weights of every layer in ``net`` from N(0, 2 / fan-in) and zero the biases."""
    for layer in net.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=(2 / _fan_in(layer)) ** 0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return net


@torch.no_grad()
def quieten(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, share: float = 0.1) -> None:
    """Let a layer start with so small a share of its output."""
    layer.weight *= share


def _fan_in(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> float:
    """How many inputs an output sums over."""
    if isinstance(layer, nn.Linear):
        return layer.in_features
    fan_in = layer.in_channels * math.prod(layer.kernel_size)
    transposed = isinstance(layer, nn.ConvTranspose2d)
    return fan_in / math.prod(layer.stride) if transposed else fan_in
