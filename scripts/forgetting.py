"""Plant bad demonstrations among good ones, forget them half-way, and see the return recover.

python scripts/forgetting.py --workers 2
python scripts/forgetting.py --demos FILE.npz --seeds 0 1 2 --record results
"""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from agents.config import GailConfig
from agents.forgetting import ARMS, forgetting
from km_rl.errors import InputError, exit_on_input_error
from km_rl.evaluate.results import Row, command_of, record
from km_rl.evaluate.spread import spread
from km_rl.train.recipe import at_least
from km_rl.train.run import commit, hardware


@dataclass(frozen=True)
class Args:
    """Good demonstrations, and what is planted among them."""

    env: str = "HalfCheetah"
    """Where to act."""
    demos: Path | None = None
    """The expert's demonstrations; by default those that come with the project."""
    good: int = 7
    """The first so many of them are shown."""
    bad: int = 3
    """Trajectories of a random policy that are planted."""
    steps: int = 500_000
    """Environment steps; the bad ones are forgotten half-way."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """A run of each arm with each."""
    workers: int = 1
    """Runs side by side."""
    record: Path | None = None
    """The folder of the results to record this in."""

    def end(self, arm: str, seed: int) -> float:
        """The last true return of one run."""
        torch.set_num_threads(1)
        config = GailConfig(self.env, self.demos, self.good, steps=self.steps, seed=seed)
        return forgetting(config, self.bad, arm).values[-1]


@exit_on_input_error()
def main(arguments: list[str] | None = None) -> None:
    """Print the last return of every run; record mean and IQM of each arm if asked to."""
    arguments = sys.argv[1:] if arguments is None else arguments
    args = tyro.cli(Args, args=arguments, description=__doc__)
    at_least(args, 1, "good", "bad", "steps", "workers")
    if not args.seeds:
        raise InputError("There is nothing to run: name at least one seed.")
    runs = [(arm, seed) for seed in args.seeds for arm in ARMS]
    spawned = multiprocessing.get_context("spawn")
    found: dict[str, list[float]] = {arm: [] for arm in ARMS}
    with ProcessPoolExecutor(args.workers, spawned) as pool:
        for (arm, seed), end in zip(
            runs, pool.map(args.end, *zip(*runs, strict=True)), strict=True
        ):
            found[arm].append(end)
            print(f"{arm:12}seed {seed}{end:10,.0f}", flush=True)
    if args.record is not None:
        command = command_of("forgetting", arguments)
        made = (len(args.seeds), hardware("cpu"), command, commit() or "")
        rows = [
            Row._make(("gail-forgetting", arm, metric, *value, *made))
            for arm, ends in found.items()
            for metric, value in (("return", spread(ends).mean), ("return_iqm", spread(ends).iqm))
        ]
        print(record(rows, args.record))


if __name__ == "__main__":
    main()
