"""Tasks as they were drawn, in a file where to act them takes minutes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from km_rl.errors import InputError
from km_rl.files import make_folder, written_beside
from km_rl.rl.episodes import Pairs
from km_rl.rl.sources import pairs
from km_rl.rl.tasks import Task

EXPERT = "expert"
PARTS = ("obs", "acts", "episode")
Seen = tuple[np.ndarray, np.ndarray]
"""Observations (n, T + 1, Ds) and actions (n, T, Da) of n episodes."""


class Drawn(NamedTuple):
    """A task, and episodes of its expert."""

    task: Task
    expert: Seen


def drawn_once(
    path: Path | None, made: Mapping[str, Any], draw: Callable[[], list[Drawn]]
) -> list[Drawn]:
    """What ``draw`` gives, or gave when the file was written.

    Args:
        path: of the file; None keeps nothing.
        made: all that the tasks depend on; a file of anything else is written anew.

    Raises:
        InputError: the file is damaged, or cannot be written.
    """
    if path is None:
        return draw()
    told = json.dumps(made, sort_keys=True)
    found = _read(path, told) if path.exists() else None
    if found is None:
        found = draw()
        _write(path, told, found)
    return found


def as_tensors(found: Pairs) -> dict[str, torch.Tensor]:
    """Pairs as they lie in a file, by `PARTS`; where they led is left out."""
    parts = (found.state, found.action, found.trajectory)
    return {name: x.contiguous() for name, x in zip(PARTS, parts, strict=True)}


def from_tensors(kept: Mapping[str, torch.Tensor]) -> Pairs:
    """What `as_tensors` was given."""
    return pairs({"obs": kept["obs"], "acts": kept["acts"]})._replace(trajectory=kept["episode"])


def _write(path: Path, made: str, drawn: Sequence[Drawn]) -> None:
    tensors: dict[str, torch.Tensor] = {}
    for i, (task, seen) in enumerate(drawn):
        for who, its in {EXPERT: task.expert, **task.policies}.items():
            tensors |= {f"{i}/{who}/{part}": x for part, x in as_tensors(its).items()}
        tensors |= {f"{i}/seen/{n}": torch.from_numpy(x) for n, x in enumerate(seen)}
    tasks = [[one.task.name, [*one.task.policies]] for one in drawn]
    make_folder(path.parent)
    with written_beside(path) as beside:
        save_file(tensors, beside, metadata={"made": made, "tasks": json.dumps(tasks)})


def _read(path: Path, made: str) -> list[Drawn] | None:
    """None where the file is of something else."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header["made"] != made:
                return None

            def its(i: int, who: str) -> Pairs:
                return from_tensors({x: file.get_tensor(f"{i}/{who}/{x}") for x in PARTS})

            found = []
            for i, (name, policies) in enumerate(json.loads(header["tasks"])):
                task = Task(name, its(i, EXPERT), {who: its(i, who) for who in policies})
                obs, acts = (file.get_tensor(f"{i}/seen/{n}").numpy() for n in (0, 1))
                found.append(Drawn(task, (obs, acts)))
            return found
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise InputError(
            f"'{path}' is not a whole file of tasks ({error}): delete it, and the same command "
            f"makes it again."
        ) from error
