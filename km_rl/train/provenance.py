"""What made a number: the commit, the hardware and the command."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from km_rl.errors import InputError


def describe(model: nn.Module, command: Sequence[str] = ()) -> dict[str, Any]:
    """Facts to record with a run: commit, torch, hardware, parameters and the command.

    ``command`` is a script and its arguments; by default those that were given to python. Of
    several processes it has their launcher, too.
    """
    words = ["python", *(command or sys.argv)]
    if (n := int(os.environ.get("WORLD_SIZE", "1"))) > 1:
        words[1:1] = ["-m", "torch.distributed.run", "--nproc_per_node", str(n)]
    return {
        "commit": commit(),
        "torch": torch.__version__,
        "hardware": hardware(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "command": shlex.join(words),
    }


def hardware(device: str | None = None) -> str:
    """The GPU's name, or the CPU's and how many threads torch uses.

    Args:
        device: what computes, if it is not a GPU wherever there is one: ``cpu``.
    """
    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{_cpu_name()}, {torch.get_num_threads()} threads"


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit() -> str | None:
    """The commit of the checkout that this file belongs to, "-dirty" if its code was changed.

    Results and pages are no code: what is recorded changes them before the next is measured.
    """
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():
        return None
    git = ["git", "-C", str(checkout)]
    code = [f":(exclude,top){path}" for path in ("results", "docs", "*.md")]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", *code])
    except OSError:
        return None
    return head.stdout.strip() + "-dirty" * (changed.returncode != 0) if head.stdout else None


def commit_to_record() -> str:
    """The commit that a result is told to be of.

    Raises:
        InputError: there is none, before hours have gone into numbers that cannot be recorded.
    """
    if (found := commit()) is None:
        raise InputError(
            "This is no git checkout, and a number is no result without the commit of its code: "
            "clone the repository."
        )
    return found


def joined_once(joint: str, facts: Iterable[str | None]) -> str:
    """Facts in order, each once; some are joined already, and what is not known is left out."""
    told = (one for some in facts for one in (some or "").split(joint))
    return joint.join(dict.fromkeys(filter(None, told)))
