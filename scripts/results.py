"""Record finished runs in results/, or write the tables and the verdicts from there.

Give evaluated runs of one experiment; the seeds and models that were recorded earlier stay:

    python scripts/results.py runs/paper-omniglot-{km,vae}-{0,1,2}
    python scripts/results.py runs/two-classes-* --experiment omniglot-2classes
    python scripts/results.py runs/paper-omniglot-km* --experiment omniglot-ablations --ablations
    python scripts/results.py --tables
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from tyro.conf import Positional

from km_rl.errors import InputError, exit_on_input_error
from km_rl.results.rate_distortion import write_rate_distortion
from km_rl.results.readme import write_tables
from km_rl.results.seeds import record_runs
from km_rl.results.summary import read
from km_rl.results.verdicts import write_verdicts


@dataclass(frozen=True)
class Args:
    """Runs to record, or tables to write, or first the one and then the other."""

    runs: Positional[tuple[Path, ...]] = ()
    """Finished run folders of one experiment."""
    experiment: str | None = None
    """Its name; by default data set, split and binarisation."""
    ablations: bool = False
    """They are of one model and differ in K, C, the covariance, R_0, address noise, the step size,
    in how much of KL(M) they were trained on or whether on draws of M."""
    tables: bool = False
    """Rewrite the tables between the markers of README and docs/, results/README.md, and the
    figure of rate against distortion."""
    folder: Path = Path("results")
    """Where the results lie."""
    pages: tuple[Path, ...] = (
        Path("README.md"),
        Path("docs/cifar10.md"),
        Path("docs/few-shot.md"),
        Path("docs/full-bound.md"),
        Path("docs/generative.md"),
        Path("docs/imitation.md"),
        Path("docs/memories.md"),
        Path("docs/speed.md"),
    )
    """The files with the markers."""


@exit_on_input_error()
def main(arguments: Sequence[str] | None = None) -> None:
    """Record and write as the arguments say; the command line's by default."""
    args = tyro.cli(Args, args=arguments, description=__doc__)
    if not args.runs and not args.tables:
        raise InputError("Nothing was asked for: name run folders, or give --tables.")
    written = (
        record_runs(args.runs, args.folder, args.experiment, args.ablations) if args.runs else []
    )
    if args.tables:
        rows = read(args.folder)
        written += [write_tables(page, rows) for page in args.pages]
        written += [write_verdicts(args.folder, rows)]
        written += write_rate_distortion(args.folder, rows)
    for path in written:
        print(path)


if __name__ == "__main__":
    main()
