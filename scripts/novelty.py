"""Does a memory of an expert know what it has not seen? Prints the AUC of its information gain.

python scripts/novelty.py
python scripts/novelty.py --demos FILE.npz --others envs/demonstrations/halfcheetah.npz
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from agents.novelty import novelty
from envs.demos import shipped
from envs.make import bare
from km_rl.errors import InputError, check_seeds, exit_on_input_error
from km_rl.results.spread import mean
from km_rl.results.summary import Row, before_recording, command_of, record
from km_rl.train.provenance import hardware
from km_rl.train.recipe import at_least


@dataclass(frozen=True)
class Args:
    """An expert, and others."""

    env: str = "HalfCheetah"
    """Where they act."""
    demos: Path | None = None
    """The expert's demonstrations; by default those that come with the project."""
    others: tuple[Path, ...] = ()
    """Demonstrations of other agents; a random policy is always there."""
    trajectories: int = 1
    """The first so many are remembered, and the last five held out."""
    every: int = 20
    """Each so-many-th pair of them."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Of the memory's random features."""
    record: Path | None = None
    """The folder of the results to record this in."""

    @property
    def experiment(self) -> str:
        """Its name in the results: what is not as in the usual experiment is told."""
        env = bare(self.env)
        words = ["gail-novelty", *([] if env == bare(Args.env) else [env])]
        words += [] if self.every == Args.every else [f"{self.every}every"]
        return "-".join([*words, "shipped"] if self.demos is None else words)


@exit_on_input_error()
def main(arguments: list[str] | None = None) -> None:
    """Print the AUC of each of the others, and record it if asked to."""
    arguments = sys.argv[1:] if arguments is None else arguments
    args = tyro.cli(Args, args=arguments, description=__doc__)
    at_least(args, 1, "trajectories", "every")
    check_seeds(args.seeds)
    code = "" if args.record is None else before_recording(args.record)
    demos = args.demos or shipped(args.env)
    others = {path.stem: path for path in args.others}
    if len(others) < len(args.others):
        raise InputError(
            f"--others names {len(args.others)} files of {len(others)} names: numbers are kept by "
            f"the name of a file, so give each another one."
        )
    found = novelty(args.env, demos, others, args.trajectories, args.every, args.seeds)
    rows = []
    for name, values in found.items():
        auc = mean(values)
        print(f"{name:24}{auc.value:8.3f}")
        shown = f"{args.trajectories} demonstration" + "s" * (args.trajectories > 1)
        setting = f"{shown}, {name}"
        made = (hardware("cpu"), command_of("novelty", arguments), code)
        rows.append(Row(args.experiment, setting, "auc", *auc, len(values), *made))
    if args.record is not None:
        print(record(rows, args.record))


if __name__ == "__main__":
    main()
