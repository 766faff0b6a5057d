"""The imitation benchmark: one expert, one generator, every discriminator, several seeds.

Every run is one that `scripts/gail.py` could have made, in its own folder, so an interrupted
benchmark goes on where it stood. Runs stand side by side, one process and one thread each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from agents.config import GailConfig
from agents.gail import imitate
from agents.record import record
from agents.runs import read_runs
from agents.task import load_task
from envs.make import bare
from km_rl.errors import InputError, check_seeds
from km_rl.side_by_side import side_by_side
from km_rl.train.recipe import at_least

BOLD: Mapping[str, Any] = {"log_std_init": 0.0}
"""SB3's start: a rival that did better from it has it."""
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "kanerva": {},
    "mlp": {"discriminator": "mlp"},
    "mlp-dropout": {"discriminator": "mlp", "dropout": 0.5},
    "mlp-expert-scale": {"discriminator": "mlp", "dropout": 0.5, "scale": "expert", **BOLD},
    "vail": {"discriminator": "vail"},
    "vail-expert-scale": {"discriminator": "vail", "scale": "expert"},
    "knn": {"discriminator": "knn"},
    "knn-expert-scale": {"discriminator": "knn", "scale": "expert"},
    "bc": {"algorithm": "bc"},
}
"""What is compared, and how its run differs from the default one."""
CODES: Mapping[str, Any] = {"channels": "both", "noise_var": 0.1}
ABLATIONS: Mapping[str, Mapping[str, Any]] = {
    "scale-all": {"scale": "all"},
    "channels-h": {"channels": "h"},
    "channels-both": {"channels": "both"},
    "features-learned": {"features": "learned"},
    "ratio": {"head": "ratio", **CODES},
    "conditional": {"head": "conditional", **CODES},
    "conditional-learned": {"head": "conditional", "features": "learned", "slots": 64, **CODES},
    "noise-1": {"noise_var": 1.0},
    "sac": {"generator": "sac"},
    "no-history": {"history": False},
    "no-leave-one-out": {"leave_one_out": False},
    "reward-logit": {"reward": "logit"},
    "reward-conformal": {"reward": "conformal"},
}
"""The memory without one of its parts or with another in its place, or behind another learner."""


@dataclass(frozen=True)
class Benchmark:
    """An expert, and how its imitators are compared."""

    env: str = "HalfCheetah"
    """Where to act; see scripts/gail.py."""
    demos: Path | None = None
    """The expert's demonstrations; by default those that come with the project."""
    trajectories: int = 1
    """Learn from the first so many of them."""
    steps: int = 1_500_000
    """Environment steps of each run; with bc, pairs shown."""
    settings: tuple[str, ...] = tuple(SETTINGS)
    """What to compare: names of `SETTINGS` and of `ABLATIONS` in agents/benchmark.py."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """A run of each setting with each."""
    workers: int = 1
    """Runs side by side; one for each core is the fastest."""
    anneal: bool = False
    """Let PPO's step size fall to 0 by the last step, linearly."""
    allow_variable_horizon: bool = False
    """Imitate although the length of an episode gives the task away."""
    run_dir: Path = Path("runs")
    """Where run folders lie."""
    record: Path | None = None
    """The folder of the results to record the runs in."""

    def validate(self) -> None:
        """Refuse what cannot be run.

        Raises:
            InputError: one sentence for the first that does not fit.
        """
        at_least(self, 1, "trajectories", "steps", "workers")
        known = SETTINGS.keys() | ABLATIONS.keys()
        for name in self.settings:
            if name not in known:
                raise InputError(
                    f"--settings names '{name}': give some of {', '.join(sorted(known))}."
                )
        if not self.settings:
            raise InputError("There is nothing to run: name at least one setting.")
        if len(set(self.settings)) < len(self.settings):
            raise InputError(f"--settings are {', '.join(self.settings)}: name each once.")
        check_seeds(self.seeds)
        for config in self.configs:
            config.validate()

    @property
    def experiment(self) -> str:
        """Its name in the results: what is not as in the usual benchmark is told."""
        name = f"gail-{bare(self.env)}-{self.trajectories}demo"
        name += "-shipped" if self.demos is None else ""
        name += "" if self.steps == Benchmark.steps else f"-{self.steps}steps"
        return f"{name}-anneal" if self.anneal else name

    def config(self, setting: str, seed: int) -> GailConfig:
        """The run of a setting and a seed."""
        differs = {**SETTINGS, **ABLATIONS}[setting]
        by_ppo = "algorithm" not in differs and "generator" not in differs
        return GailConfig(
            env=self.env,
            demos=self.demos,
            trajectories=self.trajectories,
            steps=self.steps,
            seed=seed,
            anneal=self.anneal and by_ppo,
            allow_variable_horizon=self.allow_variable_horizon,
            threads=1,
            run_dir=self.run_dir / self.experiment,
            name=f"{setting}-{seed}",
            **differs,
        )

    @property
    def configs(self) -> list[GailConfig]:
        """All runs, seed by seed, so that what is there early can be compared."""
        return [self.config(setting, seed) for seed in self.seeds for setting in self.settings]

    def recorded(self) -> list[Path]:
        """Record the finished runs, where that is asked for; the files that were written."""
        if self.record is None:
            return []
        runs = {
            setting: read_runs([self.config(setting, seed).folder for seed in self.seeds])
            for setting in self.settings
        }
        return record(runs, self.experiment, self.record)


def run(benchmark: Benchmark, tell: Callable[[str], None] = print) -> list[Path]:
    """Make the runs that are missing or not at their end.

    Args:
        tell: is given a line for each run that has ended.

    Returns:
        All run folders.

    Raises:
        InputError: as `agents.gail.imitate`, of the first run that fails; the others end first.
    """
    benchmark.validate()
    adversarial = (c for c in benchmark.configs if c.algorithm != "bc")  # which refuses more
    first = next(adversarial, benchmark.configs[0])
    load_task(first.resolved())  # refuse bad input once, before any process starts
    ended = side_by_side(_imitate, benchmark.configs, benchmark.workers)
    for done, config in enumerate(ended, start=1):
        tell(f"{done} of {len(benchmark.configs)}: {config.folder}")
    return [config.folder for config in benchmark.configs]


def _imitate(config: GailConfig) -> None:
    torch.set_num_threads(1)
    imitate(config)
