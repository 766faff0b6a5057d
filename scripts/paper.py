"""Every experiment of the paper: train all runs, evaluate, record, and say which claims hold.

The same command resumes. On 2 cores `full` takes a night, `debug` minutes. Examples:

    python scripts/paper.py --preset debug
    python scripts/paper.py --dataset omniglot --data-dir DIR --record results
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from train_generative import trained

from km_rl.config import preset
from km_rl.data import load
from km_rl.errors import at_least_one, exit_on_input_error
from km_rl.evaluate.plan import DNC_SEEDS, SEEDS, ablations, by_seed, names, rivals
from km_rl.evaluate.report import report
from km_rl.evaluate.results import read
from km_rl.evaluate.seeds import USUAL, record_runs
from km_rl.evaluate.verdicts import write_verdicts

OVERNIGHT = {"omniglot": 4000}
"""Steps of a run where the preset's are too many for a night."""


@dataclass(frozen=True)
class Args:
    """What is trained, for how long, and where the numbers are put."""

    preset: Literal["full", "debug"] = "full"
    """The experiments, or the same at their smallest."""
    dataset: Literal["strokes", "omniglot"] = "strokes"
    """Built-in drawings, or real characters at the paper's sizes."""
    data_dir: Path | None = None
    """Where Omniglot lies; by default KM_RL_DATA names the place, or else it is downloaded."""
    steps: int | None = None
    """Of every run; by default the data set's preset's, and 4,000 for Omniglot."""
    seeds: int = SEEDS
    """Of every model but the DNC."""
    dnc_seeds: int = DNC_SEEDS
    """Of the DNC."""
    threads: int = 1
    """CPU threads."""
    run_dir: Path = Path("runs")
    """Where the runs lie."""
    record: Path = Path("runs/paper")
    """Where figures, curves, summary.csv and the verdicts are put; results for the repository."""


@exit_on_input_error()
def main(arguments: Sequence[str] | None = None) -> None:
    """Train, evaluate and record as the arguments say; the command line's by default."""
    args = tyro.cli(Args, args=arguments, description=__doc__)
    at_least_one(seeds=args.seeds, dnc_seeds=args.dnc_seeds, threads=args.threads)
    torch.set_num_threads(args.threads)
    debug = args.preset == "debug"
    usual = preset("debug" if debug else USUAL[args.dataset])
    steps = args.steps or (usual.steps if debug else OVERNIGHT.get(args.dataset, usual.steps))
    base, experiment = names(usual.preset, usual.steps, steps)
    compared, parts = (
        rivals(args.dataset, args.seeds, args.dnc_seeds),
        ablations(usual.slots, args.seeds),
    )
    plan = [*compared, *parts]
    data = load(args.dataset, args.data_dir)
    for number, one in enumerate(plan, start=1):
        print(f"{number} of {len(plan)}: {args.run_dir / one.name(base)}", flush=True)
        shared = ["--preset", usual.preset, "--dataset", args.dataset, "--steps", str(steps)]
        shared += ["--data-dir", str(args.data_dir)] if args.data_dir else []
        own = ["--model", one.model, "--seed", str(one.seed), *one.flags]
        place = ["--run-dir", str(args.run_dir), "--name", one.name(base)]
        trained([*shared, "--threads", str(args.threads), *own, *place], data)
    machines = [one for one in compared if one.model == "km"]
    size: dict[str, Any] = {"passes": 1, "limit": 64} if debug else {}
    # The ablations first: each evaluation takes the place of the one before in the machine's run.
    for name, group in ((f"{experiment}-ablations", [*machines, *parts]), (experiment, compared)):
        for seed, together in by_seed(group).items():
            print(f"{name}, seed {seed}", flush=True)
            folders = [args.run_dir / one.name(base) for one in together]
            report(folders, data_dir=args.data_dir, tell=print, thorough=True, **size)
        folders = [args.run_dir / one.name(base) for one in group]
        record_runs(folders, args.record, name, ablations=group is not compared)
    print(write_verdicts(args.record, read(args.record)))


if __name__ == "__main__":
    main()
