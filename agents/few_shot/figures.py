"""The figures of the few-shot comparison: AUC against pairs, scores against steps and by task.

Each has a panel of the memory and its rivals and one of the memory and itself without its parts.
Means over held-out tasks and seeds; where there are three seeds, 95% bands by Student's t over
seeds, each with all its tasks. Only the last has each agent by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from agents.few_shot.points import Point, ends, grouped
from agents.few_shot.scores import TRUE_REWARD
from agents.few_shot.settings import LEADERS, ORACLE, SETTINGS
from agents.figures import MARKS, PALETTE
from km_rl.evaluate.figures import STYLE, WIDTH
from km_rl.results.spread import FEWEST, Estimate, across_tasks
from km_rl.rl.meta import MetaDiscriminator

CLONING = "bc"
"""It takes no environment steps, so only where it ends is drawn, as a line across."""
SCORES = {"expert": 1.0, "random policy": 0.0}
GREY = "#777777"
COLUMN = 0.8
"""How much of the width that a task has its points take."""
FORMS = ("o-", "s--", "^:")
"""Markers and lines; colours begin anew with each."""
Curve = dict[int, Estimate]
"""What is estimated at each place of the horizontal axis."""


class Look(NamedTuple):
    """How a curve is drawn."""

    colour: str
    form: str


def auc(points: Sequence[Point]) -> Figure:
    """AUC against pairs of the expert."""
    curves = _curves([p for p in points if p.metric == "auc"], lambda p: p.pairs)
    ticks = sorted({k for curve in curves.values() for k in curve})
    with rc_context(STYLE):
        figure, panels = _panels(curves)
        for axes, names in panels:
            for name, look in looks(names).items():
                _draw(axes, name, curves[name], look)
            axes.set_xscale("log", base=2)
            axes.set_xticks(ticks, [str(k) for k in ticks])
            axes.set(xlabel="pairs of a held-out expert", ylabel="AUC, expert against others")
            _name(axes)
    return figure


def returns(points: Sequence[Point]) -> Figure:
    """Scores of agents against the environment steps that they have learned from."""
    scores = [p for p in points if p.metric == "return"]
    kept = [p for p in scores if p.setting != CLONING]
    kept += ends([p for p in scores if p.setting == CLONING])
    curves = _curves(kept, lambda p: p.step)
    with rc_context(STYLE):
        figure, panels = _panels(curves)
        for axes, names in panels:
            for name, look in looks(names).items():
                if name == CLONING:
                    (end,) = curves[name].values()
                    axes.axhline(end.value, color=look.colour, lw=1.5, label=name)
                else:
                    _draw(axes, name, curves[name], look)
            _rule(axes)
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
            axes.set(xlabel="environment steps", ylabel="score on held-out experts")
            _name(axes)
    return figure


def by_task(points: Sequence[Point]) -> Figure:
    """Scores of agents at the end, a point for each, beside those of the same held-out expert."""
    kept = ends([p for p in points if p.metric == "return"])
    places = {task: x for x, task in enumerate(sorted({p.task for p in kept}, key=_number))}
    with rc_context(STYLE):
        figure, panels = _panels(dict.fromkeys(p.setting for p in kept))
        for axes, names in panels:
            for i, (name, look) in enumerate(looks(names).items()):
                its = [p for p in kept if p.setting == name]
                off = (i - (len(names) - 1) / 2) * COLUMN / len(names)
                at, found = [places[p.task] + off for p in its], [p.value for p in its]
                mark = look.form.strip("-.:") or "d"
                axes.plot(at, found, mark, ms=4, color=look.colour, alpha=0.6, label=name)
            _rule(axes)
            for line in range(1, len(places)):
                axes.axvline(line - 0.5, color=GREY, lw=0.3)
            axes.set_xticks(list(places.values()), _short(list(places)))
            wide = (-0.5, len(places) - 0.5)
            axes.set(xlabel="held-out expert", ylabel="score at the end", xlim=wide)
            _name(axes)
    return figure


def sides(names: Iterable[str]) -> list[list[str]]:
    """The memory with its rivals, and with itself without its parts; one where there is one."""
    leaders: list[str] = []
    others: list[str] = []
    parts: list[str] = []
    for name in names:
        part = name in SETTINGS and SETTINGS[name].model is MetaDiscriminator
        (leaders if name in LEADERS else parts if part else others).append(name)
    return [leaders + side for side in (others, parts) if side] or [leaders]


def looks(names: Sequence[str]) -> dict[str, Look]:
    """Another for each name; the memory's, and those of what it is held against, which is nobody's
    to beat, are always the same."""
    found = {
        **{leader: Look(PALETTE[0], form) for leader, form in zip(LEADERS, FORMS, strict=False)},
        ORACLE: Look(GREY, "--"),
        TRUE_REWARD: Look(GREY, "-."),
    }
    others = [name for name in names if name not in found]
    free = [Look(colour, form) for form in FORMS for colour in PALETTE[1:]]
    found |= dict(zip(others, free, strict=False))
    return {name: found[name] for name in names}


def _panels(curves: Iterable[str]) -> tuple[Figure, list[tuple[Axes, list[str]]]]:
    """A row of a figure for each of the `sides`."""
    rows = sides(curves)
    figure = Figure(figsize=(WIDTH, 0.3 + 3.1 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), squeeze=False)[:, 0]
    return figure, list(zip(grid, rows, strict=True))


def _short(tasks: Sequence[str]) -> list[str]:
    """Names of tasks without what stands before a colon, and without first words of all."""
    words = [task.rpartition(": ")[2].split() for task in tasks]
    while len(words) > 1 and all(len(w) > 1 and w[0] == words[0][0] for w in words):
        words = [w[1:] for w in words]
    return [" ".join(w) for w in words]


def _number(task: str) -> tuple[float, str]:
    """Puts tasks in the order of the number in their names, and then of these."""
    found = re.search(r"\d+(\.\d+)?", task.rpartition(": ")[2])
    return float(found[0]) if found else 0.0, task


def _rule(axes: Axes) -> None:
    """Lines across, at the scores that are known."""
    for label, score in SCORES.items():
        axes.axhline(score, color=GREY, lw=1, ls=MARKS[label], label=label)


def _name(axes: Axes) -> None:
    """Beside the panel, for there are many."""
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _draw(axes: Axes, label: str, curve: Curve, look: Look) -> None:
    """A line, and its band if there is one everywhere."""
    at, found = list(curve), list(curve.values())
    colour = look.colour
    axes.plot(at, [e.value for e in found], look.form, lw=1.5, ms=3, color=colour, label=label)
    if all(e.low is not None for e in found):
        low, high = ([getattr(e, end) for e in found] for end in ("low", "high"))
        axes.fill_between(at, low, high, color=colour, alpha=0.15, lw=0)


def _curves(points: Sequence[Point], place: Callable[[Point], int]) -> dict[str, Curve]:
    """Of each setting a curve over the places of its points."""
    curves: dict[str, Curve] = {}
    for (setting, at), values in grouped(points, lambda p: (p.setting, place(p))).items():
        found = across_tasks(values)
        known = found.mean if found.n >= FEWEST else Estimate(found.mean.value, None, None)
        curves.setdefault(setting, {})[at] = known
    return curves
