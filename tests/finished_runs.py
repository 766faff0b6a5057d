"""Run folders as training leaves them, with tiny models that have learned nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from km_rl.baselines.vae import VAE
from km_rl.core.episodic import EpisodicModel
from km_rl.core.machine import KanervaMachine
from km_rl.data import Splits
from km_rl.data.strokes import strokes
from km_rl.evaluate.runs import MODELS, Model

CONFIG: dict[str, Any] = {
    "preset": "strokes",
    "dataset": "strokes",
    "data_dir": None,
    "split": "images",
    "binarisation": "dynamic",
    "episode_length": 4,
    "classes": None,
    "memory_kl_weight": 0.0,
    "about": {"hardware": "an abacus", "commit": "abc"},
}


def tiny_data() -> Splits:
    return strokes(classes=6, exemplars=8)


def tiny_machine() -> KanervaMachine:
    return KanervaMachine.build(filters=2, slots=4, code=3, key=3)


def tiny_vae() -> VAE:
    return VAE.build(filters=2, code=3)


def tiny_rival(kind: str) -> Model:
    """A baseline with a memory of the tiny machine's size."""
    model = MODELS[kind]
    assert issubclass(model, EpisodicModel)
    return model.build(filters=2, slots=4, code=3)


def finished(folder: Path, model: Model, **config: Any) -> Path:
    """A run folder with config, metrics and weights."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))
    lines = [_line(step) for step in range(10, 60, 10)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    model.save(folder / "model.safetensors")
    return folder


def _line(step: int) -> dict[str, float]:
    line: dict[str, float] = {"step": step, "images": 8 * step, "seconds": 1.5 * step}
    for name in ("bound", "distortion", "rate_y", "rate_z", "rate_memory"):
        line[f"train/{name}"] = 100.0 / step
    for name in ("bound", "reconstruction", "kl_y", "kl_z", "kl_memory"):
        line[f"test/{name}_nats"] = 110.0 / step
    return line
