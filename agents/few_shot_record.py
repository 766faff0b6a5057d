"""The few-shot comparison as results.

::

    results/
    ├── summary.csv                 see `km_rl.evaluate.results`
    └── few-shot-<family>/          (-<n>pairs, where agents had other than 16)
        ├── <setting>.csv           step,pairs,metric,value,seed,task: all that was measured
        ├── auc.png                 AUC against pairs of a held-out expert
        ├── returns.png             scores of agents against environment steps
        └── strip.png               of HalfCheetah: agents at work, see `agents.few_shot_film`

A setting's file and the figures are written anew: record all with one command. ``step`` is how
far an agent was, so that its file holds the whole curve of ``return``; 0 where there is no agent.
The metrics of a setting in summary.csv; intervals by the bootstrap, which draws a seed with all
its tasks, from three seeds on:

==============================  =================================================================
``auc@<k>``                     mean over held-out tasks and seeds, told k pairs
``auc_earlier@<k>``             the same against the policies of earlier rounds, where the policy
                                was shown round by round, from the random one to the best
``auc_learner@<k>``             the same against early rollouts of learners, of which other pairs
                                were shown; where a setting that learned from such was measured
``adapt_ms@<k>``                milliseconds to take in k pairs, the fastest of several
``return``, ``return_iqm``      of agents told ``--pairs`` pairs, at their last step, 0 being a
                                random policy's and 1 the expert's: mean and interquartile mean
``probability_kanerva_better``  how often the memory's agent beats this one on the same task
==============================  =================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agents import few_shot_figures
from agents.few_shot import MEMORY
from agents.few_shot_benchmark import Point, ends, grouped, named
from km_rl.errors import written_beside
from km_rl.evaluate.figures import png
from km_rl.evaluate.results import Row, number, write_csv
from km_rl.evaluate.results import record as record_rows
from km_rl.evaluate.spread import Estimate, across_tasks, probability_of_improvement

COLUMNS = ("step", "pairs", "metric", "value", "seed", "task")
FIGURES = {
    "auc": ("auc.png", few_shot_figures.auc),
    "return": ("returns.png", few_shot_figures.returns),
}
"""By the metric that they are drawn from."""


def write_files(points: Sequence[Point], folder: Path) -> list[Path]:
    """What was measured of each setting, and the figures of what there is; returns the paths.

    Raises:
        InputError: the folder cannot be written.
    """
    by_setting: dict[str, list[list[str]]] = {}
    for p in points:
        value = number(round(p.value, 4))
        line = [str(p.step), str(p.pairs), p.metric, value, str(p.seed), p.task]
        by_setting.setdefault(p.setting, []).append(line)
    written = [
        write_csv(folder / f"{setting}.csv", COLUMNS, lines)
        for setting, lines in by_setting.items()
    ]
    for metric, (name, drawn) in FIGURES.items():
        if any(p.metric == metric for p in points):
            written.append(folder / name)
            with written_beside(folder / name) as beside:
                beside.write_bytes(png(drawn(points)))
    return written


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
    tables = grouped(ends(points), lambda p: (p.setting, named(p)))
    for (setting, metric), values in tables.items():
        spread = across_tasks(values)
        told: dict[str, Estimate] = {metric: spread.mean}
        if metric == "return":
            told["return_iqm"] = spread.iqm
            memory = tables.get((MEMORY, metric))
            if memory is not None and setting != MEMORY:
                better = [
                    probability_of_improvement(a, b)
                    for a, b in zip(memory.T, values.T, strict=True)
                ]
                told["probability_kanerva_better"] = Estimate(float(np.mean(better)), None, None)
        found += [
            Row(experiment, setting, name, *value, spread.n, *made) for name, value in told.items()
        ]
    return found
