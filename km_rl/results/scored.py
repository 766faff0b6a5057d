"""Runs of one experiment with what they are worth, checked to differ only where they may."""

from __future__ import annotations

import json
import math
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from km_rl.core.episodic import EpisodicModel
from km_rl.errors import InputError
from km_rl.evaluate.csv_file import number
from km_rl.evaluate.evaluation import ABLATIONS, EVALUATION
from km_rl.evaluate.exhibit import Measured
from km_rl.evaluate.runs import MODELS, VARIED, Metrics, Run, variant
from km_rl.evaluate.table import BIT_KEYS, COLUMNS, DISTORTION, PRICED
from km_rl.train.run import FREE as MAY_CHANGE

NATS = tuple(COLUMNS.values())
COSTS = {"images_seen": "images", "training_seconds": "seconds", "parameters": "parameters"}
"""Metric to key in evaluate.json; those of `NATS` and `OPTIONAL` are called the same in both."""
OPTIONAL = (*BIT_KEYS, DISTORTION, "test_images")
"""Metrics that only a density or a newer evaluation has."""
FREE = frozenset(MAY_CHANGE | {"about", "model", "seed"})
"""Settings in which runs of an experiment may differ."""
BY_MODEL = frozenset(
    "slots key noise_var learn_noise address_noise_std prior_std sample_memory "
    "address_kl_warmup_steps memory_kl_weight learning_rate "
    "learn_prior_mean diagonal_covariance unwritten".split()
)
"""Settings in which another model may differ from a machine: those that not all have, and the
step size, as a rival may have one that suits it. Models with a memory have the same slots."""


CURVES = (
    "bits_per_dim",
    "bound_nats",
    "bound_with_kl_memory_nats",
    "kl_y_nats",
    "kl_z_nats",
    "kl_memory_nats",
    "reconstruction_nats",
)
"""Of the test set, that are kept of a training."""
MOST_STEPS = 60
"""Points of a curve that are kept."""
Logged = tuple[int, str, float]
"""A step, a metric and its value."""


USUAL_OPTIONS: Mapping[str, int | None] = {"passes": 4, "limit": None, "seed": 0}
"""Of `km_rl.evaluate.report.report`, on which its numbers depend, where none are given."""


class Found(NamedTuple):
    """What `Scored` has of an evaluation."""

    numbers: Mapping[str, float]
    experiments: Measured
    options: Mapping[str, int]
    commit: str | None


class Scored(NamedTuple):
    """A finished run with what its model is worth, by metric.

    Attributes:
        told: the run in a sentence: its folder, or that it was recorded before.
        name: its folder's, without the way there.
        setting: its kind, and of an ablation the part that differs: ``km, slots=16``.
        config: its settings.
        curves: step, metric and value of what was logged of it, thinned.
        numbers: by metric.
        experiments: its numbers in the paper's experiments, where they were made.
        options: of its evaluation, those that are not `USUAL_OPTIONS`.
        commit: of the code that evaluated it, if that was known.
    """

    told: str
    name: str
    kind: str
    setting: str
    seed: int
    config: Mapping[str, Any]
    curves: Sequence[Logged]
    numbers: Mapping[str, float] = {}
    experiments: Mapping[str, Sequence[Any]] = {}
    options: Mapping[str, int] = {}
    commit: str | None = None

    @property
    def remembers(self) -> bool:
        """Whether its model has a memory."""
        return issubclass(MODELS[self.kind], EpisodicModel)


def by_setting(
    runs: Sequence[Run], ablations: bool = False, recorded: Sequence[Scored] = ()
) -> dict[str, list[Scored]]:
    """Runs and those that were recorded before, of each kind by seed, the machines first.

    Of ablations it is those of each variant. Of a setting and a seed that both have, the run
    counts.
    """
    for run in runs:
        _check_finished(run)
        if ablations:
            _check_kind(runs[0], run)
    kind = runs[0].kind
    usual = next((one.config for one in recorded if one.setting == kind), runs[0].config)
    made = [_of(run, usual if ablations else run.config) for run in runs]
    for one in made:
        if (known := _recorded(one, recorded)) is not None:
            _check_like(known, one)
    given = {(one.setting, one.seed) for one in made}
    others = [one for one in recorded if (one.setting, one.seed) not in given]
    _check_alike([*others, *made])
    found = zip(made, _numbers(runs, ablations), strict=True)
    every = [
        *(_with_known(one._replace(**numbers._asdict()), recorded) for one, numbers in found),
        *others,
    ]
    _check_test_sets(every)
    _check_paces(every)
    settings: dict[str, list[Scored]] = {}
    for one in sorted(every, key=_order):
        settings.setdefault(one.setting, []).append(one)
    for scored in settings.values():
        scored.sort(key=lambda one: one.seed)
        _check_seeds(scored)
    return settings


def _of(run: Run, usual: Mapping[str, Any]) -> Scored:
    """A run without its numbers, called after what in it is not usual."""
    setting = ", ".join(filter(None, (run.kind, variant(usual, run.config))))
    about = str(run.folder), run.folder.name, run.kind, setting, _setting(run, "seed")
    return Scored(*about, run.config, logged(run.metrics))


def _order(one: Scored) -> tuple[int, bool]:
    """The machine first, and each kind before what differs from it in a part."""
    return list(MODELS).index(one.kind), one.setting != one.kind


def _check_alike(every: Sequence[Scored]) -> None:
    """Refuse runs that differ from the first, or from the first of their kind."""
    first: dict[str, Scored] = {}
    for one in sorted(every, key=_order):
        for other in (next(iter(first.values()), one), first.setdefault(one.kind, one)):
            _check_like(other, one, VARIED if one.setting != one.kind else ())


def logged(metrics: Sequence[Metrics]) -> list[Logged]:
    """The test set's terms and the bound in training, thinned."""
    found: list[Logged] = []
    for metric in ("train/bits_per_dim", "train/bound", *(f"test/{name}" for name in CURVES)):
        points = [
            (row["step"], row[metric])
            for row in metrics
            if metric in row and math.isfinite(row[metric])
        ]
        found += [(int(step), metric, value) for step, value in thinned(points)]
    return found


def rounded(curves: Sequence[Logged]) -> list[Logged]:
    """As they are kept."""
    return [(step, name, float(number(round(value, 4)))) for step, name, value in curves]


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `MOST_STEPS` of the points, evenly apart, with the first and the last."""
    if len(points) <= MOST_STEPS:
        return list(points)
    apart = (len(points) - 1) / (MOST_STEPS - 1)
    return [points[round(apart * i)] for i in range(MOST_STEPS)]


def _check_test_sets(every: Sequence[Scored]) -> None:
    """Refuse numbers that are means over so many images, or so drawn, beside others."""
    known: dict[tuple[float, str], Scored] = {}
    for one in every:
        if (size := one.numbers.get("test_images")) is not None:
            known.setdefault((size, shlex.join(flags(one.options))), one)
    if len(known) > 1:
        each = " and ".join(
            f"'{one.told}' on {size:.0f}{given and ' with '}{given}"
            for (size, given), one in known.items()
        )
        raise InputError(
            f"Runs were tested on different images, {each}: run `python scripts/evaluate.py RUN` "
            f"with the options that the others had."
        )


def flags(options: Mapping[str, int]) -> list[str]:
    """Options as an evaluation's command has them."""
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def _check_paces(every: Sequence[Scored]) -> None:
    """Refuse runs of which one saw more images in a step, as several processes do."""
    first = every[0]
    for one in every:
        mine, its = (x.numbers["images_seen"] / x.config["steps"] for x in (first, one))
        if not math.isclose(mine, its, rel_tol=1e-6):
            raise InputError(
                f"'{first.told}' saw {mine:g} images in a step and '{one.told}' {its:g}: give "
                f"runs of as many processes, or another --experiment."
            )


def _with_known(one: Scored, recorded: Sequence[Scored]) -> Scored:
    """With what is recorded of the very same training in experiments that it lacks here.

    Runs are evaluated together with others now, and then as ablations or alone, where fewer
    experiments are made.
    """
    known = _recorded(one, recorded)
    if known is not None and known.curves == rounded(one.curves):
        return one._replace(experiments={**known.experiments, **one.experiments})
    return one


def _recorded(one: Scored, recorded: Sequence[Scored]) -> Scored | None:
    """What a run takes the place of."""
    return next((x for x in recorded if (x.setting, x.seed) == (one.setting, one.seed)), None)


def _check_seeds(scored: Sequence[Scored]) -> None:
    for one, other in pairwise(scored):
        if one.seed == other.seed:
            raise InputError(
                f"'{one.told}' and '{other.told}' are both {one.kind} with seed "
                f"{one.seed}: give one run of each seed."
            )


def _check_finished(run: Run) -> None:
    steps, done = _setting(run, "steps"), int(run.last("step") or 0)
    if done < steps:
        raise InputError(
            f"'{run.folder}' has done {done} of its {steps} steps: give the command that trains "
            f"it again, and it goes on to the end."
        )


def _check_kind(first: Run, run: Run) -> None:
    if run.kind != first.kind:
        raise InputError(
            f"'{first.folder}' is a run of {first.kind} and '{run.folder}' of {run.kind} where "
            f"ablations are of one model: give the runs of each by themselves."
        )


def _check_like(first: Scored, one: Scored, varied: Sequence[str] = ()) -> None:
    """Refuse settings that differ, but for those in which they may."""
    free = _free(first, one) | set(varied)
    for name in sorted((first.config.keys() | one.config.keys()) - free):
        mine, theirs = first.config.get(name), one.config.get(name)
        if mine != theirs:
            raise InputError(
                f"'{first.told}' was trained with {name}={mine} and '{one.told}' with "
                f"{name}={theirs}: give runs that differ in nothing but model and seed, or "
                f"another --experiment."
            )


def _free(first: Scored, one: Scored) -> frozenset[str]:
    """Settings in which these two may differ."""
    if one.kind == first.kind:
        return FREE
    both_remember = first.remembers and one.remembers
    return FREE | BY_MODEL - ({"slots"} if both_remember else set())


def _setting(run: Run, name: str) -> int:
    value = run.config.get(name)
    if not isinstance(value, int):
        raise InputError(
            f"'{run.folder / 'config.json'}' has {name} = {value} where a whole number is "
            f"expected: give a folder written by train_generative.py, or train again."
        )
    return value


def _numbers(runs: Sequence[Run], ablations: bool) -> list[Found]:
    """What `_complete` finds of each run, on the first test images common to all runs.

    Runs that were evaluated together have theirs in the evaluate.json of one of them.
    """
    digests = {run.folder.resolve(): run.digest for run in runs}
    found: dict[str, dict[Path, dict[str, Any]]] = {}
    for folder in (run.folder for run in runs):
        for images, path, entry in _entries(folder, ablations):
            if entry.get("digest") != digests.get(path):  # of other weights, or another run
                continue
            known = found.setdefault(images, {})
            if path not in known or _rank(entry) + (path == folder.resolve()) > _rank(known[path]):
                known[path] = entry
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


def _rank(entry: Mapping[str, Any]) -> int:
    """The higher of two evaluations of a run counts: that with more experiments, or its own."""
    return 2 * len(entry.get("experiments", {}))


def _entries(folder: Path, ablations: bool) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """What evaluate.json says: on which test images, whose run, and the numbers.

    Of ablations it is their own, where there is one. Paths in it are relative to its own run, the
    first; or, of older ones, to where it was made, as that of the first is.
    """
    path = folder / EVALUATION
    if ablations and (own := folder / ABLATIONS / EVALUATION).exists():
        path = own
    if not path.exists():
        return
    try:
        content = json.loads(path.read_text())
        images, models = content["conditions"]["test images"], content["models"]
        given = content.get("settings", {})
        options = {x: given[x] for x, y in USUAL_OPTIONS.items() if given.get(x, y) != y}
        for entry in models:
            run, first = entry["run"], models[0]["run"]
            away = run if first == "." else os.path.relpath(run, first)
            about = {"options": options, "commit": content.get("commit")}
            yield images, (folder / away).resolve(), entry | about
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(
            f"'{path}' cannot be read as an evaluation ({error!r}): "
            f"run `python scripts/evaluate.py {folder}` again."
        ) from error


def _complete(run: Run, entries: Mapping[Path, Mapping[str, Any]]) -> Found | None:
    """Numbers by metric, those of experiments by exhibit, unusual options, the commit.

    None for a run that is missing, or whose evaluation lacks a number.
    """
    entry = entries.get(run.folder.resolve())
    nats = [name for name in NATS if run.prices_memory or name not in PRICED]
    keys = dict(zip(nats, nats, strict=True)) | COSTS
    if entry is None or not all(key in entry for key in keys.values()):
        return None
    more = {name: entry[name] for name in OPTIONAL if name in entry}
    numbers = {metric: entry[key] for metric, key in keys.items()} | more
    return Found(numbers, entry.get("experiments", {}), entry["options"], entry["commit"])
