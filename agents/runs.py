"""Imitation runs, read back from their folders, and what those of one setting say together."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from agents.config import GailConfig
from km_rl.errors import InputError
from km_rl.results.spread import Spread, probability_of_improvement, spread

FREE = {"seed", "name", "run_dir", "threads", "evaluate_every", "about"}
"""What may differ between the runs of one setting."""
NEEDED = ("env", "algorithm", "discriminator", "seed", "steps", "about")


LATE = 0.9
"""The share of a run's steps from which on it is late."""


class Curve(NamedTuple):
    """A logged value against steps."""

    steps: Sequence[float]
    values: Sequence[float]

    @property
    def end(self) -> Curve:
        """Its last point alone; behavioural cloning takes no steps to draw it against."""
        return Curve(self.steps[-1:], self.values[-1:])

    @property
    def late(self) -> float:
        """The mean over the last tenth of the steps, whatever one policy's last value is."""
        last = LATE * self.steps[-1]
        return fmean(v for s, v in zip(*self, strict=True) if s >= last)


class Imitation(NamedTuple):
    """A run folder.

    Attributes:
        config: as in config.json; what an older version did not name is at its default.
        metrics: the lines of metrics.jsonl, see `agents.logbook`.
    """

    folder: Path
    config: Mapping[str, Any]
    metrics: Sequence[Mapping[str, float]]

    @property
    def method(self) -> str:
        """The discriminator, or bc."""
        return self._choice.method

    @property
    def idle(self) -> list[str]:
        """Settings that change nothing for this method."""
        return self._choice.idle

    @property
    def given(self) -> dict[str, Any]:
        """The settings that this method has, and the facts that were recorded."""
        left_out = {*self.idle, "about", "run_dir"}
        kept = {name: value for name, value in self.config.items() if name not in left_out}
        return {**kept, **self.config["about"]}

    @property
    def steps(self) -> int:
        """Steps done."""
        return int(self.metrics[-1]["step"])

    @property
    def seconds(self) -> float:
        """Training time."""
        return self.metrics[-1]["seconds"]

    @property
    def share_of_discriminator(self) -> float | None:
        """Of the training time; None where there is no discriminator."""
        total = sum(self.curve("seconds/round").values)
        return sum(self.curve("seconds/discriminator").values) / total if total else None

    @property
    def share_of_expert(self) -> float | None:
        """(learner - random) / (expert - random), in true returns; None if not above random."""
        expert, random = self.fact("expert_return"), self.fact("random_return")
        if expert is None or random is None or expert <= random:
            return None
        return (self.last("return/mean") - random) / (expert - random)

    @property
    def _choice(self) -> GailConfig:
        """Of the settings, those that say which others are idle."""
        names = ("algorithm", "discriminator", "generator", "head", "features")
        return GailConfig(**{name: self.config[name] for name in names if name in self.config})

    def fact(self, name: str) -> Any:
        """What was recorded when the run began; None if it was not."""
        return self.config["about"].get(name)

    def curve(self, name: str) -> Curve:
        """All that was logged under a name."""
        points = [(line["step"], line[name]) for line in self.metrics if name in line]
        return Curve([step for step, _ in points], [value for _, value in points])

    def last(self, name: str) -> float:
        """The last value under a name; NaN where there is none."""
        return next((line[name] for line in reversed(self.metrics) if name in line), math.nan)


class Summary(NamedTuple):
    """The runs of one setting.

    Attributes:
        returns: last true return of each run, in order of seed.
        better: how often a run of this setting beats one of the first, see
            `probability_of_improvement`; None for the first.
    """

    setting: str
    seeds: list[int]
    returns: list[float]
    spread: Spread
    better: float | None


def read_runs(folders: Sequence[str | Path]) -> list[Imitation]:
    """Runs of one environment.

    Raises:
        InputError: no folder, one given twice or that is no run of an imitation, has measured
            nothing yet, or is of another environment than the first.
    """
    if not folders or len({Path(folder).resolve() for folder in folders}) < len(folders):
        raise InputError(
            f"The run folders are {', '.join(map(str, folders)) or 'none'}: give one or more, "
            f"each once, such as runs/HalfCheetah-kanerva-0."
        )
    runs = [_read(Path(folder)) for folder in folders]
    for run in runs:
        if run.config["env"] != runs[0].config["env"]:
            raise InputError(
                f"'{run.folder}' is of {run.config['env']} and '{runs[0].folder}' of "
                f"{runs[0].config['env']}: give runs of one environment."
            )
    return runs


def settings(runs: Sequence[Imitation]) -> dict[str, list[Imitation]]:
    """Runs that differ in their seeds alone, by a label that says how settings differ.

    Raises:
        InputError: two runs of one setting and seed.
    """
    names = {name for run in runs for name in run.config} - FREE
    shared = names - {"algorithm", "discriminator"} - {name for run in runs for name in run.idle}
    grouped: dict[str, list[Imitation]] = {}
    for run in runs:
        alike = [other for other in runs if other.method == run.method]
        differing = [
            name
            for name in sorted(names)
            if len({str(r.config.get(name)) for r in (runs if name in shared else alike)}) > 1
        ]
        words = [f"{name}={run.config.get(name)}" for name in differing]
        grouped.setdefault(", ".join([run.method, *words]), []).append(run)
    for label, group in grouped.items():
        group.sort(key=lambda run: run.config["seed"])
        if len({run.config["seed"] for run in group}) < len(group):
            raise InputError(
                f"Two runs of the setting {label} have the same seed: give one of each seed."
            )
    return grouped


def returns_table(folders: Sequence[str | Path]) -> list[Summary]:
    """A line for each setting, in the order in which they are given; errors as above."""
    grouped = settings(read_runs(folders))
    returns = {
        label: [run.last("return/mean") for run in group] for label, group in grouped.items()
    }
    first = next(iter(returns))
    return [
        Summary(
            label,
            [run.config["seed"] for run in group],
            returns[label],
            spread(returns[label]),
            probability_of_improvement(returns[label], returns[first]) if label != first else None,
        )
        for label, group in grouped.items()
    ]


def _read(folder: Path) -> Imitation:
    try:
        config = json.loads((folder / "config.json").read_text())
        text = (folder / "metrics.jsonl").read_text()
        whole = text[: text.rfind("\n") + 1]  # a last line may have been cut off
        metrics = [json.loads(line) for line in whole.splitlines()]
        run = Imitation(folder, config, metrics)
        complete = all(name in config for name in NEEDED) and bool(run.curve("return/mean").steps)
        usual = json.loads(json.dumps(asdict(GailConfig()), default=str))
        run = run._replace(config={**usual, **config})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"'{folder}' is no run of an imitation ({error}): "
            f"give a folder that scripts/gail.py wrote."
        ) from error
    if not complete:
        raise InputError(
            f"'{folder}' has measured no return yet, or is no run of an imitation: "
            f"give a folder that scripts/gail.py wrote, and let it finish."
        )
    return run
