"""Checkpoints: all that a run needs to go on as if it had never stopped.

``training.pt`` alone is what a run resumes from, weights included, so one rename is the whole
checkpoint; ``model.safetensors`` is an export of the same weights for everyone else, and if the
process dies between the two files it is merely one checkpoint newer.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from km_rl.errors import InputError
from km_rl.nn.saves import damaged, load_state, save_state
from km_rl.nn.weights import fill, load_weights, save_weights

TRAINING = "training.pt"
WEIGHTS = "model.safetensors"
KEYS = ("kind", "model", "optimiser", "progress", "streams")
OF = "a training of km_rl"


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        step: training steps done.
        images: images trained on, over all processes.
        seconds: time spent in training steps.
        window: sums of what is averaged in the next line of metrics.
    """

    step: int = 0
    images: int = 0
    seconds: float = 0.0
    window: dict[str, float] = field(default_factory=dict)


def random_state(episodes: Tensor, device: torch.device) -> dict[str, Tensor]:
    """The random streams of one process: of its next episodes, and of torch on CPU and GPU."""
    state = {"episodes": episodes, "cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(
    state: dict[str, Tensor], generator: torch.Generator, device: torch.device
) -> None:
    """Continue the streams of `random_state`; a GPU's only on a GPU."""
    generator.set_state(state["episodes"])
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimiser: Optimizer,
    progress: Progress,
    streams: list[dict[str, Tensor]],
) -> None:
    """Write the weights for others, then the state to resume from; both appear whole or not.

    Args:
        streams: a `random_state` of every process.

    Raises:
        InputError: the folder cannot be written.
    """
    _save_weights(folder, model)
    state = {
        "kind": _identity(model)[0],
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "progress": asdict(progress),
        "streams": streams,
    }
    save_state(folder / TRAINING, state)


def restore_weights(folder: Path, model: nn.Module) -> None:
    """Write the weights of the state for others again, if their file is gone or damaged."""
    if not (folder / TRAINING).exists():
        return
    try:
        load_weights(folder / WEIGHTS, _identity(model)[0])
    except InputError:
        _save_weights(folder, model)


def load_checkpoint(
    folder: Path, model: nn.Module, optimiser: Optimizer, processes: int = 1
) -> tuple[Progress, list[dict[str, Tensor]]] | None:
    """Fill model and optimiser from the folder; None if it holds no checkpoint.

    Raises:
        InputError: the file is no whole save, or is one of another kind of model, of
            other shapes or of another number of processes.
    """
    path = folder / TRAINING
    if not path.exists():
        return None
    saved = load_state(path, KEYS, OF)
    kind = _identity(model)[0]
    if saved["kind"] != kind:
        raise InputError(
            f"'{path}' is a checkpoint of a model of kind '{saved['kind']}' where this one is "
            f"'{kind}': use --name NEW, or delete the folder."
        )
    if len(saved["streams"]) != processes:
        raise InputError(
            f"'{path}' was written by {len(saved['streams'])} processes where {processes} run "
            f"now: start as many, use --name NEW, or delete the folder."
        )
    fill(model, saved["model"], path)
    try:
        optimiser.load_state_dict(saved["optimiser"])
        return Progress(**saved["progress"]), saved["streams"]
    except Exception as error:  # a file can be broken in any way
        raise damaged(path, OF) from error


def _save_weights(folder: Path, model: nn.Module) -> None:
    kind, spec = _identity(model)
    save_weights(folder / WEIGHTS, kind, spec, model)


def _identity(model: nn.Module) -> tuple[str, dict[str, Any]]:
    return getattr(model, "kind", type(model).__name__), dict(getattr(model, "spec", {}))
