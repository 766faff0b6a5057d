"""The retrieval experiment as rows of the summary, curves in a file, and a figure.

Three experiments of `km_rl.results.summary`: ``retrieval-facts`` (the classical ones),
``retrieval`` (the memories side by side) and ``retrieval-cost`` (CPU time); the last two have
another name where machines are trained on other drawings than Omniglot's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from km_rl.baselines.sdm import critical_distance, radius_for
from km_rl.core.episodic import EpisodicModel
from km_rl.data import Images
from km_rl.evaluate.classical import (
    doublings_per_unit,
    entropy,
    hebbian_capacity,
    modern_capacity,
    sdm_critical_distance,
    without_end,
)
from km_rl.evaluate.csv_file import write_csv
from km_rl.evaluate.figures import png
from km_rl.evaluate.retrieval import (
    BLOCK,
    RANDOM,
    Bench,
    Contestant,
    Point,
    cells,
    costs,
    draw,
    failing_load,
    lines,
    lineup,
    measured,
)
from km_rl.files import written_beside
from km_rl.progress import progress_bar
from km_rl.results.retrieval_figure import figure
from km_rl.results.spread import mean
from km_rl.results.summary import Row

EXPERIMENT = "retrieval"
Part = Literal["facts", "errors", "costs"]
PARTS: tuple[Part, ...] = ("facts", "errors", "costs")
Machines = Mapping[str, EpisodicModel[Any]]
"""The trained ones of one seed, by name."""
Values = dict[tuple[str, str, str], list[float]]
"""By experiment, setting and metric: a value for each seed."""


def facts(bench: Bench, seed: int) -> Iterator[tuple[str, str, float]]:
    """(setting, metric, value): Hebb's, Kanerva's and the modern net's, of one seed."""
    kept = [hebbian_capacity(D, bench.hebbian_loads, seed) for D in bench.hebbian_sizes]
    for D, capacity in zip(bench.hebbian_sizes, kept, strict=True):
        yield f"hebbian D={D}", "patterns_per_unit", capacity
    for told, power in (("1/sqrt(D)", 0.5), ("1/D", 1.0)):
        endless = without_end(bench.hebbian_sizes, kept, power)
        yield f"hebbian, line over {told}", "patterns_per_unit", endless
    size, locations, patterns = bench.sdm
    example = (size, locations, radius_for(size, locations**-0.5), patterns)
    found = sdm_critical_distance(size, locations, patterns, seed)
    setting = f"sdm D={size} L={locations} N={patterns}"
    yield setting, "critical_distance", found
    yield setting, "critical_distance_expected", critical_distance(*example)
    yield setting, "critical_distance_by_kanerva", critical_distance(*example, varied=False)
    share = bench.modern_flipped
    held = [modern_capacity(D, share, bench.modern_most, seed) for D in bench.modern_sizes]
    setting = f"modern, {share:.0%} flipped"
    for D, capacity in zip(bench.modern_sizes, held, strict=True):
        yield f"{setting}, D={D}", "patterns", capacity
    slope, explained = doublings_per_unit(bench.modern_sizes, held)
    yield setting, "doublings_per_unit", slope
    yield setting, "doublings_per_unit_limit", 1 - entropy(share)
    yield setting, "variance_explained", explained


def compare(
    bench: Bench,
    tests: Mapping[str, Images],
    machines_of: Callable[[int], Machines],
    seeds: Sequence[int],
    parts: Sequence[Part] = PARTS,
    experiment: str = EXPERIMENT,
) -> tuple[Values, list[Point]]:
    """The parts asked for, seed by seed; ``machines_of`` gives the trained ones of each."""
    values: Values = {}
    found: list[Point] = []

    def note(name: str, told: Iterable[tuple[str, str, float]]) -> None:
        for setting, metric, value in told:
            values.setdefault((name, setting, metric), []).append(value)

    for seed in seeds:
        if "facts" in parts:
            note(experiment_of("facts"), facts(bench, seed))
        if "errors" in parts:
            contestants = lineup(bench.rbm_updates, machines_of(seed))
            mine = list(_all_points(bench, contestants, tests, seed))
            found += mine
            note(experiment, side_by_side(bench, contestants, mine))
            note(experiment, early(bench, contestants, tests, seed))
        if "costs" in parts:
            note(experiment_of("costs", experiment), timed(bench, machines_of(seed), seed))
    return values, found


def experiment_of(part: Part, experiment: str = EXPERIMENT) -> str:
    """What the rows of a part are recorded under; the facts need no drawings."""
    names = {"facts": f"{EXPERIMENT}-facts", "errors": experiment, "costs": f"{experiment}-cost"}
    return names[part]


def _all_points(
    bench: Bench, contestants: Mapping[str, Contestant], tests: Mapping[str, Images], seed: int
) -> Iterator[Point]:
    places = [(name, place) for name in contestants for place in cells(bench, tests)]
    bar = progress_bar(places, desc=f"seed {seed}", unit="reading", leave=False, disable=None)
    for name, place in bar:
        yield from measured(bench, name, contestants[name], tests, seed, *place)


def side_by_side(
    bench: Bench, contestants: Mapping[str, Contestant], found: Sequence[Point]
) -> Iterator[tuple[str, str, float]]:
    """(memory, metric, value): errors at the bench's load, and the most bits per number."""
    for name, contestant in contestants.items():
        mine = [point for point in found if point.memory == name]
        yield name, "stored_numbers", contestant.empty().stored_numbers
        for point in mine:
            if point.metric == "error_percent" and point.load == bench.load:
                if point.corruption in (bench.flipped, BLOCK):
                    kind = "" if point.corruption == bench.flipped else f"_{BLOCK}"
                    yield name, f"error_percent_{point.patterns}{kind}", point.value
        coins = [p for p in mine if (p.patterns, p.corruption) == (RANDOM, bench.flipped)]
        bits = max(p.value for p in coins if p.metric == "bits_per_number")
        yield name, "bits_per_number", bits


def early(
    bench: Bench, contestants: Mapping[str, Contestant], tests: Mapping[str, Images], seed: int
) -> Iterator[tuple[str, str, float]]:
    """(memory, metric, value): on drawings, at four times the load where Hebb's rule fails.

    Drawings are alike, so that it fails much earlier on them than on coins.
    """
    torch.manual_seed(seed)
    for patterns in tests:
        generator = torch.Generator().manual_seed(seed)
        failed = failing_load(
            contestants["hebbian"].empty(), draw(patterns, tests, 200, generator)
        )
        yield "hebbian", f"failing_load_{patterns}", failed
        place = (patterns, 4 * failed, bench.flipped)
        for name, contestant in contestants.items():
            error, _ = measured(bench, name, contestant, tests, seed, *place)
            yield name, f"error_percent_{patterns}_early", error.value


def timed(bench: Bench, machines: Machines, seed: int) -> Iterator[tuple[str, str, float]]:
    """(memory, metric, value): CPU time of a write and a read, room for all patterns."""
    for n in bench.timed:
        for name, contestant in lineup(bench.rbm_updates, machines, slots=n).items():
            if contestant.writes:
                write, read = costs(contestant, n, bench.queries, seed)
                yield name, f"write_us@{n}", write
                yield name, f"read_us@{n}", read


def rows(values: Values, hardware: str, command: str, commit: str) -> list[Row]:
    """A row for each metric, with the interval over seeds."""
    about = (hardware, command, commit)
    return [Row(*names, *mean(seen), len(seen), *about) for names, seen in values.items()]


def write_files(
    bench: Bench, found: Sequence[Point], folder: Path, patterns: Sequence[str]
) -> list[Path]:
    """``errors.csv`` with every point, and the figure; returns their paths."""
    if not found:
        return []
    header: Any = Point._fields
    table = write_csv(folder / "errors.csv", header, lines(found))
    picture = folder / f"{EXPERIMENT}.png"
    with written_beside(picture) as beside:
        beside.write_bytes(png(figure(bench, found, patterns)))
    return [table, picture]
