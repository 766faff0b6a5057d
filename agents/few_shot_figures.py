"""The figures of the few-shot comparison: AUC against pairs, and scores against steps.

Means over held-out tasks and seeds; where there are three seeds, 95% bands by the bootstrap,
which draws a seed with all its tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from agents.few_shot import ORACLE
from agents.few_shot_benchmark import Point, ends, grouped
from agents.figures import MARKS, PALETTE
from km_rl.evaluate.figures import STYLE, WIDTH
from km_rl.evaluate.spread import Estimate, across_tasks

CLONING = "bc"
"""It takes no environment steps, so only where it ends is drawn, as a line across."""
SCORES = {"expert": 1.0, "random policy": 0.0}
GREY = "#777777"
Curve = dict[int, Estimate]
"""What is estimated at each place of the horizontal axis."""


def auc(points: Sequence[Point]) -> Figure:
    """AUC against pairs of the expert."""
    with rc_context(STYLE):
        figure, axes = _empty()
        curves = _curves([p for p in points if p.metric == "auc"], lambda p: p.pairs)
        for (setting, curve), colour in zip(curves.items(), cycle(PALETTE), strict=False):
            true = setting == ORACLE
            _draw(axes, setting, curve, GREY if true else colour, "--" if true else "o-")
        ticks = sorted({k for curve in curves.values() for k in curve})
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(k) for k in ticks])
        axes.set(xlabel="pairs of a held-out expert", ylabel="AUC, expert against others")
        axes.legend(loc="best", ncols=2)
    return figure


def returns(points: Sequence[Point]) -> Figure:
    """Scores of agents against the environment steps that they have learned from."""
    scores = [p for p in points if p.metric == "return"]
    kept = [p for p in scores if p.setting != CLONING]
    kept += ends([p for p in scores if p.setting == CLONING])
    with rc_context(STYLE):
        figure, axes = _empty()
        curves = _curves(kept, lambda p: p.step)
        for (agent, curve), colour in zip(curves.items(), cycle(PALETTE), strict=False):
            if agent == CLONING:
                (end,) = curve.values()
                axes.axhline(end.value, color=colour, lw=1.5, label=agent)
            else:
                _draw(axes, agent, curve, colour, "o-")
        for label, score in SCORES.items():
            axes.axhline(score, color=GREY, lw=1, ls=MARKS[label], label=label)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set(xlabel="environment steps", ylabel="score on held-out experts")
        axes.legend(loc="best", ncols=2)
    return figure


def _empty() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    return figure, figure.subplots()


def _draw(axes: Axes, label: str, curve: Curve, colour: str, form: str) -> None:
    """A line, and its band if there is one everywhere."""
    at, found = list(curve), list(curve.values())
    axes.plot(at, [e.value for e in found], form, lw=1.5, ms=3, color=colour, label=label)
    if all(e.low is not None for e in found):
        low, high = ([getattr(e, end) for e in found] for end in ("low", "high"))
        axes.fill_between(at, low, high, color=colour, alpha=0.15, lw=0)


def _curves(points: Sequence[Point], place: Callable[[Point], int]) -> dict[str, Curve]:
    """Of each setting a curve over the places of its points."""
    curves: dict[str, Curve] = {}
    for (setting, at), values in grouped(points, lambda p: (p.setting, place(p))).items():
        curves.setdefault(setting, {})[at] = across_tasks(values).mean
    return curves
