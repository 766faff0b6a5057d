from __future__ import annotations

import pytest
import torch

from km_rl.evaluate import figures
from km_rl.evaluate.addresses import effective_slots
from km_rl.evaluate.figures import Curve, Curves
from km_rl.evaluate.mosaic import mosaic


def test_effective_slots() -> None:
    w = torch.tensor([[0.0, -3.0, 0.0, 0.0], [1.0, -1.0, 1.0, -1.0], [2.0, 2.0, 0.0, 0.0]])
    assert effective_slots(w).tolist() == pytest.approx([1, 4, 2])


@pytest.mark.parametrize("channels", [1, 3])
def test_mosaic_puts_every_image_where_it_says(channels: int) -> None:
    level = torch.arange(24).reshape(2, 12) / 24
    images = level[..., None, None, None].expand(2, 12, channels, 6, 6)
    above = [images[:, :4], images[:, 4:9], images[:, 9:]]
    picture = mosaic([above, above])
    assert len(picture.columns) == 12 and len(picture.rows) == 4
    for row, y in enumerate(picture.rows):
        for column, x in enumerate(picture.columns):
            shown = picture.pixels[int(y), int(x), 0]
            value = level[row % 2, column]
            assert shown == pytest.approx(float(1 - value if channels == 1 else value))
    assert picture.row_blocks[-1] == picture.pixels.shape[0]
    assert picture.pixels[int(picture.row_blocks[0]) + 1].eq(1).all()


def test_curves_with_nothing_in_them() -> None:
    nothing = Curves(Curve([], []), Curve([], []))
    assert figures.png(figures.curves({name: {"KM": nothing} for name in "abcd"}))


def test_curves_below_zero_are_on_the_scale() -> None:
    curve = Curve([float(n) for n in range(100)], [-5000.0 - n for n in range(100)])
    figure = figures.curves({name: {"KM": Curves(curve, Curve([], []))} for name in "abcd"})
    low, high = figure.axes[0].get_ylim()
    assert low < -5099 and -5003 < high < 0


def test_curves_scale_to_what_comes_after_the_start() -> None:
    images = [float(n) for n in range(1000)]
    values = [5000.0] * 5 + [100.0] * 994 + [float("nan")]
    curve = Curves(Curve(images, values), Curve([], []))
    figure = figures.curves({name: {"KM": curve} for name in "abcd"})
    assert figure.axes[0].get_ylim()[1] < 200
