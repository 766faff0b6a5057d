"""Training a machine to recall: write clean images, read corrupted ones, be like the clean ones.

The loss is -ln p(x) of what one reading finds, in nats per image, and no rates: as in the
retrieval experiments of Bartunov et al. 2020 the memory is judged by what comes back. Half of the
queries have 0 to 40% of their pixels flipped, the other half lack a block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy

from km_rl.baselines.dkm import DKM
from km_rl.baselines.dnc import DNC, LRUA
from km_rl.core.elbo import Elbo
from km_rl.core.episodic import EpisodicModel
from km_rl.core.machine import KanervaMachine
from km_rl.data import Images, draw_episodes
from km_rl.data.corrupt import blank_block, flip
from km_rl.errors import InputError
from km_rl.nn.flat import FlatDecoder, FlatEncoder
from km_rl.nn.initial import keep_variance
from km_rl.nn.mlp import GaussianHead
from km_rl.train.loop import train
from km_rl.train.provenance import describe
from km_rl.train.recipe import Precision, Recipe
from km_rl.train.run import Run

IMAGE_SHAPE = (1, 28, 28)
MOST_FLIPPED = 0.4
BLOCK = 14
SHARP = 0.03
"""Std of every address variable when training starts."""
WORDS: Mapping[str, type[DNC]] = {"dnc": DNC, "lrua": LRUA}
"""Memories of words, which know no variance."""


@dataclass(frozen=True)
class RecallRecipe(Recipe):
    """Sizes of the machine and of its episodes, beside how it is trained."""

    steps: int = 1200
    """Updates on `episodes_per_batch` episodes."""
    learning_rate: float = 1e-3
    """Adam's step size at its highest."""
    warmup_steps: int = 100
    """Steps over which the step size rises in a straight line from 0."""
    precision: Precision = "no"
    """Always full: the nets are too small to gain by less."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    dataset: str = "strokes"
    """What it is trained on."""
    model: Literal["km", "dkm", "dnc", "lrua"] = "km"
    """Which machine: one whose memory is a posterior, or one that writes words in turn."""
    episode_length: int = 432
    """Images in an episode: four times what Hebb's rule holds of 784 bits."""
    episodes_per_batch: int = 1
    """Episodes in a step."""
    slots: int = 512
    """K: as many as there are images, or each disturbs the others. A memory of words has only as
    many as an episode has images while it is trained, which costs a tenth."""
    code: int = 128
    """C; K C + K (K + 1) / 2 numbers are no more than a Hopfield net of 784 units has."""
    key: int = 448
    """S, which bounds how many addresses can be linearly independent."""
    width: int = 256
    """Hidden units of every net."""
    noise_var: float = 1.0
    """Variance of a code around its read-out when training starts; it is trained."""

    def build_machine(self) -> EpisodicModel[Any]:
        """A new machine; a `KanervaMachine`'s addresses all have something to say at the start."""
        encoder = FlatEncoder(IMAGE_SHAPE, self.width)
        decoder = FlatDecoder(self.code, IMAGE_SHAPE, self.width)
        options: dict[str, Any] = {"slots": self.slots, "code": self.code}
        if self.model in WORDS:
            return WORDS[self.model](encoder, decoder, key=self.key, heads=1, **options)
        options |= {"noise_var": self.noise_var, "learn_noise": True}
        if self.model == "dkm":
            return DKM(encoder, decoder, **options)
        machine = KanervaMachine(encoder, decoder, key=self.key, **options)
        machine.q_y = GaussianHead(self.width, self.key, self.width).start_sharp(self.key, SHARP)
        keep_variance(machine.addressing.key)
        return machine


class Recall(nn.Module):
    """A machine as the training loop wants it: from episodes to a loss.

    Args:
        machine: what writes an episode of images and reads it iteratively.
    """

    kind = "recall"

    def __init__(self, machine: EpisodicModel[Any]) -> None:
        super().__init__()
        self.machine = machine
        self.spec: dict[str, Any] = {}

    def forward(self, images: Tensor, sample_memory: bool = False) -> Elbo:
        """-ln p(x) of the clean images after one reading; the memory is read at its mean."""
        pictures = self.machine.read(self.machine.write(images), spoilt(images))
        nats = binary_cross_entropy(pictures, images, reduction="none").sum((-3, -2, -1))
        free = torch.zeros_like(nats)
        return Elbo(nats, rate_y=free, rate_z=free, rate_memory=free)


def spoilt(images: Tensor) -> Tensor:
    """Queries from episodes ``[B, T, channels, H, W]``, by torch's global random numbers."""
    generator, half = torch.default_generator, images.shape[1] // 2
    share = MOST_FLIPPED * float(torch.rand((), generator=generator))
    flipped = flip(images[:, :half], share, generator)
    blank = blank_block(images[:, half:], min(BLOCK, *images.shape[-2:]), generator)
    return torch.cat([flipped, blank], 1)


def trained(
    recipes: Mapping[str, RecallRecipe],
    data: Images | None,
    dataset: str,
    run_dir: Path,
    name: str,
) -> Callable[[int], dict[str, EpisodicModel[Any]]]:
    """From a seed to machines trained on the data, each in a run folder that resumes.

    Raises (the function):
        InputError: there are no data or too few, or the folder belongs to a run with other
            settings.
    """

    @lru_cache(maxsize=1)
    def machines_of(seed: int) -> dict[str, EpisodicModel[Any]]:
        if data is None:
            raise InputError("There are no images to train a machine on: give a data set.")
        machines = {}
        for model, recipe in recipes.items():
            mine = replace(recipe, seed=seed, dataset=dataset)
            torch.manual_seed(seed)
            machine = mine.build_machine()
            if isinstance(machine, DNC):
                machine.resize(mine.episode_length)
            recall = Recall(machine)
            folder = run_dir / f"retrieval-{name}-{dataset}-{model}-{seed}"
            run = Run(folder, mine, describe(recall) | {"data": data.digest})
            train(recall, partial(_episodes, data, mine), mine, run)
            if isinstance(machine, DNC):
                machine.resize(mine.slots)
            machines[model] = machine.cpu().eval()
        return machines

    return machines_of


def _episodes(data: Images, recipe: RecallRecipe, generator: torch.Generator) -> Tensor:
    sizes = recipe.episodes_per_batch, recipe.episode_length
    return draw_episodes(data, *sizes, generator=generator, binarisation="static")


KM = RecallRecipe()
TURNS = replace(KM, episode_length=48)
"""What writes item by item is trained on short episodes: its time goes with their length."""
WORDY = replace(TURNS, episodes_per_batch=8, slots=432, code=256, key=128)
RECIPES: Mapping[str, RecallRecipe] = {
    "km": KM,
    "dkm": replace(TURNS, model="dkm"),
    "dnc": replace(WORDY, model="dnc", steps=600),
    "lrua": replace(WORDY, model="lrua", steps=1000, slots=1024),
}
"""Every machine of the experiment: three minutes of one CPU core each, and room for about as many
numbers as the other memories have, of which they store two thirds or more."""
SMALL: Mapping[str, Any] = {
    "steps": 20,
    "warmup_steps": 5,
    "episode_length": 16,
    "slots": 16,
    "code": 8,
    "key": 16,
    "width": 16,
    "log_every": 5,
    "checkpoint_every": 10,
}
TINY: Mapping[str, RecallRecipe] = {
    name: replace(recipe, **SMALL) for name, recipe in RECIPES.items()
}
"""The same trainings in a second each."""
