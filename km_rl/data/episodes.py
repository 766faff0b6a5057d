"""Episodes: T images that are written to one memory and read from it, B of them in a batch.

A data set is an ``Images``: every image decoded, as bytes, in one tensor. Drawing is then an
index, a comparison and nothing else. All random numbers come from a generator on the CPU, so that
a run draws the same episodes whether its data lie on the CPU or on a GPU.

Axes: ``N`` images in the set, ``B`` episodes, ``T`` images in an episode.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from km_rl.errors import InputError, at_least_one

Binarisation = Literal["dynamic", "static", "none", "dequantised"]
BINARISATIONS: tuple[Binarisation, ...] = ("dynamic", "static", "none", "dequantised")
LEVELS = 256
"""Grey levels of a byte."""


class Images(NamedTuple):
    """A data set in memory.

    images: uint8 with shape (N, channels, H, W), from 0 (paper, or black) to 255 (ink, or full
        brightness).
    labels: int64 with shape (N,), the class of each image; any whole numbers.
    """

    images: Tensor
    labels: Tensor

    @property
    def digest(self) -> str:
        """The same for the same images with the same labels."""
        held = hashlib.sha256(str(tuple(self.images.shape)).encode())
        for part in self:
            held.update(part.cpu().contiguous().numpy().tobytes())
        return held.hexdigest()[:16]


class Splits(NamedTuple):
    """The two parts of a data set; no image is in both."""

    train: Images
    test: Images

    @property
    def digest(self) -> str:
        """The same for the same images in the same parts."""
        return f"{self.train.digest}-{self.test.digest}"


class _ClassIndex(NamedTuple):
    """The images of class c are ``order[first[c] : first[c] + number[c]]``."""

    order: Tensor
    first: Tensor
    number: Tensor


def draw_episodes(
    data: Images,
    episodes: int,
    length: int,
    *,
    generator: torch.Generator,
    classes: int | None = None,
    binarisation: Binarisation = "dynamic",
) -> Tensor:
    """Random episodes: float32 with shape (B, T, channels, H, W), values from 0 to 1.

    Without ``classes`` an episode is T different images of the whole set. With ``classes=n`` every
    episode picks n classes and then T images among theirs, again without replacement; where the
    n classes hold fewer than T images, each is used once before any is used again.

    Binarisation: see ``pixels``.

    Raises:
        InputError: T is larger than the data set, B, T or n is below 1, or n exceeds the
            number of classes.
    """
    validate(data, episodes=episodes, length=length, classes=classes, binarisation=binarisation)
    if classes is None:
        chosen = _distinct(len(data.images), episodes, length, generator)
    else:
        chosen = _within_classes(data, episodes, length, classes, generator)
    return _gather(data, chosen, binarisation, generator)


def all_episodes(
    data: Images,
    length: int,
    *,
    seed: int,
    binarisation: Binarisation = "dynamic",
    classes: int | None = None,
    batch: int = 16,
    most: int | None = None,
) -> Iterator[Tensor]:
    """Go once through the data: batches with shape (1 to ``batch``, T, channels, H, W).

    The order and the binarisation depend on the seed alone. Every image occurs once; the last
    N mod T images of the order, which fill no episode, are dropped. With ``classes=n``, where
    "every image once" has no meaning, as many random episodes (N // T) of n classes are drawn.
    Of ``most`` episodes no more are.

    Raises:
        InputError: as ``draw_episodes``, or ``most`` is below 1.
    """
    validate(data, episodes=batch, length=length, classes=classes, binarisation=binarisation)
    total = len(data.images) // length
    if most is not None:
        at_least_one(most=most)
        total = min(total, most)
    return _one_pass(data, length, total, seed, binarisation, classes, batch)


def _one_pass(
    data: Images,
    length: int,
    total: int,
    seed: int,
    binarisation: Binarisation,
    classes: int | None,
    batch: int,
) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    if classes is None:
        order = torch.randperm(len(data.images), generator=generator)
        chosen = order[: total * length].view(total, length)
    else:
        chosen = _within_classes(data, total, length, classes, generator)
    for part in chosen.split(batch):
        yield _gather(data, part, binarisation, generator)


def pixels(images: Tensor, binarisation: Binarisation, generator: torch.Generator) -> Tensor:
    """Bytes to float32 values from 0 to 1, of the same shape.

    ``dynamic`` (as Burda et al.): a pixel of value p is 1 with probability p / 255, anew at each
    call: it is compared with a random whole number from 0 to 254, so 0 never becomes 1, and 255
    always does. ``static``: 1 where the value is above 127. ``none``: the value divided by 255.
    ``dequantised``: (p + u) / 256 with u from U(0, 1), anew at each call, so that a density over
    them is bounded (Uria et al. 2013; Theis et al. 2016).
    """
    if binarisation == "none":
        return images.float() / 255
    if binarisation == "static":
        return (images > 127).float()
    if binarisation == "dequantised":
        noise = torch.rand(images.shape, generator=generator).to(images.device)
        return noise.add_(images).div_(LEVELS)
    threshold = torch.randint(0, 255, images.shape, dtype=torch.uint8, generator=generator)
    return (images > threshold.to(images.device)).float()


def validate(
    data: Images,
    *,
    episodes: int,
    length: int,
    classes: int | None,
    binarisation: str,
) -> None:
    """Refuse what no episode can be drawn from.

    Raises:
        InputError: one sentence for the first argument that does not fit the data.
    """
    _check_images(data)
    for name, value in (("episodes", episodes), ("length", length), ("classes", classes)):
        if value is not None and value < 1:
            raise InputError(f"{name}={value} was given: give a whole number of at least 1.")
    if length > len(data.images):
        raise InputError(
            f"Episodes of length {length} were asked of a data set of {len(data.images)} images: "
            f"give a length of at most {len(data.images)}."
        )
    if classes is not None and classes > len(_class_index(data.labels).number):
        known = len(_class_index(data.labels).number)
        raise InputError(
            f"Episodes of {classes} classes were asked of a data set of {known} classes: "
            f"give at most {known}."
        )
    if binarisation not in BINARISATIONS:
        raise InputError(
            f"Binarisation '{binarisation}' is not known: give one of {', '.join(BINARISATIONS)}."
        )


def _check_images(data: Images) -> None:
    images, labels = data
    if images.dtype != torch.uint8 or images.dim() != 4:
        raise InputError(
            f"Images of type {images.dtype} with shape {tuple(images.shape)} were given: give "
            f"uint8 from 0 to 255 with shape (N, channels, H, W)."
        )
    if labels.shape != images.shape[:1]:
        raise InputError(
            f"{len(images)} images were given with labels of shape {tuple(labels.shape)}: give "
            f"one whole number for each image, the same for all where there are no classes."
        )


def dimensions(data: Images, binarisation: Binarisation) -> int | None:
    """Of an image whose pixels have a density, channels x H x W; None where they have none."""
    return data.images[0].numel() if binarisation == "dequantised" else None


def _gather(
    data: Images, chosen: Tensor, binarisation: Binarisation, generator: torch.Generator
) -> Tensor:
    """The images at ``chosen``, an index with shape (B, T) on the CPU."""
    return pixels(data.images[chosen.to(data.images.device)], binarisation, generator)


def _distinct(total: int, rows: int, length: int, generator: torch.Generator) -> Tensor:
    """Shape (rows, length): in each row different numbers below ``total``, all equally likely.

    Where rows rarely collide, they are drawn freely and the few with a repetition drawn again:
    ten times quicker than to shuffle ``total`` numbers for every row.
    """
    if length * length > total:
        return torch.rand(rows, total, generator=generator).topk(length, dim=1).indices
    chosen = torch.randint(total, (rows, length), generator=generator)
    while len(again := _rows_with_repetition(chosen)):
        chosen[again] = torch.randint(total, (len(again), length), generator=generator)
    return chosen


def _rows_with_repetition(numbers: Tensor) -> Tensor:
    ordered = numbers.sort(dim=1).values
    return (ordered[:, 1:] == ordered[:, :-1]).any(dim=1).nonzero()[:, 0]


def _within_classes(
    data: Images, episodes: int, length: int, classes: int, generator: torch.Generator
) -> Tensor:
    """An index with shape (B, T) of images from ``classes`` random classes per episode."""
    index = _class_index(data.labels)
    picked = _distinct(len(index.number), episodes, classes, generator)
    number = index.number[picked]
    end = number.cumsum(dim=1)  # of each class, its images laid in a row after those before it
    place = _places(end[:, -1:], length, generator)
    which = torch.searchsorted(end, place, right=True)
    shift = index.first[picked] - (end - number)  # from the place in the row to that in ``order``
    return index.order[place + shift.gather(1, which)]


def _places(available: Tensor, length: int, generator: torch.Generator) -> Tensor:
    """Row b holds ``length`` random numbers below ``available[b]``, all used before any again."""
    width = int(available.max())
    keys = torch.rand(len(available), width, generator=generator)
    keys = keys.masked_fill(torch.arange(width) >= available, 2.0)
    shuffled = keys.topk(min(length, width), dim=1, largest=False).indices
    return shuffled.gather(1, torch.arange(length) % available)


@lru_cache(maxsize=8)
def _class_index(labels: Tensor) -> _ClassIndex:
    """Computed once for a tensor of labels (tensors hash by identity)."""
    labels = labels.cpu()
    _, number = labels.unique(return_counts=True)
    return _ClassIndex(labels.argsort(stable=True), number.cumsum(0) - number, number)
