"""The figures of imitation runs, in the style of `km_rl.evaluate.figures`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from agents.runs import Curve, Imitation
from km_rl.evaluate.figures import COLOURS, OTHER_COLOURS, STYLE, WIDTH
from km_rl.results.spread import FEWEST, mean

FORMS = ("-", "--", ":")
"""Of lines, when the colours begin again."""
PALETTE = (*COLOURS.values(), *OTHER_COLOURS)
MARKS = {"expert": (0, (5, 2)), "random policy": (0, (1, 2))}
"""Returns that are drawn as a line across, and how it is dashed."""
OWN = {"expert": PALETTE[0], "policy": PALETTE[1]}
"""Whose value it is, to its colour."""
MOST_POINTS = 300


def marks(run: Imitation) -> dict[str, float | None]:
    """The returns to mark that were recorded when the run began."""
    return {name: run.fact(f"{name.partition(' ')[0]}_return") for name in MARKS}


def returns(
    settings: Mapping[str, Sequence[Curve]],
    marks: Mapping[str, float | None],
    x_label: str = "environment steps",
) -> Figure:
    """True return against steps: the mean of each setting's runs, and a 95% band of three or more.

    Args:
        settings: of each label a curve for each run, in straight lines between its points, from
            where all have begun to where the first ends; where all have a single point, a line
            across.
        marks: of `MARKS`; None is left out.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
        axes = figure.subplots()
        looks = ((colour, form) for form in cycle(FORMS) for colour in PALETTE)
        for (label, runs), look in zip(settings.items(), looks, strict=False):
            _mean_and_band(axes, label, runs, *look, alpha=min(0.18, 0.8 / len(settings)))
        for label, value in marks.items():
            if value is not None:
                axes.axhline(value, color="#777777", lw=1, ls=MARKS[label], label=label)
        axes.set(xlabel=x_label, ylabel="true return")
        _finish(axes)
        figure.legend(loc="outside right upper")
    return figure


def _mean_and_band(
    axes: Axes, label: str, runs: Sequence[Curve], colour: str, form: str, alpha: float
) -> None:
    first, last = max(run.steps[0] for run in runs), min(run.steps[-1] for run in runs)
    steps = sorted({s for run in runs for s in run.steps if first <= s <= last})
    if not steps:
        return
    values = np.array([np.interp(steps, *run) for run in runs]).T
    named = f"{label} (n = {len(runs)})" if len(runs) > 1 else label
    if all(len(run.steps) == 1 for run in runs):
        axes.axhline(values.mean(), color=colour, ls=form, lw=1.6, label=named)
        return
    dot = "." if len(steps) == 1 else None
    axes.plot(steps, values.mean(1), color=colour, ls=form, lw=1.6, marker=dot, label=named)
    if len(runs) >= FEWEST:
        bands = np.array([mean(x) for x in values])
        axes.fill_between(steps, bands[:, 1], bands[:, 2], color=colour, alpha=alpha, lw=0)


def panels(shown: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """Panels side by side, shown[title][whose], with a curve for each of `OWN`.

    Their height is that of all points but the first, when nothing is known yet.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.7), layout="constrained")
        row = figure.subplots(1, len(shown), squeeze=False)[0]
        for axes, (title, curves) in zip(row, shown.items(), strict=True):
            for label, curve in curves.items():
                axes.plot(*_thinned(curve), color=OWN[label], lw=1.3, label=label)
            axes.set(title=title, xlabel="environment steps")
            if settled := [value for curve in curves.values() for value in curve.values[1:]]:
                margin = 0.06 * (max(settled) - min(settled)) or 0.5
                axes.set_ylim(min(settled) - margin, max(settled) + margin)
            _finish(axes)
            if len(curves) > 1:
                axes.legend(loc="best")
    return figure


def _thinned(curve: Curve) -> Curve:
    step = -(-len(curve.steps) // MOST_POINTS) or 1
    return Curve(curve.steps[::step], curve.values[::step])


def _finish(axes: Axes) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
