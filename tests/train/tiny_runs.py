"""Tiny runs: models and data on which a training step takes milliseconds."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from km_rl.config import Config
from km_rl.data import Images, draw_episodes
from km_rl.train.loop import train
from km_rl.train.run import Run

TINY = Config(
    steps=6,
    warmup_steps=2,
    log_every=2,
    evaluate_every=3,
    checkpoint_every=2,
    precision="no",
    episode_length=4,
    episodes_per_batch=2,
    slots=4,
    code=3,
    key=3,
    filters=2,
)
PIXELS = torch.randint(
    0, 256, (40, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
DATA = Images(PIXELS, torch.arange(40) % 4)


def draw(generator: torch.Generator) -> Tensor:
    """Two episodes of four images."""
    return draw_episodes(DATA, 2, 4, generator=generator)


def evaluate(model: nn.Module) -> dict[str, float]:
    """A number that depends on the weights and uses up random numbers."""
    torch.manual_seed(0)
    return {"bound_nats": model(draw(torch.Generator().manual_seed(1))).bound.mean().item()}


def new_model(config: Config) -> nn.Module:
    """The model of the config, with the weights of its seed."""
    torch.manual_seed(config.seed)
    return config.build_model()


def go(
    folder: Path, drawing: Callable[[torch.Generator], Tensor] = draw, **changes: Any
) -> dict[str, float]:
    """Train a tiny run in ``folder``, or go on with it."""
    config = replace(TINY, **changes)
    return train(new_model(config), drawing, config, Run(folder, config), evaluate)


def untimed(folder: Path) -> list[dict[str, Any]]:
    """The metrics without those that depend on the clock."""
    clock = ("seconds", "images_per_second")
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k not in clock} for line in lines]


def weights(folder: Path) -> dict[str, list[float]]:
    """The exported tensors, to compare bit by bit."""
    return {k: v.flatten().tolist() for k, v in load_file(folder / "model.safetensors").items()}


class Signals:
    """Draws, and at a call sends this process a signal."""

    def __init__(self, number: int, call: int) -> None:
        self.number, self.left = number, call

    def __call__(self, generator: torch.Generator) -> Tensor:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.number)
        return draw(generator)


class Stop(Exception):
    """Stands for a power cut."""


class StopsAt:
    """Draws as `draw`, but raises at a call, counted from 1."""

    def __init__(self, call: int, error: BaseException | None = None) -> None:
        self.left, self.error = call, error or Stop()

    def __call__(self, generator: torch.Generator) -> Tensor:
        self.left -= 1
        if self.left == 0:
            raise self.error
        return draw(generator)
