"""The paper's encoder and decoder: three blocks of [4x4 convolution, stride 2 -> ResNet block].

The encoder ends in one linear layer; the decoder mirrors it with transposed convolutions. There is
no batch normalisation: it would let the items of an episode see each other past the memory. Beside
the blocks, if asked for, go the lowest frequencies, see `km_rl.nn.cosines`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import pad

from km_rl.errors import InputError
from km_rl.nn.cosines import BESIDE, Cosines
from km_rl.nn.initial import EMBEDDING_STD, keep_variance, quieten
from km_rl.nn.likelihoods import (
    LIKELIHOODS,
    BernoulliLikelihood,
    GaussianLikelihood,
    Likelihood,
)
from km_rl.nn.precision import at_least_single

BLOCKS = 3
UNSCALED_STD = 0.25
"""How far apart the encoder's unscaled embeddings start: drawings are mostly blank."""
START_SHARE = 0.02
"""How much of the blocks' part in pictures is left to start from, beside cosines."""


class ResidualBlock(nn.Module):
    """The basic ResNet block, two 3x3 convolutions: ``relu(x + conv(relu(conv(x))))``."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(filters, filters, 3, padding=1)
        self.second = nn.Conv2d(filters, filters, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(torch.relu(self.first(x))))


def _sizes(size: int) -> list[int]:
    """Side lengths before each block and after the last: 28 -> [28, 14, 7, 3]."""
    if size < 2**BLOCKS:
        raise InputError(
            f"A side of {size} pixels is too short to be halved {BLOCKS} times: "
            f"images of at least {2**BLOCKS} x {2**BLOCKS} are expected."
        )
    sizes = [size]
    for _ in range(BLOCKS):
        sizes.append(sizes[-1] // 2)
    return sizes


def _of(likelihood: Likelihood) -> type[BernoulliLikelihood] | type[GaussianLikelihood]:
    if likelihood not in LIKELIHOODS:
        raise InputError(
            f"Likelihood '{likelihood}' is not known: give one of {', '.join(LIKELIHOODS)}."
        )
    return LIKELIHOODS[likelihood]


def _start(net: nn.Module) -> None:
    """Initial weights: see `km_rl.nn.initial`."""
    keep_variance(net)
    for block in net.modules():
        if isinstance(block, ResidualBlock):
            quieten(block.second)


def _channels_last(*blocks: nn.Module) -> nn.Sequential:
    """The blocks in the layout that convolutions run fastest in, on CPU and CUDA."""
    return nn.Sequential(*blocks).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class ConvEncoder(nn.Module):
    """Images ``[..., channels, H, W]`` to embeddings ``[..., width + cosines]``.

    Args:
        image_shape: (channels, height, width).
        filters: filters in every convolution; the paper has 16 for Omniglot, 32 for CIFAR-10.
        width: of what the convolutions say; the paper has twice the code width.
        likelihood: of the decoder; it says which value of a pixel is seen as 0.
        cosines: so many of the image's cosines come after that.

    Attributes:
        width: of the whole embedding.
        learned: entries of it that the convolutions say.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        filters: int,
        width: int,
        likelihood: Likelihood = "bernoulli",
        cosines: int = 0,
    ) -> None:
        super().__init__()
        self.middle = _of(likelihood).middle
        channels, height, breadth = image_shape
        blocks: list[nn.Module] = []
        for inputs in [channels, *[filters] * (BLOCKS - 1)]:
            blocks += [nn.Conv2d(inputs, filters, 4, 2, 1), nn.ReLU(), ResidualBlock(filters)]
        flat = filters * _sizes(height)[-1] * _sizes(breadth)[-1]
        self.blocks = _channels_last(*blocks)
        self.linear = nn.Linear(flat, width)
        self.width, self.learned = width + cosines, width
        self.image_shape = tuple(image_shape)
        _start(self)
        self.linear.weight.data *= EMBEDDING_STD / UNSCALED_STD
        self.cosines = Cosines(image_shape, cosines) if cosines else None

    def forward(self, images: Tensor) -> Tensor:
        if tuple(images.shape[-3:]) != self.image_shape:
            raise InputError(
                f"Images of shape {tuple(images.shape[-3:])} were given to an encoder of "
                f"{self.image_shape} (channels, height, width): resize them, or build the model "
                f"for their shape."
            )
        if images.dim() < 4:
            raise InputError(
                f"One image of shape {tuple(images.shape)} was given to an encoder: at least one "
                f"axis more is expected before its channels; one image is image[None]."
            )
        if not images.is_floating_point():
            raise InputError(
                f"Images of {images.dtype} were given to an encoder: floats in 0..1 are expected, "
                f"of grey levels images / 255."
            )
        if images.device.type == "cpu" and images.numel():  # a GPU would have to be waited for
            low, high = (x.item() for x in images.aminmax())
            if low < 0 or high > 1:
                raise InputError(
                    f"Pixels from {low:g} to {high:g} were given to an encoder: 0..1 is expected, "
                    f"of grey levels images / 255."
                )
        images = images.to(self.linear.weight.dtype)
        centred = images - self.middle if self.middle else images
        flat = centred.flatten(0, -4).contiguous(memory_format=torch.channels_last)
        embeddings = self.linear(self.blocks(flat).flatten(1)).unflatten(0, images.shape[:-3])
        if self.cosines is None:
            return embeddings
        return torch.cat([at_least_single(embeddings), self.cosines(centred)], -1)


class ConvDecoder(nn.Module):
    """Codes ``[..., code]`` to a distribution over images ``[..., channels, H, W]``.

    Args:
        code: width of the code.
        image_shape: (channels, height, width).
        filters: filters in every transposed convolution.
        likelihood: ``bernoulli`` for binary pixels, ``gaussian`` for grey levels in 0..1,
            ``pixel-gaussian`` for the same with a std for each.
        cosines: a code is the image's cosines, and the blocks add to the mean that they make.
    """

    def __init__(
        self,
        code: int,
        image_shape: tuple[int, int, int],
        filters: int,
        likelihood: Likelihood = "bernoulli",
        cosines: bool = False,
    ) -> None:
        super().__init__()
        kind = _of(likelihood)
        channels, height, breadth = image_shape
        rows, columns = _sizes(height)[::-1], _sizes(breadth)[::-1]
        self.linear = nn.Linear(code, filters * rows[0] * columns[0])
        self.first_shape = (filters, rows[0], columns[0])
        blocks: list[nn.Module] = []
        for block in range(BLOCKS):
            outputs = channels * kind.outputs if block == BLOCKS - 1 else filters
            odd = (rows[block + 1] % 2, columns[block + 1] % 2)
            up = nn.ConvTranspose2d(filters, outputs, 4, 2, 1, output_padding=odd)
            blocks += [nn.ReLU(), ResidualBlock(filters), up]
        self.blocks = _channels_last(*blocks)
        self.likelihood = kind()
        _start(self)
        quieten(up)
        nn.init.constant_(up.get_parameter("bias"), kind.background)
        self.cosines = Cosines(image_shape, code) if cosines else None
        if self.cosines is not None:
            quieten(up, START_SHARE)
            if isinstance(self.likelihood, GaussianLikelihood):
                nn.init.constant_(self.likelihood.log_std, math.log(self.cosines.rest))

    def forward(self, codes: Tensor) -> Distribution:
        first = self.linear(codes.flatten(0, -2)).unflatten(1, self.first_shape)
        output = self.blocks(first.contiguous(memory_format=torch.channels_last))
        output = output.unflatten(0, codes.shape[:-1])
        if self.cosines is not None:
            mean = self.cosines.images(codes)
            others = output.shape[-3] - mean.shape[-3]
            output = output + pad(mean, (0, 0, 0, 0, 0, others))
        return self.likelihood(output)


def auto_encoder(
    image_shape: tuple[int, int, int],
    filters: int,
    likelihood: Likelihood,
    code: int,
    cosines: bool,
) -> tuple[ConvEncoder, ConvDecoder]:
    """The paper's encoder and decoder.

    Beside them pass, if asked for, as many cosines as a code has numbers.
    """
    width = BESIDE if cosines else 2 * code
    encoder = ConvEncoder(image_shape, filters, width, likelihood, code if cosines else 0)
    return encoder, ConvDecoder(code, image_shape, filters, likelihood, cosines)
