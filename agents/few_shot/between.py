"""What lies between two experts: what is paid at other speeds than that of the one that was told.

An agent that gets faster passes by what all slower experts do. So a discriminator is told some
pairs of one held-out expert of halfcheetah-velocity, has seen a random policy, and is asked for
its rewards of the pairs of every other expert. Where these are near 0 right beside the one that it
was told of, nothing tells an agent that it gets nearer, however well experts are told apart::

    results/few-shot-between/
    ├── rewards.csv     setting,told,asked,reward,seed: mean speeds in m/s, mean rewards
    └── between.png     the same of the first seed, for every other expert that was told

The metrics in summary.csv, intervals by Student's t over seeds, each with all that were told:

==============  =================================================================================
``reward_own``  of further pairs of the expert that was told, the mean
``share@<v>``   what others are paid that are at most v m/s off, and more than the v before, over
                what the expert itself is paid: the median, for some are paid all and some nothing
==============  =================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import softplus

from agents.few_shot import by_seed
from agents.few_shot.by_seed import BySeed
from agents.few_shot.comparison import Comparison, spoken
from agents.few_shot.config import FewShotConfig
from agents.few_shot.exam import own_stream
from agents.few_shot.points import Key
from agents.few_shot.settings import MEMORY
from agents.figures import PALETTE
from envs.cheetah import SPEED
from km_rl.evaluate.csv_file import number, write_csv
from km_rl.evaluate.figures import STYLE, WIDTH, png
from km_rl.files import written_beside
from km_rl.rl.episodes import Pairs
from km_rl.rl.few_shot import ROUNDS, FewShot
from km_rl.rl.tasks import Task, rows_of

REWARDS, FIGURE = "rewards.csv", "between.png"
COLUMNS = ("setting", "told", "asked", "reward", "seed")
OFF = (0.0, 0.1, 0.25, 0.5, 0.75)
"""Differences of speed, in m/s, whose rewards are put together."""


class Paid(NamedTuple):
    """What pairs of one expert are worth to a discriminator that was told of one.

    Attributes:
        told, asked: their mean speeds in m/s; the same number where it is the same expert.
        commit: of the code that trained it and of the code that asks.
    """

    setting: str
    told: float
    asked: float
    reward: float
    seed: int
    commit: str


@dataclass(frozen=True)
class BetweenConfig:
    """Which discriminators are asked, told of how many of whose pairs."""

    pairs: int = FewShotConfig.pairs
    """Pairs of the expert that is told."""
    settings: tuple[str, ...] = (MEMORY, f"{MEMORY}-mixup")
    """Names of `SETTINGS` in agents/few_shot/settings.py."""
    tasks: int = FewShotConfig.tasks
    """Held-out experts, each told to a discriminator that knows no other."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the training on many experts."""
    run_dir: Path = Path("runs")
    """Where the discriminators lie, or will."""
    record: Path | None = None
    """The folder of the results to record this in."""

    @property
    def experiment(self) -> str:
        """Its name in the results."""
        return self.few_shot.experiment.replace("halfcheetah-velocity", "between", 1)

    @property
    def few_shot(self) -> FewShotConfig:
        """The comparison whose discriminators and experts these are."""
        return FewShotConfig(
            "halfcheetah-velocity",
            pairs=self.pairs,
            settings=self.settings,
            agents=(),
            tasks=self.tasks,
            seeds=self.seeds,
            run_dir=self.run_dir,
        )


def measure(config: BetweenConfig, tell: Callable[[str], None] = spoken) -> list[Paid]:
    """Rewards of every expert's pairs, by each setting and seed, told of each held-out expert.

    Args:
        tell: is given a line for each discriminator.

    Raises:
        InputError: as `Comparison`.
    """
    comparison = Comparison(config.few_shot)
    few_shot, family = comparison.config, comparison.family
    everyone = [*family.train, *(case.task for case in family.held_out)]
    found: list[Paid] = []
    for seed in few_shot.seeds:
        for setting in few_shot.settings:
            model, by = comparison.model(setting, seed), comparison.made_by(setting, seed)
            of: list[Paid] = []
            for i, case in enumerate(family.held_out[: few_shot.tasks]):
                known = comparison.told(i, few_shot.pairs)
                further = comparison.exam.expert_queries[i]
                paid = rewards(model, case.task, known, further, everyone)
                speed = _speed(case.task)
                of += [Paid(setting, speed, _speed(t), r, seed, by) for t, r in paid]
            told = (f"{one.metric} {one.value:.2f}" for one in _metrics(of))
            tell(f"{setting:18}seed {seed}  {', '.join(told)}")
            found += of
    return found


@own_stream()
@torch.no_grad()
def rewards(
    model: FewShot, expert: Task, told: Pairs, further: Tensor, everyone: Sequence[Task]
) -> list[tuple[Task, float]]:
    """The mean reward of each one's pairs, where ``told`` is all that is known of the expert.

    Args:
        further: other pairs of the expert, (N, D).
    """
    model.clear()
    model.remember(told)
    for _ in range(ROUNDS):
        model.observe(expert.policies["random"])
    asked = [further if task is expert else rows_of(task.expert) for task in everyone]
    paid = [float(softplus(model(rows)).mean()) for rows in asked]
    return list(zip(everyone, paid, strict=True))


def write(found: Sequence[Paid], folder: Path) -> list[Path]:
    """The rewards as a table and as a figure; returns their paths.

    Raises:
        InputError: the folder cannot be written.
    """
    lines = [
        [p.setting, *(number(round(x, 4)) for x in (p.told, p.asked, p.reward)), str(p.seed)]
        for p in found
    ]
    written = write_csv(folder / REWARDS, COLUMNS, lines)
    with written_beside(folder / FIGURE) as beside:
        beside.write_bytes(png(figure(found)))
    return [written, folder / FIGURE]


def record(found: Sequence[Paid], experiment: str, command: str, results: Path) -> list[Path]:
    """Write everything and put the summary's rows in place.

    Raises:
        InputError: files that cannot be read or written, or rows of more seeds are there.
    """
    discriminators = _grouped(found, lambda p: (p.setting, p.seed))
    numbers = [one for of in discriminators.values() for one in _metrics(of)]
    return by_seed.record(
        numbers, experiment, command, results, lambda folder: write(found, folder)
    )


def figure(found: Sequence[Paid]) -> Figure:
    """Rewards against the speed of what is asked about: a panel for each setting, a line for
    every other expert that was told, and where its own speed is."""
    first = [p for p in found if p.seed == found[0].seed]
    panels = _grouped(first, lambda p: p.setting)
    told = sorted({p.told for p in first})[::2]
    with rc_context(STYLE):
        drawn = Figure(figsize=(WIDTH, 2.6), layout="constrained")
        row = drawn.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axes, (setting, of) in zip(row, panels.items(), strict=True):
            for speed, colour in zip(told, PALETTE, strict=False):
                line = sorted((p.asked, p.reward) for p in of if p.told == speed)
                axes.plot(*zip(*line, strict=True), "o-", ms=2, lw=1, color=colour)
                axes.axvline(speed, color=colour, lw=1, ls=":")
            axes.set(title=setting, xlabel="speed of what is asked about, m/s")
        row[0].set(ylabel="reward")
    return drawn


def _metrics(of: Sequence[Paid]) -> Iterator[BySeed]:
    """Each metric of one discriminator."""
    first, own = of[0], {p.told: p.reward for p in of if p.asked == p.told}
    found = partial(BySeed, first.setting, seed=first.seed, commit=first.commit)
    yield found("reward_own", float(np.mean([*own.values()])))
    for above, most in pairwise(OFF):
        shares = [p.reward / own[p.told] for p in of if above < abs(p.asked - p.told) <= most]
        if shares:
            yield found(f"share@{most:g}", float(np.median(shares)))


def _grouped(found: Sequence[Paid], key: Callable[[Paid], Key]) -> dict[Key, list[Paid]]:
    groups: dict[Key, list[Paid]] = {}
    for one in found:
        groups.setdefault(key(one), []).append(one)
    return groups


def _speed(task: Task) -> float:
    return float(task.expert.state[:, SPEED].mean())
