"""Finished runs of one experiment, several seeds of each model, as results.

What is written::

    results/
    ├── summary.csv                     a mean and an interval for each metric, see `results`
    └── <experiment>/
        ├── <setting>.csv               curves: step,metric,value,seed (unit: the metric's)
        ├── <exhibit>.csv               numbers behind figures, see `experiments`
        └── *.png                       the figures of the first machine's report

A setting is a kind of model, ``km`` or ``vae``; where the machine and another are given,
``km-under-vae`` is the difference of their bounds, seed by seed.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from types import MappingProxyType
from typing import Any, NamedTuple

from km_rl.errors import InputError, written_beside
from km_rl.evaluate.experiments import Measured, over_seeds, write_curves
from km_rl.evaluate.report import PICTURES
from km_rl.evaluate.results import Row, check_name, number, record, write_csv
from km_rl.evaluate.runs import VARIED, Run, read_runs, variant
from km_rl.evaluate.table import BIT_KEYS, COLUMNS, PRICED

NATS = (*COLUMNS.values(), "bound_with_kl_memory_nats")
COSTS = {"images_seen": "images", "training_seconds": "seconds", "parameters": "parameters"}
"""Metric to key in evaluate.json; those of `NATS` and `OPTIONAL` are called the same in both."""
OPTIONAL = (*BIT_KEYS, "test_images")
"""Metrics that only a density or a newer evaluation has."""
GAPS = ("bound_nats", "bits_per_dim")
"""Metrics whose gap is recorded too."""
CURVES = ("bits_per_dim", "bound_nats", "kl_y_nats", "kl_z_nats", "reconstruction_nats")
MOST_STEPS = 60
"""Points of a curve that are kept."""
MOST_BYTES = 400_000
"""Size of a figure that is kept; a larger one is reduced."""

FREE = frozenset(
    "about preset model seed name data_dir run_dir threads "
    "log_every evaluate_every evaluate_images checkpoint_every".split()
)
"""Settings in which runs of an experiment may differ."""
BY_MODEL = frozenset(
    "slots key noise_var learn_noise address_noise_std prior_std sample_memory "
    "address_kl_warmup_steps memory_kl_weight learning_rate".split()
)
"""Settings in which another model may differ from a machine: those that not all have, and the
step size, as each model is compared at its best. Models with a memory have the same slots."""

USUAL = {"strokes": "strokes", "omniglot": "paper-omniglot", "cifar10": "paper-cifar10"}
"""Data set to its usual preset."""
SHORT = {"strokes-images-dynamic": "strokes", "cifar10-images-dequantised": "cifar10"}
"""Experiments that need no more than the name of their data."""


class Scored(NamedTuple):
    """A finished run with what its model is worth, by metric."""

    run: Run
    seed: int
    numbers: Mapping[str, float]
    experiments: Measured = MappingProxyType({})


def record_runs(
    folders: Sequence[str | Path],
    results: str | Path,
    experiment: str | None = None,
    ablations: bool = False,
) -> list[Path]:
    """Write the results of one experiment from all its runs, the summary last.

    Args:
        folders: finished run folders that `report` has evaluated, in any order.
        results: the folder of the results.
        experiment: by default the data set, its split and the binarisation. Runs with other
            settings than their preset's need a name of their own.
        ablations: the runs are machines that differ in one of the `VARIED` settings, each a
            setting of its own beside the first's.

    Returns:
        The paths of what was written.

    Raises:
        InputError: runs that cannot be read, are unfinished, have not been evaluated or differ
            in a setting; a folder that cannot be written.
    """
    settings = by_setting(folders, ablations)
    first = next(iter(settings.values()))[0].run
    experiment = experiment or name_of(first)
    check_name(experiment)
    rows = summary(experiment, settings)
    place = Path(results) / experiment
    header = ("step", "metric", "value", "seed")
    written = []
    for setting, scored in settings.items():
        lines = [line for one in scored for line in curves(one)]
        written.append(write_csv(place / f"{file_name(setting)}.csv", header, lines))
    all_runs = [(name, one.seed, one.experiments) for name in settings for one in settings[name]]
    written += write_curves(place, all_runs)
    return [*written, *copy_pictures(first, place), record(rows, results)]


def name_of(run: Run) -> str:
    """``strokes``, ``cifar10``, or data set, split and binarisation: ``omniglot-images-dynamic``.

    A preset that is not the data set's usual one gives its own name, so that a ``debug`` run
    does not take the place of a result.
    """
    usual = USUAL.get(run.conditions.dataset)
    if (preset := run.config.get("preset", usual)) != usual:
        return str(preset)
    name = "-".join((run.conditions.dataset, run.conditions.split, run.conditions.binarisation))
    return SHORT.get(name, name)


def file_name(setting: str) -> str:
    """A setting as the name of a file: ``km, slots=16`` is ``km-slots-16``."""
    return re.sub(r"[^\w.]+", "-", setting)


def by_setting(folders: Sequence[str | Path], ablations: bool = False) -> dict[str, list[Scored]]:
    """The runs of each kind by seed, the machines first; of ablations, those of each variant."""
    runs = read_runs(folders)
    for run in runs:
        _check_finished(run)
        if ablations:
            _check_machine(run)
        _check_like(runs[0], run, VARIED if ablations else ())
        _check_like(next(o for o in runs if o.kind == run.kind), run, VARIED if ablations else ())
    settings: dict[str, list[Scored]] = {}
    for run, (numbers, experiments) in zip(runs, _numbers(runs), strict=True):
        setting = ", ".join(filter(None, (run.kind, variant(runs[0], run) if ablations else "")))
        one = Scored(run, _setting(run, "seed"), numbers, experiments)
        settings.setdefault(setting, []).append(one)
    for scored in settings.values():
        scored.sort(key=lambda one: one.seed)
        _check_seeds(scored)
    return settings


def _check_seeds(scored: Sequence[Scored]) -> None:
    for one, other in pairwise(scored):
        if one.seed == other.seed:
            raise InputError(
                f"'{one.run.folder}' and '{other.run.folder}' are both {one.run.kind} with seed "
                f"{one.seed}: give one run of each seed."
            )


def _check_finished(run: Run) -> None:
    steps, done = _setting(run, "steps"), int(run.last("step") or 0)
    if done < steps:
        raise InputError(
            f"'{run.folder}' has done {done} of its {steps} steps: give the command that trains "
            f"it again, and it goes on to the end."
        )


def _check_machine(run: Run) -> None:
    if run.machine is None:
        raise InputError(
            f"'{run.folder}' holds a model of kind '{run.kind}', and ablations are of the "
            f"machine: give runs of km."
        )


def _check_like(first: Run, run: Run, varied: Sequence[str] = ()) -> None:
    """Refuse settings that differ, but for those in which they may."""
    free = _free(first, run) | set(varied)
    for name in sorted((first.config.keys() | run.config.keys()) - free):
        mine, theirs = first.config.get(name), run.config.get(name)
        if mine != theirs:
            raise InputError(
                f"'{first.folder}' was trained with {name}={mine} and '{run.folder}' with "
                f"{name}={theirs}: give runs that differ in nothing but model and seed."
            )


def _free(first: Run, run: Run) -> frozenset[str]:
    """Settings in which these two may differ."""
    if run.kind == first.kind:
        return FREE
    both_remember = first.episodic is not None and run.episodic is not None
    return FREE | BY_MODEL - ({"slots"} if both_remember else set())


def _setting(run: Run, name: str) -> int:
    value = run.config.get(name)
    if not isinstance(value, int):
        raise InputError(
            f"'{run.folder / 'config.json'}' has {name} = {value} where a whole number is "
            f"expected: give a folder written by train_generative.py, or train again."
        )
    return value


def _about(run: Run, name: str) -> str:
    fact = (run.config.get("about") or {}).get(name)
    if not fact:
        raise InputError(
            f"'{run.folder / 'config.json'}' does not say the {name}, without which a number is "
            f"no result: train again, from a git checkout."
        )
    return str(fact)


def _numbers(runs: Sequence[Run]) -> list[tuple[dict[str, float], Measured]]:
    """Of each run, its numbers and experiments, on the first test images common to all runs.

    Runs that were evaluated together have theirs in the evaluate.json of one of them.
    """
    found: dict[str, dict[Path, dict[str, Any]]] = {}
    for folder in (run.folder for run in runs):
        for images, path, entry in _entries(folder):
            found.setdefault(images, {}).setdefault(path, entry)
    scored = {
        images: [made for run in runs if (made := _complete(run, entries))]
        for images, entries in found.items()
    }
    for numbers in scored.values():
        if len(numbers) == len(runs):
            return numbers
    for run in runs:
        if not any(_complete(run, entries) for entries in found.values()):
            raise InputError(
                f"'{run.folder}' has not been evaluated since it was trained: "
                f"run `python scripts/evaluate.py {run.folder}` first."
            )
    raise InputError(
        f"The runs were evaluated on different test images ({'; '.join(found)}): "
        f"run `python scripts/evaluate.py RUN` for each, with the same options."
    )


def _entries(folder: Path) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """What evaluate.json says: on which test images, whose run, and the numbers.

    Its paths are relative to where it was made; its own run, the first, says where that was.
    """
    path = folder / "evaluate.json"
    if not path.exists():
        return
    try:
        content = json.loads(path.read_text())
        images, models = content["conditions"]["test images"], content["models"]
        for entry in models:
            away = os.path.relpath(entry["run"], models[0]["run"])
            yield images, (folder / away).resolve(), entry
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(
            f"'{path}' cannot be read as an evaluation ({error!r}): "
            f"run `python scripts/evaluate.py {folder}` again."
        ) from error


def _complete(
    run: Run, entries: Mapping[Path, Mapping[str, Any]]
) -> tuple[dict[str, float], Measured] | None:
    """By metric, and by exhibit; None for a run that is missing, or was trained further since."""
    entry = entries.get(run.folder.resolve())
    nats = [name for name in NATS if run.prices_memory or name not in PRICED]
    keys = dict(zip(nats, nats, strict=True)) | COSTS
    if entry is None or not all(key in entry for key in keys.values()):
        return None
    if entry["images"] != run.last("images"):
        return None
    more = {name: entry[name] for name in OPTIONAL if name in entry}
    numbers = {metric: entry[key] for metric, key in keys.items()} | more
    return numbers, entry.get("experiments", {})


def summary(experiment: str, settings: Mapping[str, Sequence[Scored]]) -> list[Row]:
    """The rows of every setting, and of the machine's gap to every other."""
    rows = []
    for setting, scored in settings.items():
        made = provenance(scored)
        for metric in _measured(scored):
            values = [one.numbers[metric] for one in scored]
            rows.append(Row(experiment, setting, metric, *interval(values), len(values), *made))
        hardware, command, commit = made
        made = (hardware, f"{command} && {evaluation(scored)}", commit)
        for exhibit, series, metric, values in over_seeds([one.experiments for one in scored]):
            names = (f"{experiment}-{exhibit}", ", ".join(filter(None, (setting, series))), metric)
            rows.append(Row(*names, *interval(values), len(values), *made))
    rivals = [kind for kind in settings if not kind.startswith("km")]
    return rows + [row for kind in rivals for row in _gaps(experiment, settings, kind)]


def _measured(scored: Sequence[Scored]) -> list[str]:
    """The metrics that all of them have."""
    return [name for name in scored[0].numbers if all(name in one.numbers for one in scored)]


def _gaps(experiment: str, settings: Mapping[str, Sequence[Scored]], rival: str) -> list[Row]:
    """By how much the machine's bound is under the rival's, paired by seed, in every unit."""
    km = {one.seed: one for one in settings.get("km", ())}
    other = {one.seed: one for one in settings[rival]}
    seeds = sorted(km.keys() & other.keys())
    if not seeds:
        return []
    pairs = [(km[seed], other[seed]) for seed in seeds]
    made = (provenance(one) for one in zip(*pairs, strict=True))
    hardware, command, commit = map(_joined, (" + ", " && ", "+"), zip(*made, strict=True))
    rows = []
    for metric in GAPS:
        if metric in _measured([one for pair in pairs for one in pair]):
            gaps = [theirs.numbers[metric] - mine.numbers[metric] for mine, theirs in pairs]
            numbers = (*interval(gaps), len(gaps))
            setting = f"km-under-{rival}"
            rows.append(Row(experiment, setting, metric, *numbers, hardware, command, commit))
    return rows


def interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Mean and 95% interval of the mean by Student's t; no interval from one value.

    Seeds are few: a bootstrap over three values only ever sees ten different samples, and its
    interval is far too narrow.
    """
    mean = fmean(values)
    if len(values) == 1:
        return mean, None, None
    from scipy.stats import t

    half = float(t.interval(0.95, len(values) - 1)[1]) * stdev(values) / len(values) ** 0.5
    return mean, mean - half, mean + half


def provenance(scored: Sequence[Scored]) -> tuple[str, str, str]:
    """Hardware, command and commit of runs in order of seed."""
    hardware = _joined(" + ", [_about(one.run, "hardware") for one in scored])
    commit = _joined("+", [_about(one.run, "commit") for one in scored])
    return hardware, _command(scored), commit


def evaluation(scored: Sequence[Scored]) -> str:
    """The command of the experiments on these runs."""
    folders = [f"runs/{one.run.folder.name}" for one in scored]
    return shlex.join(["python", "scripts/evaluate.py", *folders])


def _joined(joiner: str, facts: Iterable[str]) -> str:
    """Each fact once, in order."""
    return joiner.join(dict.fromkeys(facts))


def _command(scored: Sequence[Scored]) -> str:
    """The command for all seeds; the first one's where they differ in more than the seed."""
    bare = [_bare(_about(one.run, "command")) for one in scored]
    seeds = [one.seed for one in scored] if len(set(map(tuple, bare))) == 1 else [scored[0].seed]
    consecutive = len(seeds) > 1 and seeds == list(range(seeds[0], seeds[-1] + 1))
    span = f"{seeds[0]}..{seeds[-1]}" if consecutive else ",".join(map(str, seeds))
    return shlex.join([*bare[0], "--seed", span])


def _bare(command: str) -> list[str]:
    """A training command without its seed and without what holds on one machine only."""
    kept, words = [], iter(shlex.split(command))
    for word in words:
        flag, equals, _ = word.partition("=")
        flag = flag.replace("_", "-")
        if flag not in ("--seed", "--name", "--run-dir", "--data-dir"):
            kept.append(f"scripts/{Path(word).name}" if word.endswith(".py") else word)
            continue
        if not equals:
            next(words, None)
        if flag == "--data-dir":
            kept += [flag, "DIR"]
    return kept


def curves(one: Scored) -> Iterator[tuple[str, str, str, str]]:
    """Step, metric, value and seed: the test set's terms and the bound in training, thinned."""
    for metric in ("train/bits_per_dim", "train/bound", *(f"test/{name}" for name in CURVES)):
        points = [(row["step"], row[metric]) for row in one.run.metrics if metric in row]
        for step, value in thinned(points):
            yield str(int(step)), metric, number(round(value, 4)), str(one.seed)


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `MOST_STEPS` of the points, evenly apart, with the first and the last."""
    if len(points) <= MOST_STEPS:
        return list(points)
    apart = (len(points) - 1) / (MOST_STEPS - 1)
    return [points[round(apart * i)] for i in range(MOST_STEPS)]


def copy_pictures(run: Run, place: Path) -> list[Path]:
    """The figures of a run's report, each made smaller than `MOST_BYTES`; returns the copies."""
    copies = []
    for picture in sorted((run.folder / PICTURES).glob("*.png")):
        png = picture.read_bytes()
        copies.append(place / picture.name)
        with written_beside(copies[-1]) as beside:
            beside.write_bytes(png if len(png) < MOST_BYTES else _reduced(png))
    return copies


def _reduced(png: bytes) -> bytes:
    """The same picture in 64 colours, and at half the size until it is small enough."""
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    while True:
        file = io.BytesIO()
        image.quantize(64).save(file, "png", optimize=True)
        if file.tell() < MOST_BYTES:
            return file.getvalue()
        image = image.reduce(2)
