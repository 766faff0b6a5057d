"""Compare runs by the paper's experiments: print their table and write report.html.

It lies in the first run's folder, figures with their numbers beside it. Machines that differ in a
part of theirs (K, the covariance) are compared as ablations, in a folder of that name in it.

python scripts/evaluate.py runs/strokes-km-0 runs/strokes-vae-0
python scripts/evaluate.py runs/paper-omniglot-km-0 --data-dir DIR
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from tyro.conf import Positional

from km_rl.errors import at_least_one, check_seeds, exit_on_input_error
from km_rl.evaluate.report import report
from km_rl.train.provenance import commit


@dataclass(frozen=True)
class Args:
    """Runs to compare, under the conditions they were trained under."""

    runs: Positional[tuple[Path, ...]]
    """Run folders: of the machine, of its rivals, or of both."""
    data_dir: Path | None = None
    """Where the data lie; by default where they lay in training, then KM_RL_DATA."""
    passes: int = 4
    """How often to go through the test set, with fresh noise and samples."""
    limit: int | None = None
    """Use only so many test images; all by default, and at most 1,024 in an experiment. Capacity
    takes more where episodes are long."""
    seed: int = 0
    """Of episodes, binarisation and samples; experiments add that of the first run's training."""
    threads: int | None = None
    """CPU threads; torch's own choice by default."""


@exit_on_input_error()
def main(arguments: Sequence[str] | None = None) -> None:
    """Evaluate as the arguments say; the command line's by default."""
    args = tyro.cli(Args, args=arguments, description=__doc__)
    check_seeds([args.seed])
    if args.threads is not None:
        at_least_one(threads=args.threads)
        torch.set_num_threads(args.threads)
    path = report(
        args.runs,
        data_dir=args.data_dir,
        passes=args.passes,
        limit=args.limit,
        seed=args.seed,
        tell=print,
        thorough=True,
        commit=commit(),
    )
    print(path)


if __name__ == "__main__":
    main()
