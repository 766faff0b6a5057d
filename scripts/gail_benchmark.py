"""Compare the memory with its rivals on one expert, over seeds, and record what came of it.

The same command goes on where an interrupted one stood. Examples:

    python scripts/gail_benchmark.py --steps 20000 --seeds 0 --settings kanerva mlp
    python scripts/gail_benchmark.py --demos FILE.npz --workers 2 --record results
"""

from __future__ import annotations

import tyro

from agents.benchmark import Benchmark, run
from agents.report import report, text_table
from km_rl.errors import exit_on_input_error
from km_rl.results.summary import before_recording


@exit_on_input_error()
def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, then tell and perhaps record how the settings compare."""
    benchmark = tyro.cli(Benchmark, args=arguments, description=__doc__)
    if benchmark.record is not None:
        before_recording(benchmark.record)
    folders = run(benchmark)
    print(text_table(folders))
    print(report(folders))
    for path in benchmark.recorded():
        print(path)


if __name__ == "__main__":
    main()
