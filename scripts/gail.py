"""Imitate an expert from its demonstrations, with a memory of pairs as the discriminator.

The same command resumes an interrupted run. Examples:

    python scripts/gail.py --env HalfCheetah
    python scripts/gail.py --env HalfCheetah --demos FILE.npz --trajectories 1 --discriminator mlp
    python scripts/gail.py --env Hopper --allow-variable-horizon
    python scripts/gail.py --compare runs/HalfCheetah-kanerva-* runs/HalfCheetah-mlp-*
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import tyro

from agents.config import GailConfig
from agents.gail import imitate
from agents.report import report, text_table
from km_rl.errors import at_least_one, exit_on_input_error


@exit_on_input_error()
def main(arguments: list[str] | None = None) -> None:
    """Imitate as the arguments say, or compare runs; then write and announce the report."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["--compare"]:
        folders = [Path(folder) for folder in arguments[1:]]
    else:
        config = tyro.cli(GailConfig, args=arguments, description=__doc__)
        if config.threads is not None:
            at_least_one(threads=config.threads)
            torch.set_num_threads(config.threads)
        folders = [imitate(config)]
    print(text_table(folders))
    print(report(folders))


if __name__ == "__main__":
    main()
