"""Store patterns in every memory, corrupt the queries, retrieve: one table and one figure.

The Kanerva Machines, DNC and LRUA are trained first for each seed, into runs/; the same command
resumes. Examples:

    python scripts/retrieval.py --preset debug
    python scripts/retrieval.py --dataset omniglot --data-dir DIR --record results
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro

from km_rl.data import load
from km_rl.errors import InputError, at_least_one, exit_on_input_error
from km_rl.evaluate.retrieval import DEBUG, Bench
from km_rl.files import make_folder
from km_rl.results.retrieval import (
    EXPERIMENT,
    PARTS,
    Part,
    compare,
    experiment_of,
    rows,
    write_files,
)
from km_rl.results.summary import before_recording, check, command_of, read, record
from km_rl.train.provenance import hardware
from km_rl.train.recall import RECIPES, TINY, trained


@dataclass(frozen=True)
class Args:
    """What is compared, and where it is put."""

    preset: Literal["full", "debug"] = "full"
    """The experiment, or the same in a minute."""
    dataset: Literal["strokes", "omniglot"] = "strokes"
    """Drawings the machines are trained on; tested are random patterns, strokes and these. Results
    that were made of strokes alone are recorded as retrieval-strokes."""
    data_dir: Path | None = None
    """Where Omniglot lies; by default KM_RL_DATA names the place, or else it is downloaded."""
    parts: tuple[Part, ...] = PARTS
    """The classical facts, the errors of all memories (with the figure), the cost of each."""
    seeds: int = 5
    """Seeds from 0 up, of the machines, the patterns and the queries."""
    threads: int = 1
    """CPU threads."""
    run_dir: Path = Path("runs")
    """Where the trained machines lie."""
    folder: Path = Path("runs/retrieval")
    """Where curves and figure are put."""
    record: Path | None = None
    """The folder of the results to record this in; curves and figure are put there instead."""


@exit_on_input_error()
def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure and write as the arguments say; the command line's by default."""
    arguments = sys.argv[1:] if arguments is None else arguments
    args = tyro.cli(Args, args=arguments, description=__doc__)
    at_least_one(seeds=args.seeds, threads=args.threads)
    if not args.parts:
        raise InputError(f"--parts names none: give some of {', '.join(PARTS)}, or leave it out.")
    debug = args.preset == "debug"
    if args.record is not None and debug:
        raise InputError("--record keeps results, and --preset debug makes none: leave one out.")
    torch.set_num_threads(args.threads)
    bench, recipes = (DEBUG, TINY) if debug else (Bench(), RECIPES)
    drawings = sorted({"strokes", args.dataset}, reverse=True)
    names: list[str] = [] if set(args.parts) == {"facts"} else [*drawings]
    data = {name: load(name, args.data_dir) for name in reversed(names)}
    tests = {name: data[name].test for name in names}
    mine = data.get(args.dataset)
    machines_of = trained(recipes, mine and mine.train, args.dataset, args.run_dir, args.preset)
    name = EXPERIMENT if args.dataset == "omniglot" else f"{EXPERIMENT}-{args.dataset}"
    folder, code = args.record or args.folder, ""
    if args.record is not None:
        those = [experiment_of(part, name) for part in args.parts]
        code = before_recording(args.record, args.seeds, lambda row: row.experiment in those)
    elif "errors" in args.parts:
        make_folder(folder / name)
    values, found = compare(bench, tests, machines_of, range(args.seeds), args.parts, name)
    made = rows(values, hardware("cpu"), command_of("retrieval", arguments), code)
    for row in made:
        print(f"{row.experiment:16} {row.setting:32} {row.metric:30} {row.value:12.4f}")
    if args.record is not None:
        check(made, read(folder))
    files = write_files(bench, found, folder / name, names)
    for path in files if args.record is None else [*files, record(made, folder)]:
        print(path)


if __name__ == "__main__":
    main()
