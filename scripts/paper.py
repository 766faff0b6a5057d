"""Every experiment of the paper, and the full bound: train, evaluate, record, judge the claims.

The same command resumes, and each experiment is recorded as soon as it is finished. On 2 cores
`full` takes a night on strokes, `debug` minutes. Examples:

    python scripts/paper.py --preset debug
    python scripts/paper.py --dataset omniglot --data-dir DIR --record results --workers 2
    python scripts/paper.py --parts full-bound --classes 2 all --weights 0.1 0 --seeds 1
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from train_generative import trained

from km_rl.config import Config, preset
from km_rl.data import Splits, load
from km_rl.data.episodes import validate
from km_rl.errors import InputError, at_least_one, exit_on_input_error
from km_rl.evaluate.report import report
from km_rl.evaluate.runs import USUAL
from km_rl.results.full_bound import Classes, full_bound
from km_rl.results.kept import read_kept
from km_rl.results.plan import (
    DNC_SEEDS,
    MODELS,
    SEEDS,
    Experiment,
    Start,
    ablated,
    by_seed,
    compared,
)
from km_rl.results.rate_distortion import write_rate_distortion
from km_rl.results.seeds import record_runs
from km_rl.results.summary import before_recording, read
from km_rl.results.verdicts import write_verdicts
from km_rl.side_by_side import Job, Make, side_by_side
from km_rl.train.provenance import commit_to_record


@dataclass(frozen=True)
class Args:
    """What is trained, for how long, and where the numbers are put."""

    preset: Literal["full", "debug"] = "full"
    """The experiments, or the same at their smallest."""
    dataset: Literal["strokes", "omniglot", "cifar10"] = "strokes"
    """Built-in drawings, or real characters or photographs at the paper's sizes."""
    data_dir: Path | None = None
    """Where the data lie; by default KM_RL_DATA names the place, or else they are downloaded."""
    split: Literal["images", "characters", "validation"] = "images"
    """Test on other images of the same characters, or, of Omniglot, on characters never seen; on
    CIFAR-10's own test images, or the last 5,000 of training."""
    parts: tuple[str, ...] = ()
    """Which of: compared (the machine and its rivals), ablations (the machine without each of its
    parts), full-bound (machines trained with other weights of KL(M), and a VAE). By default all;
    of CIFAR-10, which is slow, compared."""
    steps: int | None = None
    """Of every run; by default the data set's preset's, but for Omniglot 4,000 and in full-bound
    10,000, and for CIFAR-10 6,000, of 4 episodes each, and 5,000."""
    seeds: int = SEEDS
    """Of every model but the DNC, from 0 up."""
    dnc_seeds: int = DNC_SEEDS
    """Of the DNC."""
    weights: tuple[float, ...] = ()
    """Of KL(M) in full-bound; by default 1, 0.1, 0.01, 0.001 and 0. Weight 1, to which the others
    are compared, is always among them."""
    classes: tuple[Classes, ...] = ()
    """Of an episode in full-bound; by default 1, 2, 4, 8 and all."""
    threads: int = 1
    """CPU threads of each run."""
    workers: int = 1
    """Runs side by side, each in a process of its own: as many as there are cores for, also where
    a GPU computes, which they share."""
    run_dir: Path = Path("runs")
    """Where the runs lie."""
    record: Path = Path("runs/paper")
    """Where figures, curves, summary.csv and the verdicts are put; results for the repository."""

    @property
    def usual(self) -> Config:
        """What all runs start from: the data set's preset, or debug with its likelihood."""
        own = preset(USUAL[self.dataset])
        if self.preset == "debug":
            return replace(preset("debug"), binarisation=own.binarisation)
        return own


@exit_on_input_error()
def main(arguments: Sequence[str] | None = None) -> None:
    """Train, evaluate and record as the arguments say; the command line's by default."""
    args = tyro.cli(Args, args=arguments, description=__doc__)
    at_least_one(seeds=args.seeds, dnc_seeds=args.dnc_seeds)
    at_least_one(threads=args.threads, workers=args.workers)
    at_least_one(steps=1 if args.steps is None else args.steps)
    plan = planned(args)
    data = load(args.dataset, args.data_dir, args.split)
    check(args, plan, data)
    for experiment in plan:
        train(args, experiment, data)
        evaluate(args, experiment)
    rows = read(args.record)
    for path in (*write_rate_distortion(args.record, rows), write_verdicts(args.record, rows)):
        print(path)


def planned(args: Args) -> list[Experiment]:
    """The experiments of every part that was asked for."""
    one = args.usual
    start = Start(
        args.dataset,
        one.preset,
        usual=one.steps,
        slots=one.slots,
        length=one.episode_length,
        steps=args.steps,
        seeds=args.seeds,
        split=args.split,
        pace={
            "--warmup-steps": one.warmup_steps,
            "--address-kl-warmup-steps": one.address_kl_warmup_steps,
            "--evaluate-every": one.evaluate_every,
        },
    )
    plans = {
        "ablations": lambda: [ablated(start)],
        "compared": lambda: [compared(start, args.dnc_seeds)],
        "full-bound": lambda: full_bound(start, args.classes, args.weights),
    }
    parts = args.parts or (["compared"] if args.dataset == "cifar10" else [*plans])
    for part in parts:
        if part not in plans:
            raise InputError(f"There is no part '{part}': give some of {', '.join(plans)}.")
    return [one for part, plan in plans.items() if part in parts for one in plan()]


def check(args: Args, plan: Sequence[Experiment], data: Splits) -> None:
    """Refuse what would come to nothing after hours: code without a commit, fewer seeds than are
    recorded of runs that were not kept, data of which some experiment cannot draw its episodes."""
    before_recording(args.record)
    names = {one.name for one in plan}
    kept = {(name, one.setting) for name in names for one in read_kept(args.record / name)}
    seeds = dict.fromkeys(MODELS, args.seeds) | {"dnc": args.dnc_seeds}
    for row in read(args.record):
        if row[:2] in kept:
            continue
        if row.experiment in names and row.seeds > (given := seeds.get(row.setting, row.seeds)):
            raise InputError(
                f"'{args.record}' holds {row.seeds} seeds of {row.setting} in {row.experiment} "
                f"where {given} are asked for: give at least as many by --seeds and --dnc-seeds, "
                f"or another --record."
            )
    B, T, ink = args.usual.episodes_per_batch, args.usual.episode_length, args.usual.binarisation
    for classes in dict.fromkeys(one.classes for one in plan):
        for images in data:
            validate(images, episodes=B, length=T, classes=classes, binarisation=ink)


def train(args: Args, experiment: Experiment, data: Splits) -> None:
    """Every run of an experiment; one that is finished takes no time."""
    shared = ["--preset", args.usual.preset, "--dataset", args.dataset]
    if args.usual.binarisation != preset(args.usual.preset).binarisation:
        shared += ["--binarisation", args.usual.binarisation]
    shared += ["--split", args.split] if args.split != "images" else []
    shared += ["--data-dir", str(args.data_dir)] if args.data_dir else []
    shared += ["--classes", str(experiment.classes)] if experiment.classes else []
    shared += ["--steps", str(experiment.steps), "--threads", str(args.threads)]
    jobs = []
    for one in experiment.trainings:
        own = ["--model", one.model, "--seed", str(one.seed), *one.flags]
        place = ["--run-dir", str(args.run_dir), "--name", one.name(experiment.base)]
        jobs.append([*shared, *own, *place])
    make = trained if args.workers > 1 else partial(trained, data=data)
    for done, job in enumerate(each(make, jobs, args.workers), start=1):
        print(f"{experiment.name}, {done} of {len(jobs)} trained: {job[-1]}", flush=True)


def evaluate(args: Args, experiment: Experiment) -> None:
    """The runs of every seed together, but for what is there, then all of them as results."""
    size: dict[str, Any] = {"passes": 1, "limit": 64} if args.preset == "debug" else {}
    size |= {"thorough": experiment.thorough, "commit": commit_to_record()}
    make = partial(evaluated, args.data_dir, args.threads, size)
    seeds = by_seed(experiment.trainings).values()
    jobs = [[args.run_dir / one.name(experiment.base) for one in seed] for seed in seeds]
    for done, _ in enumerate(each(make, jobs, args.workers), start=1):
        print(f"{experiment.name}, {done} of {len(jobs)} seeds evaluated", flush=True)
    folders = [args.run_dir / one.name(experiment.base) for one in experiment.trainings]
    record_runs(folders, args.record, experiment.name, experiment.variants)


def evaluated(
    data_dir: Path | None, threads: int, size: dict[str, Any], folders: Sequence[Path]
) -> None:
    """Runs of one seed."""
    torch.set_num_threads(threads)
    report(folders, data_dir=data_dir, tell=print, anew=False, **size)


def each(make: Make[Job], jobs: Iterable[Job], workers: int) -> Iterator[Job]:
    """Each job as it ends: side by side, or one by one in this process."""
    if workers > 1:
        yield from side_by_side(make, jobs, workers)
        return
    for job in jobs:
        make(job)
        yield job


if __name__ == "__main__":
    main()
