"""Finished runs of one experiment, several seeds of each model, as results.

What is written::

    results/
    ├── summary.csv     a mean and an interval for each metric, see `summary`
    ├── commands.csv    what made them
    └── <experiment>/   every run's numbers, see `kept`
        ├── seeds.png   the bound of every seed, one by one
        ├── ablations.png  where they differ in a setting: the bound of every seed, side by side
        └── *.png       the figures of the first machine's report

Seeds that were recorded before and are not among the runs stay, so that an experiment can be made
in several sittings, on several machines.

A setting is a kind of model, ``km`` or ``vae``; where the machine and another are given,
``km-under-vae`` is the difference of their bounds, seed by seed: the paper's, and the full one.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from km_rl.errors import InputError
from km_rl.evaluate import figures
from km_rl.evaluate.evaluation import ABLATIONS
from km_rl.evaluate.exhibit import over_seeds
from km_rl.evaluate.figures import Line, png
from km_rl.evaluate.runs import USUAL, Run, read_runs
from km_rl.evaluate.table import FULL
from km_rl.files import locked, make_folder, written_beside
from km_rl.results.kept import bare, copy_pictures, file_name, read_curves, read_kept, write_kept
from km_rl.results.scored import Logged, Scored, by_setting, flags
from km_rl.results.spread import mean
from km_rl.results.summary import WAIT, Row, check, check_name, read, record, span
from km_rl.train.provenance import joined_once

ONE_BY_ONE = "seeds.png"
WHOLE = "as it is"
"""The model whose parts are ablated."""
TIME = "training_seconds"
GAPS = (
    "bound_nats",
    FULL,
    "bits_per_dim",
    "bits_per_dim_with_kl_memory",
)
"""Metrics whose gap is recorded too."""
SHORT = {"strokes-images-dynamic": "strokes", "cifar10-images-dequantised": "cifar10"}
"""Experiments that need no more than the name of their data."""


def record_runs(
    folders: Sequence[str | Path],
    results: str | Path,
    experiment: str | None = None,
    ablations: bool = False,
) -> list[Path]:
    """Write the results of one experiment from its runs, the summary last.

    Args:
        folders: finished run folders that `report` has evaluated, in any order.
        results: the folder of the results.
        experiment: by default the data set, its split and the binarisation. Runs with other
            settings than their preset's need a name of their own.
        ablations: the runs are of one model and differ in one of the `VARIED` settings, each a
            setting of its own beside the first's.

    Returns:
        The paths of what was written.

    Raises:
        InputError: runs that cannot be read, are unfinished, have not been evaluated or differ
            in a setting, from each other or from those recorded before; a folder that cannot be
            written.
    """
    runs = read_runs(folders)
    experiment = experiment or name_of(runs[0])
    check_name(experiment)
    _check_data(experiment, runs[0])
    place = Path(results) / experiment

    def checked() -> tuple[dict[str, list[Scored]], list[Row]]:
        settings = by_setting(runs, ablations, read_kept(place))
        rows = summary(experiment, settings)
        check(rows, read(results))
        return settings, rows

    checked()  # before there is a folder
    make_folder(place)
    with locked(place, WAIT):  # so that seeds which another process adds meanwhile are not lost
        settings, rows = checked()
        written = write_kept(place, settings)
        first = next(iter(settings.values()))[0]
        for run in runs:
            if str(run.folder) == first.told:
                written += copy_pictures(run.folder / (ABLATIONS if ablations else ""), place)
        if ablations:
            written.append(part_by_part(settings, place))
        return [*written, one_by_one(settings, place), record(rows, results)]


def one_by_one(settings: Mapping[str, Sequence[Scored]], place: Path) -> Path:
    """Draw the bound of every seed in a folder on the test set against the images it has seen.

    Returns:
        The figure's path.
    """
    every = [one for scored in settings.values() for one in scored]
    key, unit = _judged_by(every)
    images = every[0].numbers["images_seen"] / every[0].config["steps"]
    names = {file_name(setting): setting for setting in settings}
    names |= {
        path.stem: path.stem for path in sorted(place.glob("*.csv")) if path.stem not in names
    }
    curves = {name: read_curves(place / f"{stem}.csv") for stem, name in names.items()}
    found = {
        _spoken(name): [_line(curve, f"test/{key}", images) for curve in by_seed.values()]
        for name, by_seed in curves.items()
        if by_seed
    }
    path = place / ONE_BY_ONE
    with written_beside(path) as beside:
        beside.write_bytes(png(figures.seeds(found, "images seen", f"test bound, {unit}")))
    return path


def part_by_part(settings: Mapping[str, Sequence[Scored]], place: Path) -> Path:
    """Draw the bound of every run as a dot, in a row for each setting in which some differ.

    It takes the place of the report's figure, which knows the runs of one sitting.

    Returns:
        The figure's path.
    """
    key, unit = _judged_by([one for scored in settings.values() for one in scored])
    names = part_names(settings)
    found = {
        names[setting]: [one.numbers[key] for one in scored]
        for setting, scored in settings.items()
    }
    found = dict(sorted(found.items(), key=lambda row: (row[0] != WHOLE, mean(row[1])[0])))
    path = place / f"{ABLATIONS}.png"
    with written_beside(path) as beside:
        beside.write_bytes(png(figures.dots(found, f"bound, {unit}")))
    return path


def part_names(settings: Iterable[str]) -> dict[str, str]:
    """What each setting is called there: the part that differs, or a rival that has none."""
    split = {setting: setting.partition(", ") for setting in settings}
    ablated = {kind for kind, _, part in split.values() if part}
    return {
        setting: part or (WHOLE if kind in ablated else kind.upper())
        for setting, (kind, _, part) in split.items()
    }


def _judged_by(every: Sequence[Scored]) -> tuple[str, str]:
    """The bound to draw of these runs: its metric and its unit."""
    if any(one.config.get("memory_kl_weight") for one in every):
        return FULL, "nats per image, KL(M)/T counted"
    if any("bits_per_dim" in one.numbers for one in every):
        return "bits_per_dim", "bits per dimension"
    return "bound_nats", "nats per image"


def _line(curve: Sequence[Logged], key: str, images: float) -> Line:
    """What was logged under a key, against the images seen, so many in a step."""
    points = [(step * images, value) for step, metric, value in curve if metric == key]
    return Line([x for x, _ in points], [y for _, y in points])


def _spoken(setting: str) -> str:
    """A setting as figures have it: KM, or the part that differs."""
    kind, _, part = setting.partition(", ")
    return part or kind.upper()


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


def _check_data(experiment: str, run: Run) -> None:
    """Refuse a name that speaks of other data."""
    data = run.conditions.dataset
    for other in USUAL.keys() - {data}:
        if other in experiment and data not in experiment:
            raise InputError(
                f"'{run.folder}' is a run on {data} where its results were to be called "
                f"'{experiment}': give runs on {other}, or another --experiment."
            )


def _about(one: Scored, name: str) -> str:
    fact = (one.config.get("about") or {}).get(name)
    if not fact:
        raise InputError(
            f"The settings of '{one.told}' do not say the {name}, without which a number is no "
            f"result: train again, from a git checkout."
        )
    return str(fact)


def summary(experiment: str, settings: Mapping[str, Sequence[Scored]]) -> list[Row]:
    """The rows of every setting, and of the machine's gap to every other."""
    rows = []
    for setting, scored in settings.items():
        place = place_of(experiment, setting, scored)
        made = provenance(scored, place)
        for metric in _measured(scored):
            group = _timed(scored) if metric == TIME else scored
            if values := [one.numbers[metric] for one in group]:
                by = made if group is scored else provenance(group, place)
                rows.append(Row(experiment, setting, metric, *mean(values), len(values), *by))
        hardware, _, commit = made
        made = (hardware, experiments(experiment, settings, setting), commit)
        for exhibit, series, metric, values in over_seeds([one.experiments for one in scored]):
            names = (f"{experiment}-{exhibit}", ", ".join(filter(None, (setting, series))), metric)
            rows.append(Row(*names, *mean(values), len(values), *made))
    rivals = [kind for kind in settings if not kind.startswith("km")]
    return rows + [row for kind in rivals for row in _gaps(experiment, settings, kind)]


def _measured(scored: Sequence[Scored]) -> list[str]:
    """The metrics that all of them have."""
    return [name for name in scored[0].numbers if all(name in one.numbers for one in scored)]


def _timed(scored: Sequence[Scored]) -> list[Scored]:
    """The runs whose times have a mean: on one machine, the one that made most of them whole."""
    machines = [_about(one, "hardware") for one in scored]
    whole = [machine for machine in machines if " + " not in machine]
    most = max(whole, key=whole.count, default=None)
    return [one for one, machine in zip(scored, machines, strict=True) if machine == most]


def _gaps(experiment: str, settings: Mapping[str, Sequence[Scored]], rival: str) -> list[Row]:
    """By how much the machine's bounds are under the rival's, paired by seed, in every unit."""
    km = {one.seed: one for one in settings.get("km", ())}
    other = {one.seed: one for one in settings[rival]}
    seeds = sorted(km.keys() & other.keys())
    if not seeds:
        return []
    pairs = [(km[seed], other[seed]) for seed in seeds]
    kinds = zip(("km", rival), zip(*pairs, strict=True), strict=True)
    made = (provenance(one, place_of(experiment, kind, one)) for kind, one in kinds)
    hardware, command, commit = map(joined_once, (" + ", " && ", "+"), zip(*made, strict=True))
    rows = []
    for metric in GAPS:
        if metric in _measured([one for pair in pairs for one in pair]):
            gaps = [theirs.numbers[metric] - mine.numbers[metric] for mine, theirs in pairs]
            numbers = (*mean(gaps), len(gaps))
            setting = f"km-under-{rival}"
            rows.append(Row(experiment, setting, metric, *numbers, hardware, command, commit))
    return rows


def place_of(experiment: str, setting: str, scored: Sequence[Scored]) -> str:
    """Where the recorded command puts its runs, so that those of no other are in their place.

    The usual place where they have the names that a preset gives; else the experiment's own, and
    of a machine that differs in a part one of its own in it.
    """
    if all(one.name == f"{_usual_name(one)}-{one.seed}" for one in scored):
        return "runs"
    return "/".join(["runs", experiment, *([file_name(setting)] if "," in setting else [])])


def provenance(scored: Sequence[Scored], place: str = "runs") -> tuple[str, str, str]:
    """Hardware, command and commits of runs in order of seed, which the command puts there.

    Where their evaluation had options that are not usual, its command follows. The commits are of
    the code that trained them and of that which evaluated them.
    """
    hardware = joined_once(" + ", [_about(one, "hardware") for one in scored])
    evaluated = [one.commit for one in scored if one.commit]
    commit = joined_once("+", [*(_about(one, "commit") for one in scored), *evaluated])
    command = _command(scored, place)
    if scored[0].options:
        command += f" && {_evaluation(scored, [_folders(scored, place)])}"
    return hardware, command, commit


def experiments(experiment: str, settings: Mapping[str, Sequence[Scored]], setting: str) -> str:
    """The commands that train these runs and make the experiments on each.

    Where a machine was trained on KL(M), a VAE is evaluated beside that of its seed, without which
    the experiment on KL(M) would be missing.
    """
    scored = settings[setting]
    seeds = {one.seed for one in scored}
    beside = [one for one in settings.get("km", ()) if one.seed in seeds]
    counted = not scored[0].remembers and any(x.config.get("memory_kl_weight") for x in beside)
    compared = {"km": beside, setting: scored} if counted else {setting: scored}
    commands, folders = [], []
    for name, group in compared.items():
        place = place_of(experiment, name, group)
        commands.append(_command(group, place))
        folders.append(_folders(group, place))
    return " && ".join([*commands, _evaluation(scored, folders)])


def _evaluation(scored: Sequence[Scored], folders: Sequence[str]) -> str:
    """The command that evaluates those folders as these runs were."""
    return shlex.join(["python", "scripts/evaluate.py", *folders, *flags(scored[0].options)])


def _folders(scored: Sequence[Scored], place: str) -> str:
    """Of all seeds, as their command calls them."""
    return f"{place}/{_usual_name(scored[0])}-{span([one.seed for one in scored])}"


def _usual_name(one: Scored) -> str:
    """What a training names its run, without the seed."""
    return f"{one.config['preset']}-{one.kind}"


def _command(scored: Sequence[Scored], place: str) -> str:
    """The commands of all seeds: one, if they differ in nothing else but the order of flags."""
    where = [] if place == "runs" else ["--run-dir", place]
    same: dict[tuple[str, ...], tuple[list[str], list[int]]] = {}
    for one in scored:
        words = bare(_about(one, "command"))
        flags = tuple(sorted(shlex.join(words).split(" --")))
        same.setdefault(flags, (words, []))[1].append(one.seed)
    made = (shlex.join([*words, *where, "--seed", span(seeds)]) for words, seeds in same.values())
    return " && ".join(made)
