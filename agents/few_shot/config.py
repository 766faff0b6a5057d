"""Every setting of the few-shot comparison."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from agents.few_shot.scores import CLASSICAL, TRUE_REWARD
from agents.few_shot.settings import LEADERS, ORACLE, SETTINGS
from envs import gait
from envs.tasks import CHEAP, HELD_OUT, TRAIN, Name
from km_rl.errors import InputError, at_least_one, check_seeds
from km_rl.rl.meta_training import MetaRecipe
from km_rl.train.recipe import at_least

SIZES = ("pairs", "tasks", "steps", "train", "held_out")
"""Settings that another experiment has otherwise."""


STEPS = 57_344
"""Environment steps of each agent in the cheap families."""
CHEETAH_STEPS = 1_000_000
"""In HalfCheetah's, where GAIL takes as many to tell."""
TINY: Mapping[str, Any] = {
    "meta": MetaRecipe(20, 4, 4, 32, 64, 16),
    "train": 8,
    "held_out": 3,
    "tasks": 1,
    "steps": 4096,
    "auc_pairs": (8, 32),
}
"""Of the preset debug, where nothing else is asked for."""


@dataclass(frozen=True)
class FewShotConfig:
    """A family of experts, and what is compared on those that were held out."""

    family: Name = "pointnav"
    """Whose experts; see envs/tasks.py."""
    pairs: int = 16
    """Pairs of a held-out expert that an agent learns from."""
    preset: Literal["full", "debug"] = "full"
    """The experiment, or its smallest form, with a few steps of everything."""
    settings: tuple[str, ...] = ("kanerva", "attention-pairs", "knn", "oracle")
    """Whose AUC is measured: names of `SETTINGS` in agents/few_shot/settings.py, and oracle."""
    agents: tuple[str, ...] = (*LEADERS, "attention-pairs", "gail-expert-scale", "bc")
    """By what agents learn: of the same names, or of `CLASSICAL` in agents/few_shot/scores.py, or
    true-reward, by which they imitate nobody."""
    tasks: int = 8
    """Held-out experts that agents learn from, one agent from each."""
    seeds: tuple[int, ...] = (0,)
    """Of the training on many experts, and of the agents."""
    steps: int | None = None
    """Environment steps of each agent; by default 57,344, or a million of HalfCheetah. bc, which
    never acts, is shown 57,344 pairs at most."""
    auc_pairs: tuple[int, ...] = (8, 32, 128, 512)
    """Pairs that a discriminator is told for its AUC."""
    meta: MetaRecipe = field(default_factory=MetaRecipe)
    """How discriminators are trained on many experts."""
    train: int = TRAIN
    """Experts to train on, of a family that is drawn."""
    held_out: int = HELD_OUT
    """Experts to test with, of a family that is drawn."""
    experts: tuple[Path, ...] = ()
    """Of HalfCheetah's families: another policy than the shipped one that is told the velocity, or
    a file of demonstrations of each agent, or a folder of them or of their runs."""
    run_dir: Path = Path("runs")
    """Where what was trained and measured lies."""
    record: Path | None = None
    """The folder of the results to record this in."""
    demonstrations: Path | None = None
    """Do nothing but write an episode of each held-out expert to this npz file."""

    def validate(self) -> None:
        """Refuse what cannot be compared with an `InputError`."""
        at_least(self, 1, "pairs", "tasks", "train", "held_out")
        at_least(self, 4, "steps")
        self.meta.validate()
        if self.meta.seed != MetaRecipe().seed:
            raise InputError(f"--meta.seed is {self.meta.seed}: give --seeds in its place.")
        told = {
            "settings": {*SETTINGS, ORACLE},
            "agents": {*SETTINGS, *CLASSICAL, TRUE_REWARD},
        }
        for name, known in told.items():
            for given in getattr(self, name):
                if given not in known:
                    raise InputError(
                        f"--{name} names '{given}': give some of {', '.join(sorted(known))}."
                    )
        check_seeds(self.seeds)
        for pairs in self.auc_pairs:
            at_least_one(auc_pairs=pairs)
        if not self.auc_pairs or not {*self.settings, *self.agents}:
            raise InputError("There is nothing to compare: name pairs and settings.")

    @property
    def experiment(self) -> str:
        """Its name in the results; it tells what is not the usual, so that trials stay apart."""
        usual = replace(type(self)(), steps=self.usual_steps)
        words = ["few-shot", self.family]
        for name in SIZES:
            value = getattr(self, name) or getattr(usual, name)
            words += [] if value == getattr(usual, name) else [f"{value}{name}"]
        for name, value in vars(replace(self.meta, seed=usual.meta.seed)).items():
            words += [] if value == getattr(usual.meta, name) else [f"meta-{name}-{value}"]
        if self.family == "halfcheetah-velocity":
            words += [f"by-{path.resolve().parent.name}" for path in self.experts]
        elif [one.is_dir() for one in self.experts] == [True]:
            words += [f"of-{self.experts[0].resolve().name}"]
        elif self.experts:
            names = "/".join(gait.agents(self.experts))
            words += [f"of-{hashlib.sha256(names.encode()).hexdigest()[:8]}"]
        words += [] if self.preset == "full" else [self.preset]
        return re.sub("[^a-z0-9]+", "-", "-".join(words).lower())

    @property
    def usual_steps(self) -> int:
        """Of each agent in this family, where none are given."""
        return STEPS if self.family in CHEAP else CHEETAH_STEPS

    def resolved(self) -> FewShotConfig:
        """The same with the steps of its family, and its preset's sizes where none is given."""
        steps = self.steps or self.usual_steps
        if self.preset == "full":
            return replace(self, steps=steps)
        usual = vars(type(self)())
        sizes = {name: x for name, x in TINY.items() if getattr(self, name) == usual[name]}
        return replace(self, **{"steps": steps, **sizes, "run_dir": self.run_dir / "debug"})
