"""The experiment on forgetting: every arm with every seed, kept as they end, and recorded.

::

    runs/forgetting/                given by --run-dir
    ├── <arm>-<seed>.json           the settings and the true return at every evaluation
    └── returns.png                 true return against steps

    results/
    ├── summary.csv                 of each arm `return`, `late_return` and, from four seeds on,
    │                               `return_iqm`, see `agents.record`
    └── gail-forgetting/            the name tells what is not the usual
        ├── <arm>.csv               step,metric,value,seed
        └── returns.png
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from agents import figures
from agents.config import GailConfig
from agents.forgetting import ARMS, forgetting
from agents.generator import ppo_settings
from agents.record import COLUMNS
from agents.runs import Curve
from agents.task import load_task
from envs.demos import shipped
from envs.make import family
from km_rl.errors import InputError, check_seeds, make_folder, written_beside
from km_rl.evaluate.csv_file import number, write_csv
from km_rl.evaluate.figures import png
from km_rl.results.spread import mean, spread
from km_rl.results.summary import Row
from km_rl.results.summary import record as record_rows
from km_rl.side_by_side import side_by_side
from km_rl.train.recipe import at_least
from km_rl.train.run import commit, hardware

FIGURE = "returns.png"

Curves = Mapping[str, Sequence[Curve]]
"""Of each arm, a curve for each seed."""


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
    seeds: tuple[int, ...] = (0, 1, 2)
    """A run of each arm with each."""
    workers: int = 1
    """Runs side by side."""
    allow_variable_horizon: bool = False
    """Imitate although the length of an episode gives the task away."""
    run_dir: Path = Path("runs/forgetting")
    """Where what has ended is kept; the same command goes on from there."""
    record: Path | None = None
    """The folder of the results to record this in."""

    def validate(self) -> None:
        """Refuse what cannot be run.

        Raises:
            InputError: one sentence for the first that does not fit.
        """
        at_least(self, 1, "good", "bad", "steps", "workers")
        check_seeds(self.seeds)
        if self.steps < (fewest := 2 * ppo_settings(self.env).round_steps):
            raise InputError(
                f"--steps is {self.steps}: at least two rounds, {fewest} steps, are expected, one "
                f"to learn from what is planted and one without it."
            )

    def config(self, seed: int) -> GailConfig:
        """What all arms of a seed share."""
        return GailConfig(
            self.env,
            self.demos,
            self.good,
            steps=self.steps,
            seed=seed,
            allow_variable_horizon=self.allow_variable_horizon,
            threads=1,
        )

    @property
    def experiment(self) -> str:
        """Its name in the results: what is not as in the usual experiment is told."""
        env, usual = (family(name.split("/")[-1]).lower() for name in (self.env, Forgetting.env))
        words = ["gail-forgetting"] if env == usual else ["gail-forgetting", env]
        for name in ("good", "bad", "steps"):
            value = getattr(self, name)
            words += [] if value == getattr(Forgetting, name) else [f"{value}{name}"]
        return "-".join(words)

    def path(self, arm: str, seed: int) -> Path:
        """Where the curve of a run that has ended is kept."""
        return self.run_dir / f"{arm}-{seed}.json"

    def given(self) -> dict[str, Any]:
        """What a kept curve must have been made with."""
        demos = hashlib.sha256((self.demos or shipped(self.env)).read_bytes()).hexdigest()
        shown = {"demos": demos, "good": self.good, "bad": self.bad}
        return {"env": self.config(0).resolved().env, **shown, "steps": self.steps}

    def kept(self, arm: str, seed: int) -> Curve | None:
        """The curve of a run that has ended; None if it has not.

        Raises:
            InputError: the file cannot be read, or is of other settings.
        """
        path = self.path(arm, seed)
        try:
            told = json.loads(path.read_text())
            given, curve = told["given"], Curve(told["steps"], told["values"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"'{path}' cannot be read ({error}): delete it, and it is made again."
            ) from error
        if given != self.given():
            raise InputError(
                f"'{path}' was made with {given} where {self.given()} is asked for: "
                f"give another --run-dir."
            )
        return curve

    def learn(self, one: tuple[str, int]) -> None:
        """Make the run of an arm and a seed, and keep its curve."""
        torch.set_num_threads(1)
        arm, seed = one
        curve = forgetting(self.config(seed), self.bad, arm)
        made = {"hardware": hardware("cpu"), "commit": commit()}
        told = {"given": self.given(), **curve._asdict(), **made}
        with written_beside(self.path(arm, seed)) as beside:
            beside.write_text(json.dumps(told))


def run(benchmark: Forgetting, tell: Callable[[str], None] = print) -> Curves:
    """Make the runs that are missing.

    Args:
        tell: is given a line for each run.

    Returns:
        The curves of all.

    Raises:
        InputError: settings or demonstrations that cannot be used, files that cannot be read or
            written.
    """
    benchmark.validate()
    load_task(benchmark.config(0).resolved())  # refuse bad input once, before any process starts
    runs = [(arm, seed) for seed in benchmark.seeds for arm in ARMS]
    missing = [one for one in runs if benchmark.kept(*one) is None]
    make_folder(benchmark.run_dir)
    for one in runs:
        if one not in missing:
            tell(_line(benchmark, *one))
    for one in side_by_side(benchmark.learn, missing, benchmark.workers):
        tell(_line(benchmark, *one))
    curves = {arm: [_ended(benchmark, arm, seed) for seed in benchmark.seeds] for arm in ARMS}
    _draw(curves, benchmark, benchmark.run_dir / FIGURE)
    return curves


def _line(benchmark: Forgetting, arm: str, seed: int) -> str:
    return f"{arm:12}seed {seed}{_ended(benchmark, arm, seed).values[-1]:10,.0f}"


def _ended(benchmark: Forgetting, arm: str, seed: int) -> Curve:
    curve = benchmark.kept(arm, seed)
    assert curve is not None, "it was kept when it ended"
    return curve


def record(benchmark: Forgetting, curves: Curves, command: str, results: Path) -> list[Path]:
    """Write the curves, their figure and the summary's rows; returns the paths.

    Raises:
        InputError: code that is not of a checkout, files that cannot be read or written.
    """
    place = results / benchmark.experiment
    made = _told(benchmark, "hardware", " + "), command, _told(benchmark, "commit", "+")
    written = [
        write_csv(place / f"{arm}.csv", COLUMNS, _lines(benchmark.seeds, runs))
        for arm, runs in curves.items()
    ]
    _draw(curves, benchmark, place / FIGURE)
    rows = []
    for arm, runs in curves.items():
        found = spread([run.values[-1] for run in runs])
        values = {"return": found.mean, "return_iqm": found.iqm}
        values["late_return"] = mean([run.late for run in runs])
        rows += [
            Row(benchmark.experiment, arm, metric, *value, len(runs), *made)
            for metric, value in values.items()
            if value is not None
        ]
    return [*written, place / FIGURE, record_rows(rows, results)]


def _told(benchmark: Forgetting, name: str, joint: str) -> str:
    """What the runs were made on or by, each once."""
    runs = [benchmark.path(arm, seed) for seed in benchmark.seeds for arm in ARMS]
    found = dict.fromkeys(json.loads(path.read_text())[name] for path in runs)
    return joint.join(filter(None, found))


def _lines(seeds: Sequence[int], runs: Sequence[Curve]) -> list[list[str]]:
    return [
        [str(step), "return", number(round(value, 3)), str(seed)]
        for seed, curve in zip(seeds, runs, strict=True)
        for step, value in zip(*curve, strict=True)
    ]


def _draw(curves: Curves, benchmark: Forgetting, path: Path) -> None:
    """The mean return of each arm against steps, the moment of forgetting marked."""
    task = load_task(benchmark.config(0).resolved())
    marks = {"expert": task.facts["expert_return"], "random policy": task.facts["random_return"]}
    drawn = figures.returns(curves, marks)
    drawn.axes[0].axvline(benchmark.steps / 2, color="#777777", lw=1, ls=(0, (1, 4)))
    with written_beside(path) as beside:
        beside.write_bytes(png(drawn))
