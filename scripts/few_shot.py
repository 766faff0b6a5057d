"""Imitate an expert from a few pairs, by a discriminator that was trained on others.

The discriminators are trained first, into runs/; the same command resumes. Examples:

    python scripts/few_shot.py --preset debug
    python scripts/few_shot.py --family pointnav --pairs 16
    python scripts/few_shot.py --family halfcheetah-velocity --pairs 16
    python scripts/few_shot.py --seeds 0 1 2 --tasks 8 --record results
    python scripts/few_shot.py --family pendulum --demonstrations pendulum.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import tyro

from agents.few_shot.comparison import Comparison
from agents.few_shot.config import FewShotConfig
from agents.few_shot.film import NoFilm, strip
from agents.few_shot.points import table
from agents.few_shot.record import draw, record, write_files
from envs.demos import save
from envs.make import env_id
from envs.tasks import demonstrations
from km_rl.errors import exit_on_input_error
from km_rl.evaluate.figures import png
from km_rl.files import written_beside
from km_rl.results.summary import command_of

STRIP = "strip.png"


@exit_on_input_error()
def main(arguments: list[str] | None = None) -> None:
    """Train what is missing, measure, tell, and record if asked to."""
    arguments = sys.argv[1:] if arguments is None else arguments
    config = tyro.cli(FewShotConfig, args=arguments, description=__doc__)
    torch.set_num_threads(1)
    comparison = Comparison(config)
    if config.demonstrations is not None:
        family, command = comparison.family, command_of("few_shot", arguments)
        meta = {"env": env_id(family.env), "command": command}
        save(config.demonstrations, demonstrations(family), meta)
        print(config.demonstrations)
        return
    points = comparison.measure()
    print(table(points))
    if config.record is None:
        files = write_files(points, folder := comparison.folder) + draw(points, folder)
    else:
        folder = config.record / config.experiment
        command = command_of("few_shot", arguments)
        files = record(points, config.experiment, command, config.record)
    if config.family.startswith("halfcheetah") and config.agents:
        files += film(comparison, folder)
    for path in files:
        print(path)


def film(comparison: Comparison, folder: Path) -> list[Path]:
    """The film strip's path; none, and a sentence, where none can be made."""
    try:
        drawn = png(strip(comparison.family.env, comparison.filmed()))
    except NoFilm as reason:
        print(reason)
        return []
    with written_beside(folder / STRIP) as beside:
        beside.write_bytes(drawn)
    return [folder / STRIP]


if __name__ == "__main__":
    main()
