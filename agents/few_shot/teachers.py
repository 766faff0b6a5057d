"""What remembering two teachers, and forgetting one of them, does to a policy.

Three agents in PointNav learn from the same discriminator, alike but for what it remembers:

=============  ==================================================================================
``one``        the pairs of the first teacher
``both``       those of two teachers, their memories merged
``forgotten``  both until half of the steps; then the second teacher's pairs are forgotten, and
               nothing else is undone: the policy and its value function stay
=============  ==================================================================================
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure

from agents.few_shot import by_seed
from agents.few_shot.by_seed import BySeed
from agents.few_shot.comparison import Comparison, spoken
from agents.few_shot.config import FewShotConfig
from agents.few_shot.scores import started
from agents.few_shot.settings import MEMORY
from agents.figures import PALETTE
from agents.generator import ppo_settings
from agents.true_return import SEED
from envs.make import make_vec
from envs.tasks import Family
from km_rl.errors import InputError
from km_rl.evaluate.csv_file import number, write_csv
from km_rl.evaluate.figures import STYLE, WIDTH, png
from km_rl.files import written_beside
from km_rl.rl.episodes import Pairs
from km_rl.rl.meta import MetaDiscriminator

ARMS = ("one", "both", "forgotten")
EPISODES = 12
FIGURE = "teachers.png"
DISTANCES = "distances.csv"
COLUMNS = ("setting", "metric", "value", "seed")


class Teachers(NamedTuple):
    """The pairs of two experts."""

    first: Pairs
    second: Pairs


@dataclass(frozen=True)
class TeachersConfig:
    """Two experts of PointNav that were held out, and the agents that they teach."""

    pairs: int = FewShotConfig.pairs
    """Pairs of each teacher."""
    preset: Literal["full", "debug"] = "full"
    """The experiment, or its smallest form, with a few steps of everything."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the training on many experts, and of the agents."""
    steps: int | None = None
    """Environment steps of each agent; by default as many as in the comparison."""
    run_dir: Path = Path("runs")
    """Where the discriminators lie, or will."""
    record: Path | None = None
    """The folder of the results to record this in."""

    @property
    def experiment(self) -> str:
        """Its name in the results."""
        return self.few_shot.experiment.replace("pointnav", "teachers", 1)

    @property
    def few_shot(self) -> FewShotConfig:
        """The comparison whose memory and whose experts these are."""
        return FewShotConfig(
            "pointnav",
            pairs=self.pairs,
            preset=self.preset,
            seeds=self.seeds,
            steps=self.steps,
            run_dir=self.run_dir,
        )


def teach(
    config: TeachersConfig, tell: Callable[[str], None] = spoken
) -> tuple[list[BySeed], Figure]:
    """Let the agents of every arm and seed learn; where they end, and a figure of the first seed.

    Args:
        tell: is given a line for each agent.

    Raises:
        InputError: as `Comparison`.
    """
    comparison = Comparison(config.few_shot)
    few_shot, family = comparison.config, comparison.family
    teachers = Teachers(*(comparison.told(i, few_shot.pairs) for i in (0, 1)))
    ends: list[BySeed] = []
    drawn: dict[str, np.ndarray] = {}
    for seed in few_shot.seeds:
        model = comparison.model(MEMORY, seed)
        assert isinstance(model, MetaDiscriminator)
        by = comparison.made_by(MEMORY, seed)
        for arm in ARMS:
            paths = taught(model, family, teachers, comparison.steps, seed, arm)
            drawn.setdefault(arm, paths)
            apart = dict(zip(Teachers._fields, distances(paths, teachers), strict=True))
            ends += [BySeed(arm, f"from_{who}", value, seed, by) for who, value in apart.items()]
            tell(
                f"{arm:12}seed {seed}  ends {apart['first']:.2f} from the first teacher, "
                f"{apart['second']:.2f} from the second"
            )
    return ends, figure(drawn, teachers)


def write(ends: list[BySeed], drawn: Figure, folder: Path) -> list[Path]:
    """The figure, and the numbers as a file; returns their paths.

    Raises:
        InputError: the folder cannot be written.
    """
    lines = [[e.setting, e.metric, number(round(e.value, 4)), str(e.seed)] for e in ends]
    written = write_csv(folder / DISTANCES, COLUMNS, lines)
    with written_beside(folder / FIGURE) as beside:
        beside.write_bytes(png(drawn))
    return [written, folder / FIGURE]


def record(
    ends: list[BySeed], drawn: Figure, experiment: str, command: str, results: Path
) -> list[Path]:
    """Write everything and put the summary's rows in place, the intervals Student's t over seeds.

    Raises:
        InputError: files that cannot be read or written, or runs that were not of a checkout.
    """
    return by_seed.record(
        ends, experiment, command, results, lambda folder: write(ends, drawn, folder)
    )


def taught(
    model: MetaDiscriminator, family: Family, teachers: Teachers, steps: int, seed: int, arm: str
) -> np.ndarray:
    """Where the agent of an arm goes in the end: positions (EPISODES, T, 2).

    It learns for whole rounds and no step beyond, but for one before and one after half-way.

    Raises:
        InputError: an arm that is none of `ARMS`, or a family whose states are not places.
    """
    if arm not in ARMS:
        raise InputError(f"'{arm}' is not one of {', '.join(ARMS)}: give one of these.")
    if family.name != "pointnav":
        raise InputError(
            f"The family is {family.name}, whose states are no places: give pointnav."
        )
    model.clear()
    model.remember(teachers.first)
    if arm != "one":
        other = copy.deepcopy(model)
        other.clear()
        other.remember(teachers.second)
        model.merge(other)
    learner, observe = started(model, family, family.held_out[0].task, seed)
    round_steps = ppo_settings(family.env).round_steps
    rounds = max(2, steps // round_steps)
    for half, n in enumerate((rounds // 2, rounds - rounds // 2)):
        if half and arm == "forgotten":
            observe.net.forget(teachers.second)
        learner.learn(n * round_steps, observe, reset_num_timesteps=False)
    return _paths(learner, family.env)


def _paths(policy: Any, env: str) -> np.ndarray:
    """Positions (EPISODES, T, 2), the policy acting deterministically from the same starts."""
    venv = make_vec(env, EPISODES, SEED)
    places, ended = [np.asarray(venv.reset())], False
    while not ended:
        obs, _, dones, _ = venv.step(policy.predict(places[-1], deterministic=True)[0])
        ended = bool(dones.any())
        places += [] if ended else [np.asarray(obs)]
    return np.stack(places, 1)


def figure(paths: Mapping[str, np.ndarray], teachers: Teachers) -> Figure:
    """The paths of each arm, and where each teacher was."""
    with rc_context(STYLE):
        drawn = Figure(figsize=(WIDTH, 2.7), layout="constrained")
        row = drawn.subplots(1, len(paths), squeeze=False, sharex=True, sharey=True)[0]
        for axes, (arm, places) in zip(row, paths.items(), strict=True):
            for path in places:
                axes.plot(*path.T, color="#777777", lw=0.8)
                axes.plot(*path[-1], color="#333333", marker="o", ms=3)
            for name, pairs, colour in zip(Teachers._fields, teachers, PALETTE, strict=False):
                axes.scatter(*pairs.state.T, 6, colour, zorder=3, label=f"{name} teacher's pairs")
            axes.set(title=arm, aspect="equal")
        row[0].legend(loc="best", fontsize=6)
    return drawn


def distances(paths: np.ndarray, teachers: Teachers) -> tuple[float, float]:
    """Of the paths' ends from the nearest pair of each teacher: means."""
    ends = torch.from_numpy(paths[:, -1]).float()
    first, second = (torch.cdist(ends, pairs.state).amin(1).mean() for pairs in teachers)
    return float(first), float(second)
