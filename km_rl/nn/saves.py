"""A training as it stands, on disk: tensors and plain values, of which nothing can run."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from km_rl.errors import InputError
from km_rl.files import written_beside


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write it whole or not at all; errors as `written_beside`."""
    whole = io.BytesIO()  # a full disk is then met by what can tell of it
    torch.save(dict(state), whole)
    with written_beside(path) as beside:
        beside.write_bytes(whole.getbuffer())


def load_state(path: Path, keys: Collection[str], of: str) -> dict[str, Any]:
    """The values under ``keys`` of what `save_state` wrote, on the CPU.

    Raises:
        InputError: the file cannot be read, is no whole save, or one of something else than this.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file can be broken in any way
        raise damaged(path, of) from error
    known = saved if isinstance(saved, dict) else {}
    if missing := [key for key in keys if key not in known]:
        raise InputError(
            f"'{path}' is a save of something else than {of} ('{missing[0]}' is not in it): give "
            f"another folder; if it is an old save of this, delete it and train again."
        )
    return {key: known[key] for key in keys}


def damaged(path: Path, of: str) -> InputError:
    """What is said of a file that is no whole save."""
    return InputError(
        f"'{path}' is not a whole save of {of}: delete its folder and train again, or train in "
        f"another one."
    )
