"""The few-shot comparison as results.

::

    results/
    ├── summary.csv                 see `km_rl.results.summary`
    └── few-shot-<family>/          (and what else is not the usual, see `agents.few_shot.config`)
        ├── measured.jsonl          all that was measured, see `agents.few_shot.notes`
        ├── <setting>.csv           step,pairs,metric,value,seed,task: the same as a table
        ├── auc.png                 AUC against pairs of a held-out expert
        ├── returns.png             scores of agents against environment steps
        ├── tasks.png               the same at the end, held-out expert by held-out expert
        └── strip.png               of HalfCheetah: agents at work, see `agents.few_shot.film`

A setting's file is written anew, and the figures from the files of all settings that are there. A
setting is held against another where one command has both; it measures what is not in
``measured.jsonl`` yet, so it may be stopped and go on on another machine. ``step`` is how far an
agent was, so that its file holds the whole curve of ``return``; 0 where there is no agent.

The metrics of a setting in summary.csv; intervals by Student's t over seeds, each with all its
tasks, see `km_rl.results.spread.across_tasks`. What has no seed, ``knn`` and ``oracle``, is
examined once and has no interval:

==============================  =================================================================
``auc@<k>``                     mean over held-out tasks and seeds, told k pairs
``auc_kanerva_ahead@<k>``       the memory's less this one's, on the same tasks and seeds
``auc_earlier@<k>``             the same against the policies of earlier rounds, where the policy
                                was shown round by round, from the random one to the best
``auc_learner@<k>``             the same against early rollouts of learners, of which other
                                episodes were shown; where a setting that learned from such was
                                measured. The learners are paid by the memory of the same seed,
                                so it is asked about what got past itself: no rival is
``adapt_ms@<k>``                milliseconds to take in k pairs, the fastest of several
``state_floats@<k>``            numbers that are carried of an expert when k pairs were told
``parameters``                  of the discriminator; of bc, which has none, of its policy; 0 of
                                ``true-reward``, which is the task's own.
                                ``kanerva-h``, ``-a``, ``-ratio`` and ``generative`` have fewer
                                than the memory, being parts of it; rivals have as many
``return``, ``return_iqm``      of agents told ``--pairs`` pairs, at their last step, 0 being a
                                random policy's and 1 the expert's: mean and interquartile mean
``return_kanerva_ahead``        the memory's agents' less this one's, on the same tasks and seeds
``probability_kanerva_better``  how often the memory's agent beats this one on the same task
==============================  =================================================================

``kanerva`` in a metric's name stands for each of `LEADERS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from agents.few_shot import figures
from agents.few_shot.points import Point, ends, grouped, named, provenance
from agents.few_shot.settings import LEADERS
from km_rl.evaluate.csv_file import number, read_csv, write_csv
from km_rl.evaluate.figures import png
from km_rl.files import written_beside
from km_rl.results.spread import Estimate, across_tasks, improvement
from km_rl.results.summary import Row, check, read
from km_rl.results.summary import record as record_rows

COLUMNS = ("step", "pairs", "metric", "value", "seed", "task")
FIGURES = (
    ("auc", "auc.png", figures.auc),
    ("return", "returns.png", figures.returns),
    ("return", "tasks.png", figures.by_task),
)
"""The metric that each is drawn from, its file, and what draws it."""


def write_files(points: Sequence[Point], folder: Path) -> list[Path]:
    """A file for each setting that was measured; returns the paths.

    Raises:
        InputError: the folder cannot be written.
    """
    by_setting: dict[str, list[list[str]]] = {}
    for p in points:
        value = number(round(p.value, 4))
        line = [str(p.step), str(p.pairs), p.metric, value, str(p.seed), p.task]
        by_setting.setdefault(p.setting, []).append(line)
    return [
        write_csv(folder / f"{setting}.csv", COLUMNS, lines)
        for setting, lines in by_setting.items()
    ]


def draw(points: Sequence[Point], folder: Path) -> list[Path]:
    """The figures of what there is; returns the paths, errors as `write_files`."""
    written = []
    for metric, name, drawn in FIGURES:
        if any(p.metric == metric for p in points):
            written.append(folder / name)
            with written_beside(folder / name) as beside:
                beside.write_bytes(png(drawn(points)))
    return written


def recorded(folder: Path) -> list[Point]:
    """What `write_files` wrote there, for this command or another.

    Raises:
        InputError: a file that cannot be read.
    """
    return [
        point
        for path in sorted(folder.glob("*.csv"))
        for point in read_csv(path, partial(_point, path.stem))
    ]


def record(points: Sequence[Point], experiment: str, command: str, folder: Path) -> list[Path]:
    """Write everything and put the summary's rows in place.

    Raises:
        InputError: files that cannot be read or written, or rows of more seeds are there.
    """
    found = rows(points, experiment, command)
    check(found, read(folder))
    files = write_files(points, place := folder / experiment)
    return [*files, *draw(recorded(place), place), record_rows(found, folder)]


def rows(points: Sequence[Point], experiment: str, command: str) -> list[Row]:
    """A row for each metric of each setting."""
    last = ends(points)
    tables = grouped(last, _place)
    found = []
    for (setting, metric), values in tables.items():
        told = [({setting}, _alone(metric, values))]
        for leader in LEADERS:
            its = tables.get((leader, metric))
            if its is not None and setting != leader:
                told.append(({leader, setting}, _beside(metric, leader, its, values)))
        for of, numbers in told:
            of_these = [p for p in last if p.setting in of and named(p) == metric]
            hardware, by = provenance(of_these)
            found += [
                Row(experiment, setting, name, *value, seeds, hardware, command, by)
                for name, (value, seeds) in numbers.items()
            ]
    return found


Numbers = dict[str, tuple[Estimate, int]]
"""By metric, what it is and of how many seeds."""


def _alone(metric: str, values: np.ndarray) -> Numbers:
    """What a setting's values (seeds, tasks) say."""
    spread = across_tasks(values)
    told = {metric: (spread.mean, spread.n)}
    if metric == "return" and spread.iqm is not None:
        told["return_iqm"] = (spread.iqm, spread.n)
    return told


def _beside(metric: str, leader: str, its: np.ndarray, values: np.ndarray) -> Numbers:
    """What they say beside a leader's; those of one seed are beside each of its."""
    told: Numbers = {}
    name, at, pairs = metric.partition("@")
    if name in ("auc", "return"):
        ahead = across_tasks(its - values)
        told[f"{name}_{leader}_ahead{at}{pairs}"] = (ahead.mean, ahead.n)
    if name == "return":
        better = improvement(its, values)
        told[f"probability_{leader}_better"] = (better, min(len(its), len(values)))
    return told


def _point(setting: str, line: Mapping[str, str]) -> Point:
    """A line of a setting's file, which does not say what made it."""
    step, pairs, seed = (int(line[name]) for name in ("step", "pairs", "seed"))
    value = float(line["value"])
    return Point(setting, line["metric"], pairs, line["task"], seed, value, step)


def _place(point: Point) -> tuple[str, str]:
    """Setting and metric."""
    return point.setting, named(point)
