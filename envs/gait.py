r"""HalfCheetah as different agents run it, each known by a file of its demonstrations.

Agents that the project's own script trained alike but for the seed run each in a way of its own::

    for seed in $(seq 0 23); do
        python scripts/train_expert.py --algorithm ppo --steps 500000 --seed $seed \
            --run-dir runs/gaits
    done
    python scripts/few_shot.py --family halfcheetah-gait --experts runs/gaits
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from km_rl.errors import InputError

DEMONSTRATIONS = "demonstrations.npz"
"""As `agents.expert` calls them; their agent is called by the run that they are in."""


def agents(given: Sequence[Path]) -> dict[str, Path]:
    """Files of demonstrations by the names of their agents, in the order given.

    Args:
        given: files, or folders: of one, the npz files in it and the demonstrations of the runs in
            it, shorter names first and so 2 before 10.

    Raises:
        InputError: two agents of one name, or a folder without any.
    """
    files = [path for one in given for path in (_in_folder(one) if one.is_dir() else [one])]
    found = {_name(path): path for path in files}
    if len(found) < len(files):
        raise InputError(
            f"The experts are {', '.join(str(path) for path in files)}: agents are called by the "
            f"names of their files, or of their runs, so give each another."
        )
    return found


def _in_folder(folder: Path) -> list[Path]:
    found = [*folder.glob("*.npz"), *folder.glob(f"*/{DEMONSTRATIONS}")]
    if not found:
        raise InputError(
            f"'{folder}' holds no demonstrations: give a folder of npz files, or of runs of "
            f"scripts/train_expert.py."
        )
    return sorted(found, key=lambda path: (len(_name(path)), _name(path)))


def _name(path: Path) -> str:
    return path.resolve().parent.name if path.name == DEMONSTRATIONS else path.stem
