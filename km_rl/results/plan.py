"""Which runs the paper's experiments need: models, seeds and ablations, as flags of a training.

Those of the full bound, which is no experiment of the paper, are in `full_bound`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

SEEDS = 3
"""Of every model but the DNC."""
DNC_SEEDS = 6
"""The paper draws this many, because a DNC depends on how it starts."""
MODELS = ("km", "vae", "lrua", "dnc")
BEST = {("omniglot", "vae"): ("--learning-rate", "4e-3")}
"""Flags with which a rival is at its best, by data set and model."""
OVERNIGHT = {"paper-omniglot": 4000, "paper-cifar10": 6000}
"""Steps of a run where the preset's are too many for a night."""
SMALLER = {"paper-cifar10": ("--episodes-per-batch", "4")}
"""Flags of a run that is shorter than its preset: smaller steps, so that they can be more."""
EXPERIMENTS = {
    ("paper-omniglot", "images"): "omniglot-images-dynamic",
    ("paper-omniglot", "characters"): "omniglot-characters-dynamic",
    ("paper-cifar10", "images"): "cifar10",
}
"""What results of a preset and a split are called, where it is not as their runs."""


class Training(NamedTuple):
    """A run to train.

    Attributes:
        part: what of the machine differs, as in the run's name; nothing for a rival.
        flags: of train_generative.py, beside those that all runs share.
    """

    model: str
    seed: int
    part: str = ""
    flags: tuple[str, ...] = ()

    def name(self, base: str) -> str:
        """The run's folder: ``BASE-km-0``, ``BASE-km-diagonal-0``."""
        return "-".join(filter(None, (base, self.model, self.part, str(self.seed))))


class Experiment(NamedTuple):
    """Runs that are compared seed by seed and recorded under one name.

    Attributes:
        name: of the results.
        base: what the names of its runs begin with.
        steps: of each run.
        classes: in an episode; None is any.
        variants: the runs are machines that differ in a part, not a machine and its rivals.
        thorough: the paper's experiments are made with them, and not their bounds alone.
    """

    name: str
    base: str
    steps: int
    trainings: Sequence[Training]
    classes: int | None = None
    variants: bool = False
    thorough: bool = True


class Start(NamedTuple):
    """What all runs of a plan start from, and how many there are to be.

    Attributes:
        preset: its name; `usual`, `slots` and `length` are its steps, its K and its T.
        steps: of each run, if they are not to be the plan's own choice.
        seeds: of every model but the DNC, from 0 up.
        split: of the data set.
        pace: settings in steps, by the name of their flag, that come as much sooner in a run as
            it is shorter than the preset's.
    """

    dataset: str
    preset: str
    usual: int
    slots: int
    length: int
    steps: int | None = None
    seeds: int = SEEDS
    split: str = "images"
    pace: Mapping[str, int] = {}

    def sooner(self, steps: int) -> tuple[str, ...]:
        """The flags of a run of so many steps: warm-ups keep their share, and `SMALLER`."""
        if steps >= self.usual:
            return ()
        shares = {flag: max(1, n * steps // self.usual) for flag, n in self.pace.items()}
        paced = tuple(word for flag, n in shares.items() for word in (flag, str(n)))
        return (*paced, *SMALLER.get(self.preset, ()))


def compared(start: Start, dnc_seeds: int = DNC_SEEDS) -> Experiment:
    """The machine and its rivals."""
    steps = start.steps or OVERNIGHT.get(start.preset, start.usual)
    base, name = names(start.preset, start.split, start.usual, steps)
    flags = start.sooner(steps)
    return Experiment(name, base, steps, rivals(start.dataset, start.seeds, dnc_seeds, flags))


def ablated(start: Start) -> Experiment:
    """The compared machine and what it is without each of its parts."""
    whole = compared(start)
    machines = [one for one in whole.trainings if one.model == "km"]
    trainings = [*machines, *ablations(start.slots, start.seeds, start.sooner(whole.steps))]
    return whole._replace(name=f"{whole.name}-ablations", trainings=trainings, variants=True)


def rivals(
    dataset: str, seeds: int = SEEDS, dnc_seeds: int = DNC_SEEDS, flags: tuple[str, ...] = ()
) -> list[Training]:
    """The machine and its rivals, seed by seed, all with ``flags``."""
    numbers = {model: dnc_seeds if model == "dnc" else seeds for model in MODELS}
    return [
        Training(model, seed, flags=(*flags, *BEST.get((dataset, model), ())))
        for seed in range(max(numbers.values()))
        for model in MODELS
        if seed < numbers[model]
    ]


def ablations(slots: int, seeds: int = SEEDS, flags: tuple[str, ...] = ()) -> list[Training]:
    """The machines that differ in one part from one of so many slots, seed by seed."""
    sizes = (max(1, slots // 4), max(1, slots // 2), 2 * slots)
    parts: dict[str, tuple[str, ...]] = {
        "diagonal": ("--diagonal-covariance",),
        "no-noise": ("--address-noise-std", "0"),
        "no-mean": ("--no-learn-prior-mean",),
        **{f"k{K}": ("--slots", str(K)) for K in sizes},
    }
    return [
        Training("km", seed, part, (*flags, *own))
        for seed in range(seeds)
        for part, own in parts.items()
    ]


def names(preset: str, split: str, usual: int, steps: int) -> tuple[str, str]:
    """What runs and results of a preset are called; both tell an unusual number of steps."""
    base = with_split(preset, split)
    experiment = EXPERIMENTS.get((preset, split), base)
    return with_steps(base, usual, steps), with_steps(experiment, usual, steps)


def with_split(name: str, split: str) -> str:
    """The name, with the split where it is not the usual one, over images."""
    return name if split == "images" else f"{name}-{split}"


def with_steps(name: str, usual: int, steps: int) -> str:
    """The name, with the number of steps where it is not the usual one."""
    return name if steps == usual else f"{name}-{steps}-steps"


def by_seed(trainings: Sequence[Training]) -> dict[int, list[Training]]:
    """What is evaluated together."""
    seeds = sorted({one.seed for one in trainings})
    return {seed: [one for one in trainings if one.seed == seed] for seed in seeds}
