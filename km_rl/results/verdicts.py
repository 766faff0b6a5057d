"""results/README.md: of each claim of the paper whether it holds here, from summary.csv alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from km_rl.errors import written_beside
from km_rl.results.claims import CLAIMS, Claim, NotMeasured, Numbers
from km_rl.results.summary import Row, told_once

ALWAYS = ("omniglot-images-dynamic", "strokes")
"""Experiments that are shown even where nothing was measured."""
OURS = "-full-bound"
"""How the names of experiments end that are trained for another bound than the paper's, and so say
nothing about its claims."""
PAPER = "python scripts/paper.py --parts ablations compared"
OMNIGLOT = f"{PAPER} --dataset omniglot --data-dir DIR"
CIFAR10 = f"{PAPER} --dataset cifar10 --data-dir DIR"
COMMANDS = {
    "strokes": f"{PAPER} --record results",
    "omniglot-images-dynamic": f"{OMNIGLOT} --steps 32000 --record results",
    "omniglot-characters-dynamic": f"{OMNIGLOT} --split characters --steps 32000 --record results",
    "cifar10": f"{CIFAR10} --steps 32000 --record results",
    "debug": f"{PAPER} --preset debug --record results",
}
"""What measures an experiment."""
LEAD = """# Does it hold?

The claims of Wu et al. (2018) on each data set, decided from [`summary.csv`](summary.csv) by the
rules at the end; `python scripts/results.py --tables` writes this page. Figures are of the first
seed, curves of all seeds lie beside them as CSV.
"""


def write_verdicts(folder: str | Path, rows: Sequence[Row]) -> Path:
    """Write ``folder``/README.md from the rows of its summary; returns its path."""
    path = Path(folder) / "README.md"
    with written_beside(path) as beside:
        beside.write_text(verdicts(path.parent, rows), encoding="utf-8")
    return path


def verdicts(folder: Path, rows: Sequence[Row]) -> str:
    """The page: a section for each experiment, then the rules."""
    rules = [f"{n}. **{one.said}:** {one.rule}." for n, one in enumerate(CLAIMS, start=1)]
    shown = list(_experiments(rows))
    sections = [_section(folder, rows, one) for one in shown]
    missing = [
        f"Nothing is measured yet on {one}: `{command}`.\n"
        for one, command in COMMANDS.items()
        if one not in (*shown, "debug")
    ]
    return "\n".join([LEAD, *sections, *missing, "## The rules\n", *rules, ""])


def _experiments(rows: Sequence[Row]) -> Iterator[str]:
    names = {row.experiment for row in rows}
    yield from ALWAYS
    for name in sorted(names - {*ALWAYS}):
        if f"{name}-capacity" in names and not name.endswith(OURS):
            yield name


def _section(folder: Path, rows: Sequence[Row], experiment: str) -> str:
    lines, made = [], []
    for number, claim in enumerate(CLAIMS, start=1):
        line, commands = _line(folder, rows, experiment, claim)
        lines.append([f"{number}. {claim.said}", *line])
        made += [f"- {number}: {' and '.join(f'`{one}`' for one in commands)}"] if commands else []
    head = ["claim", "verdict", "numbers", "figure", "seeds"]
    table = [f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *lines]]
    parts = [f"## {experiment}\n", *table, ""]
    return "\n".join([*parts, *(["Made by\n", *made, ""] if made else [])])


def _line(
    folder: Path, rows: Sequence[Row], experiment: str, claim: Claim
) -> tuple[list[str], list[str]]:
    """Verdict, numbers, figure and seeds; and the commands behind them."""
    numbers = Numbers(rows, experiment)
    try:
        found = claim.judge(numbers)
    except NotMeasured:
        return ["not measured", f"`{command_for(experiment)}`", "", ""], []
    seeds = sorted({row.seeds for row in numbers.used})
    commands = told_once(row.command for row in numbers.used)
    told = [f"**{found.verdict}**", found.numbers, _figure(folder, experiment, claim.figure)]
    span = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    return [*told, span], commands


def _figure(folder: Path, experiment: str, name: str) -> str:
    """A link to the figure where it was kept."""
    for place in (experiment, f"{experiment}-{name.removesuffix('.png')}"):
        if (folder / place / name).exists():
            return f"[{name.removesuffix('.png')}]({place}/{name})"
    return ""


def command_for(experiment: str) -> str:
    """What measures an experiment: `scripts/paper.py`, or what records runs of any name."""
    if experiment in COMMANDS:
        return COMMANDS[experiment]
    bare, _, steps = experiment.removesuffix("-steps").rpartition("-")
    if not experiment.endswith("-steps"):
        return f"python scripts/results.py RUNS --experiment {experiment}"
    usual = COMMANDS.get(bare, f"{PAPER} --record results")
    return usual.replace(" --steps 32000", "").replace("--record", f"--steps {steps} --record")
