"""What queries of a memory are spoilt with, to see whether reading restores them."""

from __future__ import annotations

import torch
from torch import Tensor

from km_rl.errors import InputError


def salt_and_pepper(images: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
    """Replace each pixel, with probability ``fraction``, by 0 or 1 with equal chance.

    ``images`` are floats with shape (..., channels, H, W), and a pixel is replaced in all of its
    channels; the result is new and of the same shape. Random numbers come from the CPU, wherever
    the images lie.

    Raises:
        InputError: ``fraction`` is not between 0 and 1.
    """
    _check_fraction(fraction)
    *batch, _, height, width = images.shape
    chance = torch.rand(*batch, 1, height, width, generator=generator).to(images.device)
    pepper, salt = chance < fraction / 2, chance >= 1 - fraction / 2
    return images.masked_fill(pepper, 0).masked_fill(salt, 1)


def flip(images: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
    """Turn each pixel x, with probability ``fraction``, into 1 - x; otherwise as above.

    Raises:
        InputError: ``fraction`` is not between 0 and 1.
    """
    _check_fraction(fraction)
    flipped = torch.rand(images.shape, generator=generator).to(images.device) < fraction
    return torch.where(flipped, 1 - images, images)


def blank_block(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Set a square of ``size`` x ``size`` pixels to 0, at a random place in each image.

    ``images`` are floats with shape (..., channels, H, W); the square is the same in every channel
    and lies wholly within the image; the result is new and of the same shape.

    Raises:
        InputError: ``size`` is below 0 or larger than the image.
    """
    *batch, _, height, width = images.shape
    if not 0 <= size <= min(height, width):
        raise InputError(
            f"A block of {size} x {size} pixels was asked of images of {height} x {width}: "
            f"give a size from 0 to {min(height, width)}."
        )
    rows = _interval(height, size, batch, generator)[..., :, None]
    columns = _interval(width, size, batch, generator)[..., None, :]
    block = (rows & columns).unsqueeze(-3).to(images.device)
    return images.masked_fill(block, 0)


def _check_fraction(fraction: float) -> None:
    if not 0 <= fraction <= 1:
        raise InputError(f"A fraction of {fraction} was given: give one between 0 and 1.")


def _interval(total: int, size: int, batch: list[int], generator: torch.Generator) -> Tensor:
    """Boolean with shape (*batch, total): true on ``size`` neighbours that start anywhere."""
    start = torch.randint(total - size + 1, (*batch, 1), generator=generator)
    place = torch.arange(total)
    return (place >= start) & (place < start + size)
