"""Merge the memories of two teachers, forget one of them, and see where agents go.

The discriminators are trained first, or found where scripts/few_shot.py left them. Examples:

    python scripts/few_shot_teachers.py --preset debug
    python scripts/few_shot_teachers.py --record results
"""

from __future__ import annotations

import sys

import torch
import tyro

from agents.few_shot.teachers import TeachersConfig, record, teach, write
from km_rl.errors import exit_on_input_error
from km_rl.results.summary import before_recording, command_of


@exit_on_input_error()
def main(arguments: list[str] | None = None) -> None:
    """Tell how far each agent ends from each teacher, draw where they go, and perhaps record."""
    arguments = sys.argv[1:] if arguments is None else arguments
    config = tyro.cli(TeachersConfig, args=arguments, description=__doc__)
    torch.set_num_threads(1)
    if config.record is not None:
        seeds, mine = len(config.few_shot.resolved().seeds), config.experiment
        before_recording(config.record, seeds, lambda row: row.experiment == mine)
    ends, drawn = teach(config)
    if config.record is None:
        files = write(ends, drawn, config.run_dir / config.experiment)
    else:
        command = command_of("few_shot_teachers", arguments)
        files = record(ends, drawn, config.experiment, command, config.record)
    for path in files:
        print(path)


if __name__ == "__main__":
    main()
