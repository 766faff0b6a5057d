"""The few-shot comparison: AUC of every discriminator, and how far agents get by some of them.

What was measured lies in ``measured.jsonl`` beside the trained discriminators, so the same command
goes on where an interrupted one stood: a line for each metric of a discriminator, with a value for
each held-out task, and for each agent, with its true return at every step where it was measured.
Beside it, in ``policies/``, are the policies. What is recorded has such a file among the results,
whose lines are not measured again wherever they were measured; nor are those of other experiments
there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from agents.few_shot.config import FewShotConfig
from agents.few_shot.exam import (
    SEED,
    adapt_ms,
    aucs,
    earlier_aucs,
    examination,
    learner_examination,
    oracle_aucs,
)
from agents.few_shot.film import NoFilm, keep, kept
from agents.few_shot.learners import held_out_learners, made_of_learners
from agents.few_shot.notes import Line, Notes
from agents.few_shot.points import Point, short
from agents.few_shot.rivals import size
from agents.few_shot.scores import (
    CLASSICAL,
    MEASURES,
    TRUE_REWARD,
    Acting,
    Learned,
    by_classical,
    by_few_shot,
    by_true_reward,
    classical,
    episodes,
    matched_width,
    share,
)
from agents.few_shot.settings import MEMORY, ORACLE, SETTINGS, made_of
from agents.few_shot.training import meta_trained, payer, trained_by
from agents.generator import ppo_settings
from envs.pointnav import SIMULATED
from envs.tasks import Family, load_family
from km_rl.errors import InputError
from km_rl.results.summary import Row, before_recording
from km_rl.rl.episodes import Pairs
from km_rl.rl.few_shot import FewShot
from km_rl.rl.sources import pairs
from km_rl.rl.tasks import Episode, Tasks
from km_rl.train.provenance import commit, hardware, joined_once

POLICY_PAIRS, QUERIES = 256, 256
"""Pairs of the policy that a discriminator is told in a test, and of each to be told apart."""
MEASURED, TASKS, POLICIES = "measured.jsonl", "tasks.safetensors", "policies"
SEEDLESS = ("knn", ORACLE)
"""Nothing in them is drawn, so they are examined with the first seed alone."""


class Measure(NamedTuple):
    """A metric of a discriminator, told so many pairs, and how it is found on each task."""

    metric: str
    pairs: int
    find: Callable[[], list[float] | None]


def spoken(line: str) -> None:
    """Print at once, wherever it goes."""
    print(line, flush=True)


class Comparison:
    """What is compared, and what was measured so far.

    Raises:
        InputError: a family that cannot be had, fewer held-out experts or pairs than asked for,
            results of other experts, or what `before_recording` refuses.
    """

    def __init__(self, config: FewShotConfig) -> None:
        config.validate()
        self.experiment = config.experiment
        self.config = config = config.resolved()
        if config.record is not None:
            before_recording(config.record, len(config.seeds), self._replaces)
        assert config.steps is not None, "steps that are resolved"
        self.steps = config.steps
        self.folder = config.run_dir / "few-shot" / config.family
        self.family = load_family(
            config.family,
            train=config.train,
            held_out=config.held_out,
            experts=config.experts,
            kept=self.folder / TASKS,
        )
        if config.tasks > (n := len(self.family.held_out)) and config.demonstrations is None:
            raise InputError(
                f"--tasks is {config.tasks} where {n} experts were held out: give at most {n}."
            )
        self.train = Tasks(self.family.train)
        self.digests = [self.train.digest, Tasks([c.task for c in self.family.held_out]).digest]
        most = max(*config.auc_pairs, config.pairs)
        self.exam = examination(self.family, most, POLICY_PAIRS, QUERIES)
        self.notes = Notes(self.folder / MEASURED)
        if config.record is not None:
            self.notes = self._recorded(config.record)
        self.commit = commit() or ""

    def _replaces(self, row: Row) -> bool:
        """Whether it is a row of what is compared, as a judge or, by its returns, as an agent."""
        c, of_agents = self.config, row.metric.startswith(("return", "probability"))
        mine = c.agents if of_agents else c.settings
        return row.experiment == self.experiment and row.setting in mine

    def _recorded(self, folder: Path) -> Notes:
        """Those of the experiment, which may copy from here and from others among the results."""
        path = folder / self.experiment / MEASURED
        notes = Notes(path, self.notes.path, *sorted(folder.glob(f"few-shot-*/{MEASURED}")))
        if notes.lines and all(line["of"]["digests"] != self.digests for line in notes.lines):
            same = "give the same ones"
            if self.family.name == "halfcheetah-velocity":
                same = (
                    f"the expert's last digits are those of the CPU's kernels, so delete "
                    f"'{self.folder / TASKS}' and begin the command with OPENBLAS_CORETYPE=Haswell"
                )
            raise InputError(
                f"'{path}' was measured on other experts than there are here: {same}, or give "
                f"another folder with --record."
            )
        return notes

    def measure(self, tell: Callable[[str], None] = spoken) -> list[Point]:
        """Every number, those that are not there yet being measured now.

        Args:
            tell: is given a line for each thing that is known now.
        """
        points: list[Point] = []
        c = self.config
        for seed in c.seeds:
            for setting in c.settings:
                if setting not in SEEDLESS or seed == c.seeds[0]:
                    points += self._examined(setting, seed, tell)
            for name in c.agents:
                points += self._scores(name, seed, tell)
        return points

    def told(self, task: int, pairs: int) -> Pairs:
        """The first so many pairs of a held-out expert."""
        return told(self.exam, task, pairs, self.family)

    def model(self, setting: str, seed: int) -> FewShot:
        """The trained discriminator of a setting."""
        recipe = replace(self.config.meta, seed=seed)
        return meta_trained(self.family, setting, recipe, self.config.run_dir)

    def made_by(self, name: str, seed: int) -> str:
        """Commits of the code that trained a discriminator and of the code that measures it."""
        trained = trained_by(self.config.family, name, seed, self.config.run_dir)
        return joined_once("+", [*trained, self.commit])

    def filmed(self) -> dict[str, Any]:
        """Agents of the first task and seed, by name, and first the expert, where it can act.

        Raises:
            NoFilm: the policy of one of them is not here, as where it was measured elsewhere.
        """
        case, seed = self.family.held_out[0], self.config.seeds[0]
        keys = {n: self._agent_key(n, seed, case.task.name) for n in self.config.agents}
        agents = {n: kept(self._policy(key), key, self.family.env) for n, key in keys.items()}
        if lost := [name for name, agent in agents.items() if agent is None]:
            raise NoFilm(
                f"No film strip: no policy of {', '.join(lost)} lies in "
                f"'{self.folder / POLICIES}', where they were kept when agents learned."
            )
        return {**({} if case.act is None else {"expert": Acting(case.act)}), **agents}

    def _examined(self, setting: str, seed: int, tell: Callable[[str], None]) -> Iterator[Point]:
        names = [case.task.name for case in self.family.held_out]
        for metric, k, find in self._measures(setting, seed):
            line = self._noted(setting, seed, metric, k, find)
            if line["values"]:
                named = f"{metric}@{k}" if k else metric
                tell(f"{setting:18}{named:20}seed {seed}{short(np.mean(line['values'])):>10}")
            # What is the same however many pairs are told is so for each number of them.
            for each in self.config.auc_pairs if setting == ORACLE else (k,):
                for name, value in zip(names, line["values"], strict=False):
                    yield Point(setting, metric, each, name, seed, value, 0, *_made(line))

    def _measures(self, setting: str, seed: int) -> Iterator[Measure]:
        c, cases, exam = self.config, self.family.held_out, self.exam
        most = max(c.auc_pairs)
        if setting == ORACLE:
            yield Measure("auc", 0, lambda: oracle_aucs(cases, exam))
            return
        held: list[FewShot] = []

        def model() -> FewShot:
            """Trained or loaded only if something is to be measured."""
            held.extend([] if held else [self.model(setting, seed)])
            return held[0]

        for k in c.auc_pairs:
            yield Measure("auc", k, lambda k=k: aucs(model(), exam, k))  # type: ignore[misc]
        yield Measure("auc_earlier", c.pairs, lambda: earlier_aucs(model(), cases, exam, c.pairs))
        if self._learners_are_there:
            yield Measure(
                "auc_learner",
                c.pairs,
                lambda: aucs(model(), self._learner_exam(seed), c.pairs),
            )
        yield Measure("adapt_ms", most, lambda: [adapt_ms(model(), exam, most)])
        yield Measure("state_floats", most, lambda: [self._state_floats(model(), most)])
        yield Measure("parameters", 0, lambda: [float(size(model()))])

    @property
    def _learners_are_there(self) -> bool:
        return any(SETTINGS[name].learners for name in self.config.settings if name in SETTINGS)

    def _learner_exam(self, seed: int) -> Episode:
        recipe = replace(self.config.meta, seed=seed)
        paying = payer(self.family, recipe, self.config.run_dir)
        return learner_examination(self.exam, held_out_learners(self.family, *paying))

    def _state_floats(self, model: FewShot, pairs: int) -> float:
        model.clear()
        model.remember(self.told(0, pairs))
        found = float(model.state_floats)
        model.clear()
        return found

    def _noted(
        self,
        setting: str,
        seed: int,
        metric: str,
        pairs: int,
        find: Callable[[], list[float] | None],
    ) -> Line:
        """The line of a metric, which is measured where it is not there."""
        of_learners = metric == "auc_learner"
        key = self._key(setting, seed) | {"metric": metric, "pairs": pairs}
        key |= {"tested": [POLICY_PAIRS, QUERIES, SEED]}
        if of_learners:
            paying = {"payer": made_of(MEMORY, self.train)}
            key |= {**paying, "learners": made_of_learners(self.family)}
        line = self.notes.of(key)
        if line is None:
            values = find() or []
            parts = [self.made_by(setting, seed)]
            parts += [self.made_by(MEMORY, seed)] if of_learners else []
            made = {"commit": joined_once("+", parts), "hardware": hardware("cpu")}
            line = self.notes.add(key, {"values": values, **made})
        return line

    def _scores(self, name: str, seed: int, tell: Callable[[str], None]) -> Iterator[Point]:
        c = self.config
        for task in range(c.tasks):
            case = self.family.held_out[task]
            key = self._agent_key(name, seed, case.task.name)
            line = self.notes.of(key)
            if line is None:
                learned = self._learn(name, seed, task)
                keep(self._policy(key), key, learned.learner)
                line = self.notes.add(key, self._of_agent(learned, name, seed))
            scores = [share(x, line["expert"], line["random"]) for x in line["returns"]]
            tell(f"{name:18}{case.task.name:20}seed {seed}{scores[-1]:10.3f} of the expert")
            point = Point(name, "return", c.pairs, case.task.name, seed, 0.0, 0, *_made(line))
            for step, value in zip(line["at"], scores, strict=True):
                yield point._replace(step=step, value=value)
            if task == 0 and name not in c.settings:
                yield point._replace(metric="parameters", pairs=0, value=line["parameters"])

    def _of_agent(self, learned: Learned, name: str, seed: int) -> dict[str, Any]:
        """What is noted of an agent."""
        return {
            "at": list(learned.returns.steps),
            "returns": list(learned.returns.values),
            "expert": learned.expert,
            "random": learned.random,
            "parameters": learned.parameters,
            "commit": self.made_by(name, seed),
            "hardware": hardware("cpu"),
        }

    def _learn(self, name: str, seed: int, task: int) -> Learned:
        c = self.config
        given = (
            self.family,
            self.family.held_out[task],
            self.told(task, c.pairs),
            self.steps,
            seed,
        )
        if name in CLASSICAL:
            return by_classical(name, *given)
        if name == TRUE_REWARD:
            return by_true_reward(self.family, self.family.held_out[task], self.steps, seed)
        return by_few_shot(name, self.model(name, seed), *given, SETTINGS[name].observes)

    def _key(self, name: str, seed: int) -> dict[str, Any]:
        """All that depends on a discriminator depends on."""
        key: dict[str, Any] = {"setting": name, "seed": seed, "digests": self.digests}
        if name in CLASSICAL:
            made = {**asdict(classical(name, self.family.env, self.steps, seed))}
            made |= {"width": matched_width(self.train.state, self.train.rest)}
        elif name == ORACLE:
            made = {"simulated": SIMULATED}
        elif name == TRUE_REWARD:
            made = {}
        else:
            made = made_of(name, self.train)
            key |= {"meta": asdict(replace(self.config.meta, seed=seed))}
        return json.loads(json.dumps({**key, "made": made}, default=str))

    def _agent_key(self, name: str, seed: int, task: str) -> dict[str, Any]:
        """All that an agent's returns depend on."""
        c, env = self.config, self.family.env
        key = self._key(name, seed) | {"task": task, "pairs": c.pairs, "steps": self.steps}
        key |= {"ppo": asdict(ppo_settings(env)), "measures": MEASURES}
        return key | {"episodes": episodes(env), "tested": [POLICY_PAIRS, QUERIES, SEED]}

    def _policy(self, key: Mapping[str, Any]) -> Path:
        named = "-".join(str(key[part]) for part in ("setting", "task", "pairs", "steps", "seed"))
        return self.folder / POLICIES / f"{re.sub('[^a-z0-9.-]+', '-', named)}.pt"


def _made(line: Line) -> tuple[str, str]:
    """By which code a line was made, and on which hardware."""
    return line["commit"], line["hardware"]


def told(exam: Episode, task: int, n: int, family: Family) -> Pairs:
    """The first n pairs of a held-out expert, in the order of the examination."""
    state = family.held_out[task].task.expert.state.shape[1]
    rows: torch.Tensor = exam.expert[task, :n]
    return pairs({"obs": rows[:, :state], "acts": rows[:, state:]})
