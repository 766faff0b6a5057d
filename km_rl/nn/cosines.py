"""The lowest spatial frequencies of a photograph, which need no learning.

Most of what is in a photograph is in its low frequencies, but a net takes tens of thousands of
steps to learn to keep a thousand of them apart. So they can be passed beside the convolutions,
which then learn the rest. The transform is JPEG's (Wallace 1992): a discrete cosine transform
(Ahmed, Natarajan & Rao 1974) of brightness and of two differences of the colours.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from km_rl.errors import InputError
from km_rl.nn.precision import at_least_single, full_precision

BESIDE = 400
"""Entries of an embedding that tell of the rest, as many as the paper has of photographs."""

LENGTH = 4.0
"""Most numbers have stds from 1 to 3 so, ten to thirty times a code's usual noise."""

COLOURS = {1: [[1.0]], 3: [[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]]}
"""By the channels of an image: what is transformed, up to length."""

CONTRAST = (13.0, 4.5, 2.6)
"""Std of each at frequency 0, fitted by eye to CIFAR-10."""

FALL = 1.5
"""Stds fall with the frequency r as (1 + r)^-FALL (the spectra of natural images: Field 1987)."""

GREY_LEVEL = 1 / 256
"""The least std that is expected of what a pixel has besides."""


class Cosines(nn.Module):
    r"""The ``count`` cosines of an image that vary most, as the numbers of a code.

    With orthonormal rows c_i and expected stds s_i a number is
    :math:`a_i = \ell\, c_i^T x / \sqrt{s_i}` with :math:`\ell` = ``LENGTH``, and back
    :math:`x = \sum_i c_i \sqrt{s_i}\, a_i / \ell`. Of all powers of s_i it is the root by which a
    noise that is alike in all numbers harms the image least, where these have a given variance in
    all. Nothing is trained or saved.

    Args:
        image_shape: (channels, height, width), of one channel or red, green and blue.
        count: at most as many as the image has values.

    Attributes:
        stds: expected of the numbers, with shape (count,).
        rest: expected std of what a pixel has besides.

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
        scale = stds.flatten()[kept, None].sqrt() / LENGTH
        variances = stds.flatten().square()
        missing = (variances.sum() - variances[kept].sum()) / len(variances)
        self.rest = missing.clamp(min=GREY_LEVEL**2).sqrt().item()
        self.image_shape = tuple(image_shape)
        self.analysis: Tensor
        self.synthesis: Tensor
        self.stds: Tensor
        self.register_buffer("stds", (stds.flatten()[kept].sqrt() * LENGTH), persistent=False)
        self.register_buffer("analysis", (basis / scale).mT.contiguous(), persistent=False)
        self.register_buffer("synthesis", basis * scale, persistent=False)

    def forward(self, images: Float[Tensor, "*B C H W"]) -> Float[Tensor, "*B N"]:
        """The numbers of images less their middle grey."""
        with full_precision(images):
            return at_least_single(images).flatten(-3) @ self.analysis

    def gain(self, noise_var: float) -> Float[Tensor, " N"]:
        r"""How far a number known to ``noise_var`` is moved by seeing the image: Bayes' rule.

        The image tells a_i to a variance of :math:`\ell^2 \sigma_x^2 / s_i`, with ``rest`` for
        :math:`\sigma_x`.
        """
        told = LENGTH**4 * self.rest**2 / self.stds.square()
        return noise_var / (noise_var + told)

    def images(self, numbers: Float[Tensor, "*B N"]) -> Float[Tensor, "*B C H W"]:
        """What they add to the middle grey."""
        with full_precision(numbers):
            return (at_least_single(numbers) @ self.synthesis).unflatten(-1, self.image_shape)


def _dct(n: int) -> Float[Tensor, "n n"]:
    """The orthonormal discrete cosine transform (DCT-II) of n values; row u has u half waves."""
    u, i = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n) + 0.5
    rows = torch.cos(math.pi * u * i / n) * math.sqrt(2 / n)
    rows[0] /= math.sqrt(2)
    return rows
