"""Imitate an expert from a few pairs, by a discriminator that was trained on others.

The discriminators are trained first, into runs/; the same command resumes. Examples:

    python scripts/few_shot.py --preset debug
    python scripts/few_shot.py --family pointnav --pairs 16
    python scripts/few_shot.py --family halfcheetah-velocity --experts FOLDER/policy.safetensors
    python scripts/few_shot.py --seeds 0 1 2 --tasks 8 --record results
"""

from __future__ import annotations

import sys

import torch
import tyro

from agents.few_shot_benchmark import Comparison, FewShotConfig, table
from agents.few_shot_record import record, write_files
from km_rl.errors import exit_on_input_error
from km_rl.evaluate.results import command_of
from km_rl.train.run import commit, hardware


@exit_on_input_error()
def main(arguments: list[str] | None = None) -> None:
    """Train what is missing, measure, tell, and record if asked to."""
    arguments = sys.argv[1:] if arguments is None else arguments
    config = tyro.cli(FewShotConfig, args=arguments, description=__doc__)
    torch.set_num_threads(1)
    comparison = Comparison(config)
    points = comparison.measure()
    print(table(points))
    if config.record is None:
        files = write_files(points, comparison.returns.parent)
    else:
        made = (hardware(), command_of("few_shot", arguments), commit() or "")
        files = record(points, config.experiment, made, config.record)
    for path in files:
        print(path)


if __name__ == "__main__":
    main()
