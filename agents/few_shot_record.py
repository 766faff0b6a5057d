"""The few-shot comparison as results.

::

    results/
    ├── summary.csv                 see `km_rl.evaluate.results`
    └── few-shot-<family>/          (-<n>pairs, where agents had other than 16)
        ├── <setting>.csv           pairs,metric,value,seed,task: what was measured, one by one
        └── auc.png                 AUC against pairs of a held-out expert

A setting's file and the figure are written anew: record all with one command. The metrics of a
setting in summary.csv; intervals by the bootstrap, stratified by tasks, from three seeds on:

==============================  =================================================================
``auc@<k>``                     mean over held-out tasks and seeds, told k pairs
``adapt_ms@<k>``                milliseconds to take in k pairs, the fastest of several
``return``, ``return_iqm``      of agents told ``--pairs`` pairs, 0 being a random policy's and 1
                                the expert's: mean and interquartile mean
``probability_kanerva_better``  how often the memory's agent beats this one on the same task
==============================  =================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from agents.few_shot import ORACLE
from agents.few_shot_benchmark import Point, named
from agents.figures import PALETTE
from km_rl.errors import written_beside
from km_rl.evaluate.figures import STYLE, WIDTH, png
from km_rl.evaluate.results import Row, number, write_csv
from km_rl.evaluate.results import record as record_rows
from km_rl.evaluate.spread import Estimate, probability_of_improvement, stratified

MEMORY = "kanerva"
COLUMNS = ("pairs", "metric", "value", "seed", "task")
FIGURE = "auc.png"


def write_files(points: Sequence[Point], folder: Path) -> list[Path]:
    """What was measured of each setting, and the figure if any AUC was; returns the paths.

    Raises:
        InputError: the folder cannot be written.
    """
    by_setting: dict[str, list[list[str]]] = {}
    for p in points:
        line = [str(p.pairs), p.metric, number(round(p.value, 4)), str(p.seed), p.task]
        by_setting.setdefault(p.setting, []).append(line)
    written = [
        write_csv(folder / f"{setting}.csv", COLUMNS, lines)
        for setting, lines in by_setting.items()
    ]
    if not any(p.metric == "auc" for p in points):
        return written
    with written_beside(folder / FIGURE) as beside:
        beside.write_bytes(png(figure(points)))
    return [*written, folder / FIGURE]


def record(
    points: Sequence[Point], experiment: str, made: tuple[str, str, str], folder: Path
) -> list[Path]:
    """Write everything and put the summary's rows in place.

    Args:
        made: hardware, command and commit.

    Raises:
        InputError: files that cannot be read or written.
    """
    files = write_files(points, folder / experiment)
    return [*files, record_rows(rows(points, experiment, made), folder)]


def rows(points: Sequence[Point], experiment: str, made: tuple[str, str, str]) -> list[Row]:
    """A row for each metric of each setting."""
    found = []
    tables = _tables(points)
    for (setting, metric), values in tables.items():
        spread = stratified(values)
        told: dict[str, Estimate] = {metric: spread.mean}
        if metric == "return":
            told["return_iqm"] = spread.iqm
            memory = tables.get((MEMORY, metric))
            if memory is not None and setting != MEMORY:
                better = [probability_of_improvement(a, b) for a, b in zip(memory.T, values.T)]  # noqa: B905
                told["probability_kanerva_better"] = Estimate(float(np.mean(better)), None, None)
        found += [
            Row(experiment, setting, name, *value, spread.n, *made) for name, value in told.items()
        ]
    return found


def figure(points: Sequence[Point]) -> Figure:
    """AUC against pairs of the expert: means, and 95% bands where there are three seeds."""
    with rc_context(STYLE):
        drawn = Figure(figsize=(WIDTH, 3.6), layout="constrained")
        axes = drawn.subplots()
        curves = _curves(points)
        for (setting, curve), colour in zip(curves.items(), cycle(PALETTE), strict=False):
            k, spreads = list(curve), list(curve.values())
            true = setting == ORACLE
            colour, marker = ("#777777", "") if true else (colour, "o")
            values, line = [s.value for s in spreads], (0, (5, 2)) if true else "-"
            axes.plot(k, values, lw=1.5, ms=3, color=colour, marker=marker, ls=line, label=setting)
            if all(s.low is not None for s in spreads):
                low, high = ([getattr(s, end) for s in spreads] for end in ("low", "high"))
                axes.fill_between(k, low, high, color=colour, alpha=0.15, lw=0)
        ticks = sorted({k for curve in curves.values() for k in curve})
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(k) for k in ticks])
        axes.set(xlabel="pairs of a held-out expert", ylabel="AUC, expert against others")
        axes.legend(loc="best", ncols=2)
    return drawn


def _curves(points: Sequence[Point]) -> dict[str, dict[int, Estimate]]:
    curves: dict[str, dict[int, Estimate]] = {}
    tables = _tables([p for p in points if p.metric == "auc"])
    for (setting, metric), values in tables.items():
        k = int(metric.partition("@")[2])
        curves.setdefault(setting, {})[k] = stratified(values).mean
    return curves


def _tables(points: Sequence[Point]) -> Mapping[tuple[str, str], np.ndarray]:
    """Of each setting and metric the values (seeds, tasks)."""
    found: dict[tuple[str, str], dict[int, list[float]]] = {}
    for p in points:
        found.setdefault((p.setting, named(p)), {}).setdefault(p.seed, []).append(p.value)
    return {key: np.array(list(by_seed.values())) for key, by_seed in found.items()}
