"""Many small images as one picture: blocks of images with white space between them.

Ink is drawn dark on white, whatever its value in the data; colour images are left as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

LINE = 0.85
"""Grey of the lines between neighbouring images."""


class Mosaic(NamedTuple):
    """A picture and where things lie in it, in pixels.

    Attributes:
        pixels: RGB from 0 to 1 with shape (height, width, 3).
        columns: horizontal centre of every column of images, the blocks one after another.
        rows: vertical centre of every row of images.
        row_blocks: the lower edge of every row of blocks.
    """

    pixels: Tensor
    columns: list[float]
    rows: list[float]
    row_blocks: list[float]


def mosaic(blocks: Sequence[Sequence[Tensor]]) -> Mosaic:
    """Lay out rows of blocks; a block is images with shape (rows, columns, channels, H, W).

    Blocks beside one another have as many rows, blocks below one another as many columns. Between
    blocks half an image is left free.
    """
    height, width = blocks[0][0].shape[-2:]
    gap_y, gap_x = height // 2, width // 2
    painted = [[_paint(block) for block in row] for row in blocks]
    pixels = _spaced([_spaced(row, 1, gap_x) for row in painted], 0, gap_y)
    columns = _centres([block.shape[1] for block in blocks[0]], width + 1, gap_x)
    rows = _centres([row[0].shape[0] for row in blocks], height + 1, gap_y)
    heights = torch.tensor([row[0].shape[0] + gap_y for row in painted])
    edges = heights.cumsum(0) - gap_y
    return Mosaic(pixels, columns, rows, edges.tolist())


def _paint(block: Tensor) -> Tensor:
    """A block with a line around every image: RGB with shape (height, width, 3)."""
    images = block.detach().float().cpu().clamp(0, 1)
    if images.shape[2] == 1:
        images = (1 - images).expand(-1, -1, 3, -1, -1)
    lined = pad(images, (0, 1, 0, 1), value=LINE)
    flat = lined.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    return pad(flat, (0, 0, 1, 0, 1, 0), value=LINE)


def _spaced(pictures: Sequence[Tensor], dim: int, gap: int) -> Tensor:
    """Pictures one after another along ``dim`` with ``gap`` white pixels between."""
    shape = list(pictures[0].shape)
    shape[dim] = gap
    white = torch.ones(shape)
    joined = [part for picture in pictures for part in (white, picture)]
    return torch.cat(joined[1:], dim)


def _centres(counts: Sequence[int], pitch: int, gap: int) -> list[float]:
    """Centres of images of that pitch in blocks of so many images."""
    centres: list[float] = []
    start = 0.0
    for count in counts:
        centres += [start + pitch * (one + 0.5) for one in range(count)]
        start += pitch * count + 1 + gap
    return centres
