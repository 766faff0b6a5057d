"""The report's figures, drawn by matplotlib without its global state.

Every function takes numbers or images and gives back a `Figure`; nothing here knows a model.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import cycle
from math import isfinite
from textwrap import fill
from typing import Any, NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from torch import Tensor

from km_rl.evaluate.mosaic import mosaic

DPI = 130
WIDTH = 7.6
LETTERS = 84
"""Of titles of panels side by side, in a line."""
MOST_POINTS = 300
"""Of a curve that is drawn in full."""
COLOURS = {
    "KM": "#2563a8",
    "VAE": "#d9822b",
    "DKM": "#3a8f5c",
    "DNC": "#8e5ea2",
    "LRUA": "#c44e52",
}
OTHER_COLOURS = ("#2a9db0", "#7f7f7f", "#8c6d31", "#d65db1", "#5b8c5a")
INK = "#333333"
STYLE: dict[Any, Any] = {
    "font.size": 8.5,
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#b0b0b0",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#ececec",
    "grid.linewidth": 0.7,
    "xtick.color": "#777777",
    "ytick.color": "#777777",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
}
BELOW: dict[str, Any] = {"size": 7, "color": "#777777", "ha": "center", "va": "top"}
ABOVE: dict[str, Any] = {"weight": "bold", "ha": "center", "va": "bottom"}


class Curve(NamedTuple):
    """A logged value against the images seen."""

    images: Sequence[float]
    values: Sequence[float]


class Curves(NamedTuple):
    """One term's curves of one model; either may be empty."""

    train: Curve
    test: Curve


class Line(NamedTuple):
    """Where a line goes; points are appended to both lists."""

    xs: list[float]
    ys: list[float]


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    file = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(file, format="png", dpi=DPI, facecolor="white")
    return file.getvalue()


def curves(panels: Mapping[str, Mapping[str, Curves]]) -> Figure:
    """A panel per term, its unit in the title; in each a colour per model: panels[term][model].

    The faint line is the training batch's, the full one the test set's.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
        axes = figure.subplots(2, 2, sharex=True).flat
        for one, (title, models) in zip(axes, panels.items(), strict=True):
            _panel(one, title, models)
        for one in figure.axes[2:]:
            one.set_xlabel("images seen")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=min(6, len(labels)))
    return figure


def _panel(axes: Axes, title: str, models: Mapping[str, Curves]) -> None:
    others = cycle(OTHER_COLOURS)
    for label, model in models.items():
        colour = COLOURS.get(label) or next(others)
        axes.plot(*_smooth(model.train), color=colour, alpha=0.45, lw=1, label=f"{label}, train")
        axes.plot(*model.test, color=colour, lw=1.6, label=f"{label}, test")
    settled = [value for model in models.values() for curve in model for value in _settled(curve)]
    if settled:
        low, high = min(settled), max(settled)
        margin = 0.06 * (high - low) or 1.0
        axes.set_ylim(max(0.0, low - margin) if low >= 0 else low - margin, high + margin)
    axes.set_title(title)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _smooth(curve: Curve) -> Curve:
    """Means of neighbouring points, so that at most `MOST_POINTS` are left."""
    step = -(-len(curve.values) // MOST_POINTS)
    starts = range(0, len(curve.values), step or 1)
    return Curve(*([_mean(series[i : i + step]) for i in starts] for series in curve))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _settled(curve: Curve) -> Sequence[float]:
    """The values after the first 3% of training, whose steep fall would flatten all the rest."""
    start = 0.03 * curve.images[-1] if curve.images else 0.0
    points = zip(*_smooth(curve), strict=True)
    return [value for images, value in points if images >= start and isfinite(value)]


def pictures(
    blocks: Sequence[Sequence[Tensor]],
    *,
    columns: Mapping[float, str],
    rows: Mapping[float, str],
    titles: Mapping[float, str] | None = None,
    below: Sequence[Sequence[str]] = (),
) -> Figure:
    """Blocks of images, see `mosaic`, with words at columns (above) and rows (to the left).

    Args:
        columns: column number to words; 3.5 stands between columns 3 and 4.
        rows: row number to words, likewise.
        titles: column number to a title above ``columns``.
        below: small words under every row of blocks, one for each column.
    """
    picture = mosaic(blocks)
    tall, wide = picture.pixels.shape[:2]
    left = 0.1 + 0.075 * max(map(len, rows.values()), default=0)
    top, bottom = (0.46 if titles else 0.26), (0.2 if below else 0.04)
    height = (WIDTH - left) * tall / wide
    total = top + height + bottom
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, total))
        axes = figure.add_axes((left / WIDTH, bottom / total, 1 - left / WIDTH, height / total))
        axes.imshow(picture.pixels.numpy(), extent=(0, wide, tall, 0), aspect="auto")
        axes.set_xticks([_at(picture.columns, n) for n in columns], list(columns.values()))
        axes.set_yticks([_at(picture.rows, n) for n in rows], list(rows.values()))
        axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        for y, words in zip(picture.row_blocks, below, strict=False):
            for x, word in zip(picture.columns, words, strict=True):
                axes.annotate(word, (x, y), (0, -3), textcoords="offset points", **BELOW)
        for number, title in (titles or {}).items():
            place = (_at(picture.columns, number), 0)
            axes.annotate(title, place, (0, 20), textcoords="offset points", **ABOVE)
    return figure


def _at(centres: Sequence[float], number: float) -> float:
    """The centre of that number, between two neighbours where it is none of theirs."""
    first = int(number)
    share = number - first
    return centres[first] if share == 0 else (centres[first] + centres[first + 1]) / 2


def weights(models: Mapping[str, tuple[Tensor, Tensor]]) -> Figure:
    """A row for each model: histograms of weights, any shape, and of the effective slots."""
    others = cycle(OTHER_COLOURS)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.4 + 2.0 * len(models)), layout="constrained")
        rows = figure.subplots(len(models), 2, squeeze=False)
        for (left, right), (label, (w, effective)) in zip(rows, models.items(), strict=True):
            colour, slots = COLOURS.get(label) or next(others), w.shape[-1]
            left.hist(w.flatten().numpy(), bins=80, color=colour)
            left.set(title=f"{label}: weights w", xlabel="w of one slot", yticks=[])
            right.hist(effective.flatten().numpy(), bins=64, range=(0, slots), color=colour)
            title = f"slots in use ({float(effective.mean()):.1f} of {slots} on average)"
            right.set(title=title, xlabel="effective slots of an address", yticks=[])
    return figure


def lines(panels: Mapping[str, Mapping[str, Line]], x: str, log: bool = False) -> Figure:
    """Three panels in a row, or two of four, with a line for each model: panels[title][model]."""
    columns = 2 if len(panels) == 4 else min(3, len(panels))
    rows = -(-len(panels) // columns)
    colours: dict[str, str] = {}
    others = cycle(OTHER_COLOURS)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.4 + 2.1 * rows), layout="constrained")
        for place, (title, models) in enumerate(panels.items(), start=1):
            axes = figure.add_subplot(rows, columns, place)
            for label, line in models.items():
                colours.setdefault(label, COLOURS.get(label) or next(others))
                axes.plot(*line, marker=".", ms=4, lw=1.4, color=colours[label], label=label)
            axes.set(title=fill(title, LETTERS // columns), xlabel=x)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            if log:
                axes.set_xscale("log", base=2)
                axes.xaxis.set_major_formatter("{x:g}")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=min(6, len(labels)))
    return figure


def seeds(models: Mapping[str, Sequence[Line]], x: str, y: str) -> Figure:
    """A line for each seed, in its model's colour, so that one that differs is seen."""
    others = cycle(OTHER_COLOURS)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
        axes = figure.subplots()
        for label, each in models.items():
            colour = COLOURS.get(label) or next(others)
            for number, line in enumerate(each):
                named = None if number else f"{label} ({_count(each)})"
                axes.plot(*line, lw=1, alpha=0.8, color=colour, label=named)
        axes.set(xlabel=x, ylabel=y)
        axes.legend(loc="best")
    return figure


def _count(lines: Sequence[Line]) -> str:
    return "1 seed" if len(lines) == 1 else f"{len(lines)} seeds"


def dots(values: Mapping[str, Sequence[float]], x: str) -> Figure:
    """A dot for each value in the row of its name, the first on top; the mean beside them.

    The line stands at the first row's mean.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.7 + 0.28 * len(values)), layout="constrained")
        axes = figure.subplots()
        for y, each in enumerate(values.values()):
            axes.plot(each, [y] * len(each), "o", color=COLOURS["KM"])
            place = (max(each), y)
            told = f"{_mean(each):.{1 if _mean(each) > 10 else 2}f}"
            axes.annotate(told, place, (7, -3), textcoords="offset points")
        axes.axvline(_mean(next(iter(values.values()))), color="#b0b0b0", lw=0.7)
        axes.set_yticks(range(len(values)), list(values))
        axes.set_ylim(len(values) - 0.5, -0.5)
        axes.margins(x=0.12)
        axes.set_xlabel(x)
    return figure
