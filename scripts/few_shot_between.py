"""Ask discriminators that are told of one velocity what they pay for all others.

They are trained first, or found where scripts/few_shot.py left them. Examples:

    python scripts/few_shot_between.py --seeds 0 --tasks 2
    python scripts/few_shot_between.py --record results
"""

from __future__ import annotations

import sys

import torch
import tyro

from agents.few_shot.between import BetweenConfig, measure, record, write
from km_rl.errors import exit_on_input_error
from km_rl.results.summary import before_recording, command_of


@exit_on_input_error()
def main(arguments: list[str] | None = None) -> None:
    """Tell what each pays near the expert and further off, draw it, and perhaps record."""
    arguments = sys.argv[1:] if arguments is None else arguments
    config = tyro.cli(BetweenConfig, args=arguments, description=__doc__)
    torch.set_num_threads(1)
    if config.record is not None:
        mine = {(config.experiment, setting) for setting in config.settings}
        before_recording(config.record, len(config.seeds), lambda row: row[:2] in mine)
    found = measure(config)
    if config.record is None:
        files = write(found, config.run_dir / config.experiment)
    else:
        command = command_of("few_shot_between", arguments)
        files = record(found, config.experiment, command, config.record)
    for path in files:
        print(path)


if __name__ == "__main__":
    main()
