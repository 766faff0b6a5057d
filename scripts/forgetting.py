"""Plant bad demonstrations among good ones, forget them half-way, and see the return recover.

python scripts/forgetting.py --workers 2
python scripts/forgetting.py --demos FILE.npz --record results
"""

from __future__ import annotations

import sys

import tyro

from agents.forgetting_benchmark import Forgetting, record, run
from km_rl.errors import exit_on_input_error
from km_rl.results.summary import before_recording, command_of


@exit_on_input_error()
def main(arguments: list[str] | None = None) -> None:
    """Tell the last return of every run; draw all, and record them if asked to."""
    arguments = sys.argv[1:] if arguments is None else arguments
    benchmark = tyro.cli(Forgetting, args=arguments, description=__doc__)
    if benchmark.record is not None:
        seeds, mine = len(benchmark.seeds), benchmark.experiment
        before_recording(benchmark.record, seeds, lambda row: row.experiment == mine)
    runs = run(benchmark)
    if benchmark.record is not None:
        for path in record(benchmark, runs, command_of("forgetting", arguments), benchmark.record):
            print(path)


if __name__ == "__main__":
    main()
