"""results/README.md: of each claim of the paper whether it holds here, from summary.csv alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from km_rl.files import written_beside
from km_rl.results.claims import (
    CLAIMS,
    HOLDS,
    IN_TURNS,
    NOT,
    PARTLY,
    Finding,
    NotMeasured,
    Numbers,
)
from km_rl.results.readme import folded, table
from km_rl.results.summary import Row

HEAD = ("verdict", "numbers", "figure", "seeds")
"""What `Decided.cells` are."""
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
IN_TURNS_TOLD = "[a step of each](../docs/speed.md#a-training-step)"
"""Where the rows of `IN_TURNS` are shown."""
LEAD = """# Does it hold?

The claims of Wu et al. (2018), decided by rules from [`summary.csv`](summary.csv), whose
commands are in [`commands.csv`](commands.csv).
The first table gives each claim's verdict in the experiment that decides the most of them; its
column "elsewhere" counts the verdicts of all the others. These follow, each with its commands.
Those called full-bound are left out, for they are trained for another bound than the paper's.
Figures are of the first seed, curves of all seeds lie beside them as CSV. The rules stand
[at the end](#the-rules).

`python scripts/results.py RUN... --experiment NAME --tables` records runs that are evaluated and
writes this page anew. What else lies in this folder: [full bounds](../docs/full-bound.md),
[imitation](../docs/imitation.md), [new experts from few pairs](../docs/few-shot.md),
[older memories](../docs/memories.md), [times](../docs/speed.md).
"""


class Decided(NamedTuple):
    """A claim that an experiment decides.

    Attributes:
        found: verdict and numbers.
        figure: a link to it; nothing where it was not kept.
        seeds: how many, from the fewest to the most of the numbers' rows.
        commands: what made the numbers.
    """

    found: Finding
    figure: str
    seeds: str
    commands: tuple[str, ...]

    @property
    def cells(self) -> list[str]:
        """What the table says, but for the claim."""
        return [f"**{self.found.verdict}**", self.found.numbers, self.figure, self.seeds]


Verdicts = Mapping[int, Decided]
"""By the number of the claim, from 1, those that an experiment decides."""


def write_verdicts(folder: str | Path, rows: Sequence[Row]) -> Path:
    """Write ``folder``/README.md from the rows of its summary; returns its path."""
    path = Path(folder) / "README.md"
    with written_beside(path) as beside:
        beside.write_text(verdicts(path.parent, rows), encoding="utf-8")
    return path


def verdicts(folder: Path, rows: Sequence[Row]) -> str:
    """The page: every claim once, a section for each experiment, the rules."""
    found = sorted(_experiments(folder, rows), key=lambda one: (-len(one[1]), one[0]))
    sections = [_section(experiment, decided) for experiment, decided in found]
    missing = [
        f"Nothing is measured yet on {one}: `{command}`.\n"
        for one, command in COMMANDS.items()
        if one not in (*dict(found), "debug")
    ]
    rules = [f"{n}. **{one.said}:** {one.rule}." for n, one in enumerate(CLAIMS, start=1)]
    return "\n".join([LEAD, _glance(found), *sections, *missing, "## The rules\n", *rules, ""])


def _experiments(folder: Path, rows: Sequence[Row]) -> Iterator[tuple[str, Verdicts]]:
    """Those that decide any claim, by name."""
    for experiment in dict.fromkeys(row.experiment for row in rows):
        if OURS in experiment:
            continue
        if decided := _decided(folder, rows, experiment):
            yield experiment, decided


def _decided(folder: Path, rows: Sequence[Row], experiment: str) -> Verdicts:
    decided = {}
    for number, claim in enumerate(CLAIMS, start=1):
        numbers = Numbers(rows, experiment)
        try:
            found = claim.judge(numbers)
        except NotMeasured:
            continue
        seeds = sorted({row.seeds for row in numbers.used})
        decided[number] = Decided(
            found,
            _figure(folder, numbers, claim.figure),
            str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}",
            tuple(row.command for row in numbers.used),
        )
    return decided


def _glance(found: Sequence[tuple[str, Verdicts]]) -> str:
    """A line for each claim, from the first experiment that decides it."""
    lines = []
    for number, claim in enumerate(CLAIMS, start=1):
        told = [(name, decided[number]) for name, decided in found if number in decided]
        cells = ["not measured", *["" for _ in HEAD]]
        if told:
            name, one = told[0]
            cells = [*one.cells, f"[{name}](#{name})"]
        counts = Counter(other.found.verdict for _, other in told[1:])
        elsewhere = [f"{v} {counts[v]}" for v in (HOLDS, PARTLY, NOT) if counts[v]]
        lines.append([f"{number}. {claim.said}", *cells, ", ".join(elsewhere)])
    head = ["claim", *HEAD, "on", "elsewhere"]
    return table(head, lines, words=len(head)) + "\n"


def _section(experiment: str, decided: Verdicts) -> str:
    """What one experiment says: a line for each claim it decides, the others, the commands."""
    lines = [[f"{n}. {CLAIMS[n - 1].said}", *one.cells] for n, one in decided.items()]
    parts = [f"## {experiment}\n", table(["claim", *HEAD], lines, words=1 + len(HEAD)) + "\n"]
    if rest := [str(n) for n in range(1, len(CLAIMS) + 1) if n not in decided]:
        command = command_for(experiment)
        told = f" `{command}` trains and measures what is missing." if command else ""
        parts.append(f"Not measured: {', '.join(rest)}.{told}\n")
    made = [command for one in decided.values() for command in one.commands]
    return "\n".join([*parts, folded(made), ""])


def _figure(folder: Path, numbers: Numbers, name: str) -> str:
    """A link to the figure where it was kept, or to the table of what was taken in turns."""
    if any(row.experiment == IN_TURNS[0] for row in numbers.used):
        return IN_TURNS_TOLD
    told = name.removesuffix(".png")
    for place in (numbers.experiment, f"{numbers.experiment}-{told}"):
        if (folder / place / name).exists():
            return f"[{told}]({place}/{name})"
    return ""


def command_for(experiment: str) -> str | None:
    """What of `scripts/paper.py` measures an experiment; None where it is not one of its own."""
    if experiment in COMMANDS:
        return COMMANDS[experiment]
    bare, _, steps = experiment.removesuffix("-steps").rpartition("-")
    if not experiment.endswith("-steps"):
        return None
    usual = COMMANDS.get(bare, f"{PAPER} --record results")
    return usual.replace(" --steps 32000", "").replace("--record", f"--steps {steps} --record")
