"""The few-shot comparison: AUC of every discriminator, and how far agents get by some of them.

What was measured lies in ``returns.jsonl`` beside the trained discriminators, so the same command
goes on where an interrupted one stood: a line for each agent, with its score at every step where
it was measured and all that this depends on. Beside it, in ``policies/``, are the policies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.few_shot import (
    ORACLE,
    SETTINGS,
    Examination,
    adapt_ms,
    aucs,
    earlier_aucs,
    examination,
    learner_examination,
    meta_trained,
    oracle_aucs,
    payer,
)
from agents.few_shot_film import keep, kept
from agents.few_shot_learners import held_out_learners
from agents.few_shot_return import CLASSICAL, MEASURES, Learned, by_classical, by_few_shot, share
from agents.few_shot_rivals import Perceptron
from agents.runs import Curve
from envs.tasks import HELD_OUT, TRAIN, Family, Name, load_family
from km_rl.errors import InputError, written_beside
from km_rl.rl.episodes import Pairs, pairs
from km_rl.rl.few_shot import FewShot
from km_rl.rl.meta_training import MetaRecipe
from km_rl.rl.tasks import Tasks
from km_rl.train.recipe import at_least

Key = TypeVar("Key", bound=Hashable)
POLICY_PAIRS, QUERIES = 256, 256
"""Pairs of the policy that a discriminator is told in a test, and of each to be told apart."""


class Point(NamedTuple):
    """A number of one setting, seed and held-out task; an agent's after so many steps."""

    setting: str
    metric: str
    pairs: int
    task: str
    seed: int
    value: float
    step: int = 0


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
    """Whose AUC is measured: names of `SETTINGS` in agents/few_shot.py, and oracle."""
    agents: tuple[str, ...] = ("kanerva", "attention-pairs", "gail-dropout", "bc")
    """By what agents learn: of the same names, or of `CLASSICAL` in agents/few_shot_return.py."""
    tasks: int = 1
    """Held-out experts that an agent learns from."""
    seeds: tuple[int, ...] = (0,)
    """Of the training on many experts, and of the agents."""
    steps: int = 57_344
    """Environment steps of each agent; with bc, pairs shown."""
    auc_pairs: tuple[int, ...] = (8, 32, 128, 512)
    """Pairs that a discriminator is told for its AUC."""
    meta: MetaRecipe = field(default_factory=MetaRecipe)
    """How discriminators are trained on many experts."""
    train: int = TRAIN
    """Experts to train on, of a family that is drawn."""
    held_out: int = HELD_OUT
    """Experts to test with, of a family that is drawn."""
    experts: tuple[Path, ...] = ()
    """Of HalfCheetah's families: the trained policy, or a file of demonstrations of each agent."""
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
        told = {"settings": {*SETTINGS, ORACLE}, "agents": set(_acting())}
        for name, known in told.items():
            for given in getattr(self, name):
                if given not in known:
                    raise InputError(
                        f"--{name} names '{given}': give some of {', '.join(sorted(known))}."
                    )
        if not self.seeds or not self.auc_pairs or not {*self.settings, *self.agents}:
            raise InputError("There is nothing to compare: name seeds, pairs and settings.")

    @property
    def experiment(self) -> str:
        """Its name in the results; it tells what is not the usual."""
        usual = FewShotConfig.pairs
        name = f"few-shot-{self.family}"
        name += "" if self.pairs == usual else f"-{self.pairs}pairs"
        return name if self.preset == "full" else f"{name}-{self.preset}"

    def resolved(self) -> FewShotConfig:
        """The same with the sizes of its preset."""
        if self.preset == "full":
            return self
        meta = MetaRecipe(20, 4, 4, 32, 64, 16)
        tiny = {"train": 8, "held_out": 3, "steps": 4096, "auc_pairs": (8, 32), "meta": meta}
        return replace(self, run_dir=self.run_dir / "debug", **tiny)  # type: ignore[arg-type]


def _acting() -> list[str]:
    """What agents can learn from; a perceptron would have to learn anew for every reward."""
    fit = [name for name, s in SETTINGS.items() if s.model is not Perceptron]
    return [*fit, *CLASSICAL]


def spoken(line: str) -> None:
    """Print at once, wherever it goes."""
    print(line, flush=True)


class Comparison:
    """What is compared, and what was measured so far.

    Raises:
        InputError: a family that cannot be had, or fewer held-out experts or pairs than asked for.
    """

    def __init__(self, config: FewShotConfig) -> None:
        config.validate()
        self.config = config = config.resolved()
        self.family = load_family(
            config.family,
            train=config.train,
            held_out=config.held_out,
            experts=config.experts,
        )
        if config.tasks > (n := len(self.family.held_out)):
            raise InputError(
                f"--tasks is {config.tasks} where {n} experts were held out: give at most {n}."
            )
        self.digest = Tasks(self.family.train).digest
        most = max(*config.auc_pairs, config.pairs)
        self.exam = examination(self.family, most, POLICY_PAIRS, QUERIES)
        self.returns = config.run_dir / "few-shot" / config.family / "returns.jsonl"

    def measure(self, tell: Callable[[str], None] = spoken) -> list[Point]:
        """Every number, those that are not there yet being measured now."""
        points: list[Point] = []
        for seed in self.config.seeds:
            for setting in self.config.settings:
                points += self._aucs(setting, seed)
            for name in self.config.agents:
                points += self._scores(name, seed, tell)
        return points

    def told(self, task: int, pairs: int) -> Pairs:
        """The first so many pairs of a held-out expert."""
        return told(self.exam, task, pairs, self.family)

    def model(self, setting: str, seed: int) -> FewShot:
        """The trained discriminator of a setting."""
        recipe = replace(self.config.meta, seed=seed)
        return meta_trained(self.family, setting, recipe, self.config.run_dir)

    def _aucs(self, setting: str, seed: int) -> Iterator[Point]:
        names = [case.task.name for case in self.family.held_out]
        model = None if setting == ORACLE else self.model(setting, seed)
        for k in self.config.auc_pairs:
            if model is None:
                found = oracle_aucs(self.family.held_out, self.exam)
            else:
                found = aucs(model, self.exam, k)
            for name, value in zip(names, found or (), strict=bool(found)):
                yield Point(setting, "auc", k, name, seed, value)
        if model is None:
            return
        k, cases = self.config.pairs, self.family.held_out
        told = {"auc_earlier": earlier_aucs(model, cases, self.exam, k)}
        if any(s.learners for name, s in SETTINGS.items() if name in self.config.settings):
            told["auc_learner"] = aucs(model, self._learner_exam(seed), k)
        for metric, found in told.items():
            for name, value in zip(names, found or (), strict=False):
                yield Point(setting, metric, k, name, seed, value)
        if not isinstance(model, Perceptron):
            k = max(self.config.auc_pairs)
            yield Point(setting, "adapt_ms", k, names[0], seed, adapt_ms(model, self.exam, k))

    def _learner_exam(self, seed: int) -> Examination:
        recipe = replace(self.config.meta, seed=seed)
        paying = payer(self.family, recipe, self.config.run_dir)
        return learner_examination(self.exam, held_out_learners(self.family, *paying))

    def _scores(self, name: str, seed: int, tell: Callable[[str], None]) -> Iterator[Point]:
        c = self.config
        for task in range(c.tasks):
            case = self.family.held_out[task]
            key = self._key(name, seed, case.task.name)
            curve = self._known(key)
            if curve is None:
                learned = self._learn(name, seed, task)
                scores = [share(x, learned.expert, learned.random) for x in learned.returns.values]
                curve = Curve(learned.returns.steps, scores)
                keep(self._policy(key), key, learned.learner)
                self._keep(key, curve)
            tell(f"{name:18}{case.task.name:20}seed {seed}{curve.values[-1]:8.2f} of the expert")
            for step, value in zip(*curve, strict=True):
                yield Point(name, "return", c.pairs, case.task.name, seed, value, int(step))

    def filmed(self) -> dict[str, BaseAlgorithm]:
        """Agents of the first task and seed, by name, whose policies were kept."""
        task, seed = self.family.held_out[0].task.name, self.config.seeds[0]
        keys = {name: self._key(name, seed, task) for name in self.config.agents}
        found = {n: kept(self._policy(key), key, self.family.env) for n, key in keys.items()}
        return {name: agent for name, agent in found.items() if agent is not None}

    def _key(self, name: str, seed: int, task: str) -> dict[str, Any]:
        """All that a score depends on."""
        c = self.config
        key = {"agent": name, "seed": seed, "task": task, "pairs": c.pairs}
        key |= {"steps": c.steps, "measures": MEASURES}
        return key | {"digest": self.digest, "meta": asdict(c.meta)}

    def _policy(self, key: Mapping[str, Any]) -> Path:
        named = "-".join(str(key[part]) for part in ("agent", "task", "pairs", "steps", "seed"))
        return self.returns.parent / "policies" / f"{re.sub('[^a-z0-9.-]+', '-', named)}.pt"

    def _learn(self, name: str, seed: int, task: int) -> Learned:
        c = self.config
        given = (self.family, self.family.held_out[task], self.told(task, c.pairs), c.steps, seed)
        if name in CLASSICAL:
            return by_classical(name, *given)
        return by_few_shot(self.model(name, seed), *given)

    def _known(self, key: dict[str, Any]) -> Curve | None:
        for said in self._kept():
            if said["of"] == json.loads(json.dumps(key)):
                return Curve(said["at"], said["score"])
        return None

    def _kept(self) -> list[dict[str, Any]]:
        lines = self.returns.read_text().splitlines() if self.returns.exists() else []
        return [json.loads(line) for line in lines]

    def _keep(self, key: dict[str, Any], curve: Curve) -> None:
        self.returns.parent.mkdir(parents=True, exist_ok=True)
        every = [*self._kept(), {"of": key, "at": curve.steps, "score": curve.values}]
        with written_beside(self.returns) as beside:
            beside.write_text("".join(json.dumps(said) + "\n" for said in every))


def told(exam: Examination, task: int, n: int, family: Family) -> Pairs:
    """The first n pairs of a held-out expert, in the order of the examination."""
    state = family.held_out[task].task.expert.state.shape[1]
    rows: torch.Tensor = exam.expert[task, :n]
    return pairs({"obs": rows[:, :state], "acts": rows[:, state:]})


def table(points: list[Point]) -> str:
    """A row for each setting and a column for each metric, means over tasks and seeds."""
    by: dict[str, dict[str, list[float]]] = {}
    for p in ends(points):
        by.setdefault(p.setting, {}).setdefault(named(p), []).append(p.value)
    columns = list(dict.fromkeys(named(p) for p in points))
    lines = [f"{'':18}" + "".join(f"{c:>16}" for c in columns)]
    for setting, found in by.items():
        cells = (f"{np.mean(found[c]):16.3f}" if c in found else " " * 16 for c in columns)
        lines.append(f"{setting:18}" + "".join(cells))
    return "\n".join(lines)


def ends(points: Sequence[Point]) -> list[Point]:
    """The points without those on an agent's way: of each, the one of the last step."""
    last: dict[Hashable, Point] = {}
    for p in points:
        place = p._replace(value=0.0, step=0)
        if place not in last or p.step >= last[place].step:
            last[place] = p
    return list(last.values())


def grouped(points: Sequence[Point], key: Callable[[Point], Key]) -> dict[Key, np.ndarray]:
    """The values (seeds, tasks) of the points of each key."""
    found: dict[Key, dict[int, list[float]]] = {}
    for p in points:
        found.setdefault(key(p), {}).setdefault(p.seed, []).append(p.value)
    return {k: np.array(list(by_seed.values())) for k, by_seed in found.items()}


def named(point: Point) -> str:
    """The metric's name in the results."""
    return point.metric if point.metric == "return" else f"{point.metric}@{point.pairs}"
