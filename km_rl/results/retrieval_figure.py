"""The figure of the retrieval experiment: error against load and corruption, bits per number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from km_rl.evaluate.figures import STYLE, WIDTH
from km_rl.evaluate.retrieval import RANDOM, Bench, Point

LOOKS = {
    "hebbian": ("#c44e52", "-"),
    "pseudo-inverse": ("#c44e52", "--"),
    "modern": ("#8e5ea2", "-"),
    "key-value": ("#8e5ea2", ":"),
    "sdm": ("#d9822b", "-"),
    "rbm": ("#3a8f5c", "-"),
    "natural": ("#2a9db0", "--"),
    "km": ("#2563a8", "-"),
    "km-unwritten": ("#2563a8", ":"),
    "dkm": ("#2563a8", "--"),
    "dnc": ("#4d4d4d", "-"),
    "lrua": ("#4d4d4d", "--"),
}
"""Colour and line of each memory; another one is grey."""


def figure(bench: Bench, found: Sequence[Point], patterns: Sequence[str]) -> Figure:
    """Error against load for coins and the last set, its error against flips, and bits."""
    last = patterns[-1]
    with rc_context(STYLE):
        made = Figure(figsize=(WIDTH, 5.4), layout="constrained")
        (coins, drawings), (flips, bits) = made.subplots(2, 2)
        for axes, name in ((coins, RANDOM), (drawings, last)):
            mine = _of(found, name, "error_percent", flipped=bench.flipped)
            _curves(axes, mine, lambda p: p.load)
            axes.set(title=f"{name}, {float(bench.flipped):.0%} flipped", ylabel="wrong units, %")
        mine = [p for p in _of(found, last, "error_percent", load=bench.load) if _is_share(p)]
        _curves(flips, mine, lambda p: 100 * float(p.corruption))
        flips.set(title=f"{last}, N = {bench.load}", xlabel="flipped, %", ylabel="wrong units, %")
        _curves(bits, _of(found, RANDOM, "bits_per_number", flipped=bench.flipped), _load)
        bits.set(title="random, bits per stored number")
        for axes in (coins, drawings, bits):
            axes.set_xscale("log")
            axes.set_xlabel("patterns written")
        handles, labels = coins.get_legend_handles_labels()
        made.legend(handles, labels, loc="outside upper center", ncols=5)
    return made


def _load(point: Point) -> float:
    return point.load


def _is_share(point: Point) -> bool:
    return point.corruption.replace(".", "").isdigit()


def _of(
    found: Sequence[Point],
    patterns: str,
    metric: str,
    flipped: str | None = None,
    load: int | None = None,
) -> list[Point]:
    """The points of a set and a metric, at one corruption or at one load."""
    return [
        p
        for p in found
        if (p.patterns, p.metric) == (patterns, metric)
        and flipped in (None, p.corruption)
        and load in (None, p.load)
    ]


def _curves(axes: Axes, found: Sequence[Point], place: Callable[[Point], float]) -> None:
    """A line for each memory, the mean over seeds at each place."""
    for memory in dict.fromkeys(p.memory for p in found):
        colour, line = LOOKS.get(memory, ("#7f7f7f", "-"))
        mine = [p for p in found if p.memory == memory]
        xs = sorted({place(p) for p in mine})
        ys = [fmean(p.value for p in mine if place(p) == x) for x in xs]
        axes.plot(xs, ys, line, marker=".", ms=4, color=colour, lw=1.4, label=memory)
