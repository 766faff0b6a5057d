"""Imitation runs as results: what the README's table and figure of an experiment are made of.

::

    results/
    ├── summary.csv                 see `km_rl.results.summary`
    └── gail-<environment>-<n>demo/       (-shipped, -<steps>steps, -anneal: what is not usual)
        ├── <setting>.csv           step,metric,value,seed: `return` at every evaluation, and
        │                           `rollout_return` and `training_seconds` at the end
        └── returns.png             true return against steps

Seeds that were recorded before and are not among the runs stay, so that a benchmark can be made in
several sittings. The metrics of a setting in summary.csv:

==============================  =================================================================
``return``                      mean of the last true returns, with a 95% interval by Student's t
``return_iqm``                  their interquartile mean, from four seeds on, its interval by the
                                bootstrap, from five on
``late_return``                 the mean of ``return`` over the last tenth of the steps: a policy
                                that sways from round to round is not judged by one of them
``rollout_return``              the same mean over the last 100 episodes of training, in which
                                actions are drawn from the policy: elsewhere they are its mean
``share_of_expert``             (mean - random) / (expert - random)
``probability_kanerva_better``  how often a run of the memory beats one of this setting
``training_seconds``            of the fastest seed, on one core; what else is running only adds
==============================  =================================================================
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

from agents import figures
from agents.config import GailConfig
from agents.runs import Curve, Imitation
from km_rl.errors import InputError
from km_rl.evaluate.csv_file import number, read_csv, write_csv
from km_rl.evaluate.figures import png
from km_rl.files import locked, make_folder, written_beside
from km_rl.results.spread import Estimate, mean, probability_of_improvement, spread
from km_rl.results.summary import WAIT, Row, check_name, given, read, span
from km_rl.results.summary import record as record_rows
from km_rl.train.provenance import joined_once

COLUMNS = ("step", "metric", "value", "seed")
MEMORY = "kanerva"
FIGURE = "returns.png"
TASK = ("--env", "--demos", "--trajectories", "--every")
"""What a recorded command says of what is learned from, and where."""
PLACED = re.compile(" --(?:run-dir|seed) ")
"""What a recorded command says after what makes its runs."""


class Point(NamedTuple):
    """A line of a setting's file."""

    step: int
    metric: str
    value: float
    seed: int


def record(runs: Mapping[str, Sequence[Imitation]], experiment: str, results: Path) -> list[Path]:
    """Record the finished runs of each setting of an experiment, the summary last.

    Returns:
        The files that were written.

    Raises:
        InputError: a run that has not ended or was not made from a checkout, files that cannot be
            read or written.
    """
    check_name(experiment)
    make_folder(place := results / experiment)
    with locked(place, WAIT):  # so that seeds which another process adds meanwhile are not lost
        return _record(runs, experiment, results, place)


def _record(
    runs: Mapping[str, Sequence[Imitation]], experiment: str, results: Path, place: Path
) -> list[Path]:
    known = read(results)
    before = {row.setting: row for row in known if row.experiment == experiment}
    for setting, group in runs.items():
        _check_alike(group, before.get(setting))
    _check_one_task([run for group in runs.values() for run in group], [*before.values()])
    for path in sorted(place.glob("*.csv")):
        if path.stem not in (*runs, *before):
            raise InputError(
                f"'{path}' has no line in the summary, as where recording was interrupted: record "
                f"the runs of {path.stem} with these, or delete it."
            )
    for run in (run for group in runs.values() for run in group):
        _check(run)
    written = [
        write_csv(place / f"{setting}.csv", COLUMNS, _lines(place / f"{setting}.csv", group))
        for setting, group in runs.items()
    ]
    points = {path.stem: read_csv(path, _point) for path in sorted(place.glob("*.csv"))}
    first = next(iter(runs.values()))[0]
    figure = place / FIGURE
    with written_beside(figure) as beside:
        beside.write_bytes(png(_figure(points, first)))
    rows = _rows(points, runs, experiment, known)
    return [*written, figure, record_rows(rows, results)]


def _check(run: Imitation) -> None:
    """Refuse a run that is not a result."""
    if run.steps + _round_steps(run) <= run.config["steps"]:
        raise InputError(
            f"'{run.folder}' stands at step {run.steps} of {run.config['steps']}: "
            f"give the command that made it again, and it goes on to the end."
        )
    for name in ("commit", "hardware"):
        if not run.fact(name):
            raise InputError(
                f"'{run.folder}' does not say its {name}, without which a number is no result: "
                f"run it again, from a git checkout."
            )


def _check_alike(group: Sequence[Imitation], before: Row | None) -> None:
    """Refuse runs of one setting that differ in more than the seed, earlier ones included."""
    made = dict.fromkeys(map(command, group))
    if before is not None:
        made[PLACED.split(before.command)[0]] = None
    recipes = {json.dumps(run.fact("recipe"), sort_keys=True) for run in group} - {"null"}
    if len(recipes) > 1:
        raise InputError(
            f"Runs of one setting were made by the recipes {' and '.join(sorted(recipes))}: give "
            f"runs of one, or record them under another name."
        )
    if len(made) > 1:
        told = "' and '".join(made)
        raise InputError(
            f"Runs of one setting were made by '{told}': give runs that differ in their seeds "
            f"alone, or record them under another name."
        )


def _check_one_task(runs: Sequence[Imitation], before: Sequence[Row]) -> None:
    """Refuse runs that learn from other demonstrations than the others, or elsewhere."""
    commands = [*map(command, runs), *(row.command for row in before)]
    tasks = dict.fromkeys(
        shlex.join([x for flag in TASK for value in given(told, flag) for x in (flag, value)])
        for told in commands
    )
    if len(tasks) > 1:
        told = "' and '".join(tasks)
        raise InputError(
            f"Runs of one experiment were made with '{told}': give runs of one expert in one "
            f"environment, or record them in another folder."
        )
    if len({run.fact("data") for run in runs} - {None}) > 1:
        raise InputError(
            "Runs of one experiment learned from different pairs, though their demonstrations are "
            "called alike: make them again from one file."
        )


def _round_steps(run: Imitation) -> int:
    steps = sorted({int(line["step"]) for line in run.metrics if line["step"]})
    return steps[0]


def _lines(path: Path, group: Sequence[Imitation]) -> list[list[str]]:
    """The lines of a setting's file: seeds that were there before, and the runs'."""
    new = {run.config["seed"]: _points(run) for run in group}
    for point in read_csv(path, _point) if path.exists() else []:
        if point.seed not in {run.config["seed"] for run in group}:
            new.setdefault(point.seed, []).append(point)
    return [
        [str(p.step), p.metric, number(round(p.value, 3)), str(p.seed)]
        for seed in sorted(new)
        for p in new[seed]
    ]


def _points(run: Imitation) -> list[Point]:
    seed, curve = run.config["seed"], run.curve("return/mean")
    told = [Point(int(s), "return", v, seed) for s, v in zip(*curve, strict=True)]
    rollouts = run.curve("rollout/return").values[-1:]
    told += [Point(run.steps, "rollout_return", v, seed) for v in rollouts]
    return [*told, Point(run.steps, "training_seconds", run.seconds, seed)]


def _point(line: Mapping[str, str]) -> Point:
    return Point(int(line["step"]), line["metric"], float(line["value"]), int(line["seed"]))


def _last(points: Sequence[Point], metric: str) -> list[float]:
    """The last value of each seed."""
    return list({p.seed: p.value for p in points if p.metric == metric}.values())


def _figure(points: Mapping[str, Sequence[Point]], first: Imitation) -> figures.Figure:
    curves = {setting: _curves(said) for setting, said in points.items()}
    if "bc" in curves:
        curves["bc"] = [curve.end for curve in curves["bc"]]
    return figures.returns(dict(sorted(curves.items(), key=_memory_first)), figures.marks(first))


def _memory_first(item: tuple[str, object]) -> tuple[bool, str]:
    return item[0] != MEMORY, item[0]


def _curves(points: Sequence[Point]) -> list[Curve]:
    """The returns of each seed."""
    found: dict[int, list[Point]] = {}
    for point in points:
        if point.metric == "return":
            found.setdefault(point.seed, []).append(point)
    return [Curve([p.step for p in said], [p.value for p in said]) for said in found.values()]


def worth(curves: Sequence[Curve]) -> dict[str, Estimate]:
    """What the true returns of some seeds come to, by metric."""
    found = spread([curve.values[-1] for curve in curves])
    values = {"return": found.mean}
    if found.iqm is not None:
        values["return_iqm"] = found.iqm
    return values | {"late_return": mean([curve.late for curve in curves])}


def _rows(
    points: Mapping[str, Sequence[Point]],
    runs: Mapping[str, Sequence[Imitation]],
    experiment: str,
    known: Sequence[Row],
) -> list[Row]:
    first = next(iter(runs.values()))[0]
    expert, random = (first.fact(f"{name}_return") for name in ("expert", "random"))
    memory = _last(points.get(MEMORY, []), "return")
    mine = [row for row in known if row.experiment == experiment]
    before = {row.setting: row for row in mine}
    shares = {row.setting: row.value for row in mine if row.metric == "share_of_expert"}
    rows = []
    for setting, said in points.items():
        returns = _last(said, "return")
        values = worth(_curves(said))
        if rollouts := _last(said, "rollout_return"):
            values["rollout_return"] = mean(rollouts)
        values["training_seconds"] = _plain(min(_last(said, "training_seconds")))
        if setting in runs and expert is not None and expert > random:
            share = (values["return"].value - random) / (expert - random)
            values["share_of_expert"] = _plain(share)
        elif setting not in runs and setting in shares:  # of runs that are not here
            values["share_of_expert"] = _plain(shares[setting])
        if memory and setting != MEMORY:
            better = probability_of_improvement(memory, returns)
            values["probability_kanerva_better"] = _plain(better)
        seeds = sorted({p.seed for p in said})
        place = f"runs/{experiment}/{setting}"
        made = _provenance(runs.get(setting, ()), before.get(setting), seeds, place)
        rows += [
            Row(experiment, setting, name, *value, len(seeds), *made)
            for name, value in values.items()
        ]
    return rows


def _plain(value: float) -> Estimate:
    return Estimate(value, None, None)


def _provenance(
    group: Sequence[Imitation], before: Row | None, seeds: Sequence[int], place: str
) -> tuple[str, str, str]:
    """Hardware, command and commit of a setting, those of earlier seeds included.

    The command puts its runs into a ``place`` of their own: by their usual names those of several
    settings would be one folder.
    """
    if not group:
        assert before is not None, "refused at the start"
        return before.hardware, before.command, before.commit
    earlier = before if before and len(seeds) > len(group) else None
    hardware = [earlier and earlier.hardware, *(run.fact("hardware") for run in group)]
    commits = [earlier and earlier.commit, *(run.fact("commit") for run in group)]
    return (
        joined_once(" + ", hardware),
        f"{command(group[0])} --run-dir {place} --seed {span(seeds)}",
        joined_once("+", commits),
    )


def command(run: Imitation) -> str:
    """What makes the run again, but for its seed."""
    words = ["python", "scripts/gail.py"]
    left_out = {"seed", "name", "run_dir", *run.idle}
    usual = {field.name: field.default for field in fields(GailConfig)}
    for name, default in usual.items():
        value = run.config.get(name)
        if name in left_out or value is None or (str(value) == str(default) and name != "env"):
            continue
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        else:
            words += [flag, Path(value).name if name == "demos" else str(value)]
    return shlex.join(words)
