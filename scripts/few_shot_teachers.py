"""Merge the memories of two teachers, forget one of them, and see where agents go.

The discriminator is trained first, or found where scripts/few_shot.py left it. Examples:

    python scripts/few_shot_teachers.py --preset debug
    python scripts/few_shot_teachers.py --record results
"""

from __future__ import annotations

import torch
import tyro

from agents.few_shot.comparison import Comparison
from agents.few_shot.config import FewShotConfig
from agents.few_shot.teachers import ARMS, Teachers, check_family, distances, figure, taught
from km_rl.errors import InputError, exit_on_input_error, make_folder, written_beside
from km_rl.evaluate.figures import png
from km_rl.rl.meta import MetaDiscriminator

FIGURE = "teachers.png"


@exit_on_input_error()
def main(arguments: list[str] | None = None) -> None:
    """Tell how far each agent ends from each teacher, and draw where they go."""
    given = tyro.cli(FewShotConfig, args=arguments, description=__doc__)
    torch.set_num_threads(1)
    comparison = Comparison(given)
    config, family = comparison.config, comparison.family
    check_family(family)
    if len(family.held_out) < 2:
        raise InputError("There is one held-out expert: two are expected; give --held-out 2.")
    model = comparison.model("kanerva", config.seeds[0])
    assert isinstance(model, MetaDiscriminator)
    teachers = Teachers(*(comparison.told(i, config.pairs) for i in (0, 1)))
    paths = {}
    for arm in ARMS:
        paths[arm] = taught(model, family, teachers, config.steps, config.seeds[0], arm)
        first, second = distances(paths[arm], teachers)
        print(f"{arm:12}ends {first:.2f} from the first teacher, {second:.2f} from the second")
    folder = comparison.folder
    if given.record is not None:
        folder = given.record / given.experiment
        make_folder(folder)
    with written_beside(folder / FIGURE) as beside:
        beside.write_bytes(png(figure(paths, teachers)))
    print(folder / FIGURE)


if __name__ == "__main__":
    main()
