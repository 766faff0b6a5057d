"""The lowest spatial frequencies of a photograph, which need no learning.

Most of what is in a photograph is in its low frequencies: 1,200 of CIFAR-10's 3,072 numbers leave
4 grey levels of error, and a net that is to learn these 1,200 from a wrong start takes tens of
thousands of steps. So they can be passed beside the convolutions, which then learn the rest. The
transform is JPEG's (Wallace 1992): a discrete cosine transform (Ahmed, Natarajan & Rao 1974) of
brightness and of two differences of the colours.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from km_rl.errors import InputError

CODE_STD = 2.0
"""About how far two photographs lie apart in each number: twenty times a code's usual noise."""

COLOURS = {1: [[1.0]], 3: [[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]]}
"""By the channels of an image: what is transformed, up to length."""

CONTRAST = (13.0, 4.5, 2.6)
"""Std of each at frequency 0, fitted by eye to CIFAR-10."""

FALL = 1.5
"""Stds fall with the frequency r as (1 + r)^-FALL (the spectra of natural images: Field 1987)."""


class Cosines(nn.Module):
    r"""The ``count`` cosines of an image of which most is expected, each scaled to one std.

    With orthonormal rows c_i and expected stds s_i a number is
    :math:`a_i = \text{CODE\_STD} \cdot c_i^T x / s_i`, and back
    :math:`x = \sum_i c_i s_i a_i / \text{CODE\_STD}`. Nothing is trained or saved.

    Args:
        image_shape: (channels, height, width), of one channel or red, green and blue.
        count: at most as many as the image has values.

    Raises:
        InputError: two channels or more than three, or a larger count.
    """

    def __init__(self, image_shape: tuple[int, int, int], count: int) -> None:
        super().__init__()
        channels, height, breadth = image_shape
        if channels not in COLOURS:
            raise InputError(
                f"Images of {channels} channels have no brightness and colours: give images of "
                f"one channel or three, or leave out the cosines."
            )
        if count > math.prod(image_shape):
            raise InputError(
                f"{count} cosines were asked for of images of {math.prod(image_shape)} values: "
                f"give a code of at most as many."
            )
        colours = torch.tensor(COLOURS[channels], dtype=torch.float64)
        colours /= colours.norm(dim=1, keepdim=True)
        rows = torch.einsum("ac,ui,vj->auvcij", colours, _dct(height), _dct(breadth))
        u, v = torch.arange(height)[:, None], torch.arange(breadth)
        r = (u.square() + v.square()).sqrt()
        stds = torch.tensor(CONTRAST[:channels])[:, None, None] * (1 + r) ** -FALL
        kept = stds.flatten().argsort(descending=True, stable=True)[:count]
        basis = rows.flatten(3).flatten(0, 2)[kept].float()
        scale = stds.flatten()[kept, None] / CODE_STD
        self.image_shape = tuple(image_shape)
        self.analysis: Tensor
        self.synthesis: Tensor
        self.register_buffer("analysis", (basis / scale).mT.contiguous(), persistent=False)
        self.register_buffer("synthesis", basis * scale, persistent=False)

    def forward(self, images: Float[Tensor, "*B C H W"]) -> Float[Tensor, "*B N"]:
        """The numbers of images less their middle grey."""
        with torch.autocast(images.device.type, enabled=False):
            return images.float().flatten(-3) @ self.analysis

    def images(self, numbers: Float[Tensor, "*B N"]) -> Float[Tensor, "*B C H W"]:
        """What they add to the middle grey."""
        with torch.autocast(numbers.device.type, enabled=False):
            return (numbers.float() @ self.synthesis).unflatten(-1, self.image_shape)


def _dct(n: int) -> Float[Tensor, "n n"]:
    """The orthonormal discrete cosine transform (DCT-II) of n values; row u has u half waves."""
    u, i = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n) + 0.5
    rows = torch.cos(math.pi * u * i / n) * math.sqrt(2 / n)
    rows[0] /= math.sqrt(2)
    return rows
