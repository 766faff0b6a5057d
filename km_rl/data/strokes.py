"""Strokes: invented handwriting, drawn from a seed and never downloaded.

A class is a program of 1 to 4 strokes, each a quadratic or cubic Bezier curve. An exemplar is one
drawing of it by an unsteady hand: control points jittered, the whole sheared, stretched, rescaled
and shifted, with a pen of its own width. Ink is smooth at the edges and about as thick as
Omniglot's at 28 x 28.

Random numbers are uniform, and what follows is sums, products, minima and square roots of single
numbers: IEEE 754 fixes each of them to the bit, so a seed gives the same images on every machine.
(Normal variates, exponentials and matrix products may differ in the last digit from one processor
to another.)
"""

from __future__ import annotations

import torch
from torch import Tensor

from km_rl.data.episodes import Images, Splits
from km_rl.errors import InputError

STROKES = 4  # at most, in a class
POINTS = 64  # on a curve, for rendering: closer together than the pen is wide
CHUNK = 40  # images rendered at once: few enough to stay in the processor's cache
FAR = 1e3  # where the points of strokes go that a class does not have


def strokes(seed: int = 0, classes: int = 200, exemplars: int = 20, size: int = 28) -> Splits:
    """Draw ``classes`` x ``exemplars`` images, shape (N, 1, size, size), and split them.

    The split is random over images, as Omniglot's ``images``: three quarters are for training, and
    most test images are new drawings of classes seen in training. Labels count the classes from 0.

    Raises:
        InputError: fewer than 1 class, fewer than 2 images in all, or images under 8 pixels.
    """
    _validate(classes, exemplars, size)
    generator = torch.Generator().manual_seed(seed)
    points = _exemplars(_programs(classes, generator), exemplars, generator)
    pen = _uniform(generator, 0.6, 0.95, len(points), 1, 1)
    images = torch.cat(
        [_render(*part, size) for part in zip(points.split(CHUNK), pen.split(CHUNK), strict=True)]
    )
    labels = torch.arange(classes).repeat_interleave(exemplars)
    order = torch.randperm(len(labels), generator=generator)
    train, test = order.tensor_split([3 * len(order) // 4])
    return Splits(Images(images[train], labels[train]), Images(images[test], labels[test]))


def _validate(classes: int, exemplars: int, size: int) -> None:
    if classes < 1 or exemplars < 1 or classes * exemplars < 2:
        raise InputError(
            f"{classes} classes of {exemplars} exemplars were asked of strokes: "
            "give at least 1 of each and at least 2 images in all."
        )
    if size < 8:
        raise InputError(f"Strokes of {size} pixels were asked for: give a size of at least 8.")


def _uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(*shape, generator=generator)


def _programs(classes: int, generator: torch.Generator) -> Tensor:
    """Control points with shape (classes, strokes, 4, 2); strokes a class lacks are NaN.

    Strokes run between the nine points of a 3 x 3 grid, so that they often touch or meet, as in
    letters; half of them go on where the last one ended.
    """
    start = torch.randint(9, (classes, STROKES), generator=generator)
    end = torch.randint(9, (classes, STROKES), generator=generator)
    goes_on = torch.rand(classes, STROKES, generator=generator) < 0.5
    start[:, 1:] = torch.where(goes_on[:, 1:], end[:, :-1], start[:, 1:])
    bends = _uniform(generator, -1.2, 1.2, 2, classes, STROKES, 2)
    control = torch.stack([_grid(start), *bends, _grid(end)], dim=2)
    quadratic = torch.rand(classes, STROKES, 1, 1, generator=generator) < 0.6
    control = torch.where(quadratic, _quadratic(control), control)
    count = torch.randint(1, STROKES + 1, (classes, 1), generator=generator)
    missing = torch.arange(STROKES) >= count
    return control.masked_fill(missing[:, :, None, None], torch.nan)


def _grid(cell: Tensor) -> Tensor:
    """Cells 0 to 8 of a 3 x 3 grid as points (x, y) from -1 to 1."""
    return torch.stack([cell % 3 - 1, cell // 3 - 1], dim=-1).float()


def _quadratic(control: Tensor) -> Tensor:
    """The cubic form of a quadratic curve that bends a little off the straight line."""
    start, bend, _, end = control.unbind(dim=-2)
    middle = (start + end + bend) / 2
    return torch.stack([start, (start + 2 * middle) / 3, (end + 2 * middle) / 3, end], dim=-2)


def _exemplars(programs: Tensor, exemplars: int, generator: torch.Generator) -> Tensor:
    """Points on the curves, shape (classes * exemplars, points, 2), in a frame from 0 to 1."""
    control = programs.repeat_interleave(exemplars, dim=0)
    control = control + _uniform(generator, -0.1, 0.1, *control.shape)
    x, y = _curve(control).flatten(1, 2).unbind(dim=-1)
    number = len(control)
    shear = _uniform(generator, -0.2, 0.2, 2, number, 1)
    stretch = _uniform(generator, 0.85, 1.15, number, 1)
    x, y = stretch * x + shear[0] * y, y + shear[1] * x
    return _fitted(torch.stack([x, y], dim=-1), generator)


def _curve(control: Tensor) -> Tensor:
    """Cubic Bezier curves: control points (..., 4, 2) to points on the curve (..., POINTS, 2)."""
    t = (torch.arange(POINTS) / (POINTS - 1))[:, None]
    s = 1 - t
    p0, p1, p2, p3 = control.unsqueeze(-2).unbind(dim=-3)
    return s * s * s * p0 + 3 * s * s * t * p1 + 3 * s * t * t * p2 + t * t * t * p3


def _fitted(points: Tensor, generator: torch.Generator) -> Tensor:
    """Scale each drawing so that its longer side takes 50 to 80% of the frame, nearly centred."""
    number = len(points)
    low = points.nan_to_num(nan=FAR).amin(dim=1, keepdim=True)
    high = points.nan_to_num(nan=-FAR).amax(dim=1, keepdim=True)
    scale = _uniform(generator, 0.5, 0.8, number, 1, 1) / (high - low).amax(dim=2, keepdim=True)
    centre = _uniform(generator, 0.46, 0.54, number, 1, 2)
    return ((points - (low + high) / 2) * scale + centre).nan_to_num(nan=FAR)


def _render(points: Tensor, pen: Tensor, size: int) -> Tensor:
    """Bytes with shape (n, 1, size, size): full ink within the pen, none a pixel further out.

    ``pen`` is half the width of the line, in pixels of a 28-pixel frame. The squared distance to a
    point is a part from x and a part from y, which leaves a sum and a minimum per pixel and point.
    """
    pixels = torch.arange(size) + 0.5
    x, y = ((pixels - points[..., None] * size).square()).unbind(dim=2)
    squared = x.new_full((len(points), size, size), torch.inf)
    for point in range(points.shape[1]):
        squared = torch.minimum(squared, y[:, point, :, None] + x[:, point, None, :])
    ink = (pen * size / 28 + 0.5 - squared.sqrt()).clamp(0, 1)
    return (ink * 255 + 0.5).to(torch.uint8)[:, None]
