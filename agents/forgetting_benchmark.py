"""The experiment on forgetting: a run of every arm with every seed, and what is recorded of them.

::

    runs/gail-forgetting/           in --run-dir; the name tells what is not the usual
    ├── <arm>-<seed>/               a run folder, see `agents.logbook`
    └── returns.png                 true return against steps

    results/
    ├── summary.csv                 of each arm `return`, `late_return` and, from four seeds on,
    │                               `return_iqm`, see `agents.record`
    └── gail-forgetting/
        ├── <arm>.csv               step,metric,value,seed
        └── returns.png
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from agents import figures
from agents.config import GailConfig
from agents.forgetting import ARMS, Planted
from agents.gail import imitate
from agents.generator import ppo_settings
from agents.record import COLUMNS, worth
from agents.runs import Curve, Imitation, read_runs
from agents.task import load_task
from envs.make import bare, env_id
from km_rl.errors import InputError, check_seeds
from km_rl.evaluate.csv_file import number, write_csv
from km_rl.evaluate.figures import png
from km_rl.files import written_beside
from km_rl.results.summary import Row, check, read
from km_rl.results.summary import record as record_rows
from km_rl.side_by_side import side_by_side
from km_rl.train.provenance import joined_once
from km_rl.train.recipe import at_least

FIGURE = "returns.png"

Runs = Mapping[str, Sequence[Imitation]]
"""Of each arm, a run for each seed."""


@dataclass(frozen=True)
class Forgetting:
    """Good demonstrations, and what is planted among them."""

    env: str = "HalfCheetah"
    """Where to act."""
    demos: Path | None = None
    """The expert's demonstrations; by default those that come with the project."""
    good: int = 7
    """The first so many of them are shown."""
    bad: int = 3
    """Trajectories of a random policy that are planted."""
    steps: int = 1_000_000
    """Environment steps; the bad ones are forgotten half-way."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """A run of each arm with each."""
    workers: int = 1
    """Runs side by side."""
    allow_variable_horizon: bool = False
    """Imitate although the length of an episode gives the task away."""
    run_dir: Path = Path("runs")
    """Where run folders lie; the same command goes on from there."""
    record: Path | None = None
    """The folder of the results to record this in."""

    def validate(self) -> None:
        """Refuse what cannot be run.

        Raises:
            InputError: one sentence for the first that does not fit.
        """
        at_least(self, 1, "good", "bad", "steps", "workers")
        check_seeds(self.seeds)
        if self.steps < (fewest := 2 * ppo_settings(env_id(self.env)).round_steps):
            raise InputError(
                f"--steps is {self.steps}: at least two rounds, {fewest} steps, are expected, one "
                f"to learn from what is planted and one without it."
            )

    def config(self, arm: str, seed: int) -> GailConfig:
        """The run of an arm and a seed, but for what is planted."""
        return GailConfig(
            self.env,
            self.demos,
            self.good,
            steps=self.steps,
            seed=seed,
            allow_variable_horizon=self.allow_variable_horizon,
            threads=1,
            run_dir=self.run_dir / self.experiment,
            name=f"{arm}-{seed}",
        )

    @property
    def experiment(self) -> str:
        """Its name in the results: what is not as in the usual experiment is told."""
        env = bare(self.env)
        words = ["gail-forgetting", *([] if env == bare(Forgetting.env) else [env])]
        for name in ("good", "bad", "steps"):
            value = getattr(self, name)
            words += [] if value == getattr(Forgetting, name) else [f"{value}{name}"]
        return "-".join([*words, "shipped"] if self.demos is None else words)

    def learn(self, one: tuple[str, int]) -> None:
        """Make the run of an arm and a seed, from where it stands."""
        torch.set_num_threads(1)
        arm, seed = one
        imitate(self.config(arm, seed), partial(Planted, arm=arm, bad=self.bad))


def run(benchmark: Forgetting, tell: Callable[[str], None] = print) -> Runs:
    """Make the runs that are missing or not at their end, and draw all.

    Args:
        tell: is given a line for each run that has ended.

    Raises:
        InputError: settings or demonstrations that cannot be used, files that cannot be read or
            written.
    """
    benchmark.validate()
    load_task(benchmark.config(ARMS[0], 0).resolved())  # refuse bad input before any process
    jobs = [(arm, seed) for seed in benchmark.seeds for arm in ARMS]
    for arm, seed in side_by_side(benchmark.learn, jobs, benchmark.workers):
        (ended,) = read_runs([benchmark.config(arm, seed).folder])
        tell(f"{arm:12}seed {seed}{ended.last('return/mean'):10,.0f}")
    runs = {
        arm: read_runs([benchmark.config(arm, seed).folder for seed in benchmark.seeds])
        for arm in ARMS
    }
    _draw(runs, benchmark, benchmark.run_dir / benchmark.experiment / FIGURE)
    return runs


def record(benchmark: Forgetting, runs: Runs, command: str, results: Path) -> list[Path]:
    """Write the curves, their figure and the summary's rows; returns the paths.

    Raises:
        InputError: code that is not of a checkout, fewer seeds than are recorded, files that
            cannot be read or written.
    """
    place = results / benchmark.experiment
    every = [run for group in runs.values() for run in group]
    hardware = joined_once(" + ", (run.fact("hardware") for run in every))
    commits = joined_once("+", (run.fact("commit") for run in every))
    made = hardware, command, commits
    rows = []
    for arm, curves in _curves(runs).items():
        rows += [
            Row(benchmark.experiment, arm, metric, *value, len(curves), *made)
            for metric, value in worth(curves).items()
        ]
    check(rows, read(results))  # before a curve takes another's place
    written = [
        write_csv(place / f"{arm}.csv", COLUMNS, _lines(group)) for arm, group in runs.items()
    ]
    _draw(runs, benchmark, place / FIGURE)
    return [*written, place / FIGURE, record_rows(rows, results)]


def _curves(runs: Runs) -> dict[str, list[Curve]]:
    """The true returns."""
    return {arm: [run.curve("return/mean") for run in group] for arm, group in runs.items()}


def _lines(group: Sequence[Imitation]) -> list[list[str]]:
    return [
        [str(step), "return", number(round(value, 3)), str(run.config["seed"])]
        for run in group
        for step, value in zip(*run.curve("return/mean"), strict=True)
    ]


def _draw(runs: Runs, benchmark: Forgetting, path: Path) -> None:
    """The mean return of each arm against steps, the moment of forgetting marked."""
    drawn = figures.returns(_curves(runs), figures.marks(runs[ARMS[0]][0]))
    drawn.axes[0].axvline(benchmark.steps / 2, color="#777777", lw=1, ls=(0, (1, 4)))
    with written_beside(path) as beside:
        beside.write_bytes(png(drawn))
