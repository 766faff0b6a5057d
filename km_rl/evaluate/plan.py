"""Which runs the paper's experiments need: models, seeds and ablations, as flags of a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

SEEDS = 3
"""Of every model but the DNC."""
DNC_SEEDS = 6
"""The paper draws this many, because a DNC depends on how it starts."""
MODELS = ("km", "vae", "lrua", "dnc")
BEST = {("omniglot", "vae"): ("--learning-rate", "4e-3")}
"""Flags with which a rival is at its best, by data set and model."""


class Training(NamedTuple):
    """A run to train.

    Attributes:
        ablated: the part of the machine that differs, as in the run's name; nothing for a rival.
        flags: of train_generative.py, beside those that all runs share.
    """

    model: str
    seed: int
    ablated: str = ""
    flags: tuple[str, ...] = ()

    def name(self, base: str) -> str:
        """The run's folder: ``BASE-km-0``, ``BASE-km-diagonal-0``."""
        return "-".join(filter(None, (base, self.model, self.ablated, str(self.seed))))


def ablated(slots: int) -> dict[str, tuple[str, ...]]:
    """Flags of each ablation of a machine of so many slots."""
    sizes = (max(1, slots // 4), max(1, slots // 2), 2 * slots)
    return {
        "diagonal": ("--diagonal-covariance",),
        "no-noise": ("--address-noise-std", "0"),
        "no-mean": ("--no-learn-prior-mean",),
        **{f"k{K}": ("--slots", str(K)) for K in sizes},
    }


def rivals(dataset: str, seeds: int = SEEDS, dnc_seeds: int = DNC_SEEDS) -> list[Training]:
    """The machine and its rivals, seed by seed."""
    numbers = {model: dnc_seeds if model == "dnc" else seeds for model in MODELS}
    return [
        Training(model, seed, flags=BEST.get((dataset, model), ()))
        for seed in range(max(numbers.values()))
        for model in MODELS
        if seed < numbers[model]
    ]


def ablations(slots: int, seeds: int = SEEDS) -> list[Training]:
    """The machines that differ in one part from those among the `rivals`."""
    return [
        Training("km", seed, name, flags)
        for seed in range(seeds)
        for name, flags in ablated(slots).items()
    ]


def names(preset: str, usual: int, steps: int) -> tuple[str, str]:
    """What runs and results of a preset are called; both tell an unusual number of steps."""
    experiment = "omniglot-images-dynamic" if preset == "paper-omniglot" else preset
    if steps == usual:
        return preset, experiment
    return f"{preset}-{steps}-steps", f"{experiment}-{steps}-steps"


def by_seed(trainings: Sequence[Training]) -> dict[int, list[Training]]:
    """What is evaluated together."""
    seeds = sorted({one.seed for one in trainings})
    return {seed: [one for one in trainings if one.seed == seed] for seed in seeds}
