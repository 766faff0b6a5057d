"""results/summary.csv: the one table behind every number in the README.

A line is one metric of one setting of one experiment, and says what produced it::

    experiment,setting,metric,value,low,high,seeds,hardware,command,commit

``command`` is a name there; commands.csv has the command of each name, for one often makes
hundreds of lines.

``low`` and ``high`` are the ends of a 95% interval across seeds, empty where there is one seed.
Recording a metric again replaces its line; the lines are sorted, so that a diff shows what moved.
"""

from __future__ import annotations

import csv
import hashlib
import math
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from km_rl.errors import InputError
from km_rl.evaluate.csv_file import number, write_csv
from km_rl.files import check_place, locked, make_folder
from km_rl.train.provenance import commit_to_record

SUMMARY, COMMANDS = "summary.csv", "commands.csv"
NAMED = ("name", "command")
WAIT = 60.0
"""Seconds for another process to be done with the summary."""
SEEDS = re.compile(r"--seed (\S+)")
FILES = (".npz", ".safetensors")
"""Endings of files that a command names without their folder."""


class Row(NamedTuple):
    """A line of the summary; the fields are its columns.

    Attributes:
        experiment: lower-case letters, digits and dashes; the name of the curves' folder too.
        setting: what is compared within the experiment: a model, or the sizes of a benchmark.
        metric: with its unit at the end, as in ``bound_nats``.
        value: the mean over seeds.
        low, high: the 95% interval across seeds; both None where there is one seed.
        seeds: how many.
        command: reproduces the number, from the root of the repository.
        commit: of the code that ran; several are joined by a plus.
    """

    experiment: str
    setting: str
    metric: str
    value: float
    low: float | None
    high: float | None
    seeds: int
    hardware: str
    command: str
    commit: str


def read(folder: str | Path) -> list[Row]:
    """The rows of ``folder``/summary.csv in the order of the file; none where there is no file.

    Raises:
        InputError: a file cannot be read, or a line of it is not a `Row`.
    """
    path = Path(folder) / SUMMARY
    commands = dict(_lines(path.parent / COMMANDS, NAMED))
    return [
        _parsed(path, number, line, commands)
        for number, line in enumerate(_lines(path, Row._fields), start=2)
    ]


def _lines(path: Path, header: Sequence[str]) -> list[list[str]]:
    """What stands below the header of a file; nothing where there is no file."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            first, *lines = list(csv.reader(file)) or [[]]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"'{path}' cannot be read ({error}): restore it from git.") from error
    if first != list(header) or any(len(line) != len(header) for line in lines):
        raise InputError(
            f"'{path}' starts with {','.join(first)!r} where {','.join(header)!r} is expected, "
            f"with as many in each line: restore it from git."
        )
    return lines


def _parsed(path: Path, number: int, line: Sequence[str], commands: Mapping[str, str]) -> Row:
    try:
        experiment, setting, metric, value, low, high, seeds, hardware, named, commit = line
        if named not in commands:
            raise ValueError(f"{COMMANDS} has no command '{named}'")
        return Row(
            experiment,
            setting,
            metric,
            float(value),
            float(low) if low else None,
            float(high) if high else None,
            int(seeds),
            hardware,
            commands[named],
            commit,
        )
    except ValueError as error:
        raise InputError(
            f"Line {number} of '{path}' is not a result ({error}): restore the file from git."
        ) from error


def command_of(script: str, arguments: Sequence[str]) -> str:
    """The command to record: without what holds on one machine only."""
    kept, words = ["python", f"scripts/{script}.py"], iter(arguments)
    for word in words:
        flag = word.partition("=")[0].replace("_", "-")
        if flag in ("--data-dir", "--run-dir"):
            if "=" not in word:
                next(words, None)
            kept += [flag, "DIR"] if flag == "--data-dir" else []
        else:
            name, equals, value = word.rpartition("=") if word.startswith("--") else ("", "", word)
            place = value.endswith(FILES) or "--record" in (name, kept[-1])
            kept.append(name + equals + ((Path(value).name or value) if place else value))
    return shlex.join(kept)


def record(rows: Iterable[Row], folder: str | Path) -> Path:
    """Put rows into ``folder``/summary.csv, in place of those of the same names.

    Returns:
        The path of the summary; it is replaced as a whole or not at all.

    Raises:
        InputError: a row with a number that is not finite, a name that cannot be one, or nothing
            to say how it was produced, or of fewer seeds or other demonstrations than the one it
            replaces; a folder that cannot be written, or to which another process writes.
    """
    new, folder = list(rows), Path(folder)
    make_folder(folder)
    with locked(folder, wait=WAIT):
        known = read(folder)
        check(new, known)
        merged = {row[:3]: row for row in [*known, *new]}
        rows = [merged[names] for names in sorted(merged)]
        _write_commands([*known, *rows], folder)  # a name in the summary always has its command
        named = (row._replace(command=name_of(row.command)) for row in rows)
        path = write_csv(folder / SUMMARY, Row._fields, (map(_cell, row) for row in named))
        _write_commands(rows, folder)
        return path


def _write_commands(rows: Iterable[Row], folder: Path) -> None:
    commands = {name_of(row.command): row.command for row in rows}
    write_csv(folder / COMMANDS, NAMED, sorted(commands.items()))


def name_of(command: str) -> str:
    """What stands for a command in the summary: the same wherever it was recorded."""
    return hashlib.sha256(command.encode()).hexdigest()[:8]


def before_recording(
    results: str | Path, seeds: int = 0, replaces: Callable[[Row], bool] = lambda row: False
) -> str:
    """Refuse what could not be recorded, before hours go into it.

    Args:
        seeds: of how many the numbers will be, where they are recorded all at once.
        replaces: which rows they take the place of; none by default.

    Returns:
        The commit that the numbers are to be of.

    Raises:
        InputError: code that is not of a checkout, results that cannot be read or written, or such
            rows of more seeds.
    """
    code = commit_to_record()
    check_place(Path(results) / SUMMARY)
    for row in read(results):
        if row.seeds > seeds and replaces(row):
            raise InputError(
                f"'{results}' holds {row.seeds} seeds of {row.experiment}, {row.setting} where "
                f"{seeds} would take their place: give as many, or another --record."
            )
    return code


def check(new: Iterable[Row], known: Iterable[Row]) -> None:
    """Refuse rows that cannot be recorded; before anything else of theirs is written.

    Raises:
        InputError: as `record`.
    """
    recorded = {row[:3]: row for row in known}
    for row in new:
        _check(row)
        before = recorded.get(row[:3], row)
        named = f"{row.experiment}, {row.setting}, {row.metric}"
        if before.seeds > row.seeds:
            raise InputError(
                f"The result '{named}' is recorded of {before.seeds} seeds where {row.seeds} "
                f"would take its place: give as many, or delete its line in {SUMMARY} first."
            )
        theirs, mine = (_demos(one.command) for one in (before, row))
        if theirs != mine:
            raise InputError(
                f"The result '{named}' is recorded of {theirs} where {mine} would take its "
                f"place: record in another folder, or delete its line in {SUMMARY} first."
            )


def _demos(command: str) -> str:
    """Whose demonstrations a recorded command learns from, in words."""
    return " and ".join(given(command, "--demos")) or "the shipped demonstrations"


def given(command: str, flag: str) -> list[str]:
    """What a recorded command, or several of them, gives for a flag."""
    words = shlex.split(command)
    found = {after for word, after in pairwise(words) if word == flag}
    found |= {word.partition("=")[2] for word in words if word.startswith(f"{flag}=")}
    return sorted(found)


def _check(row: Row) -> None:
    check_name(row.experiment)
    named = f"{row.experiment}, {row.setting}, {row.metric}"
    for field in ("setting", "metric", "hardware", "command", "commit"):
        if not getattr(row, field):
            raise InputError(
                f"The result '{named}' has no {field}: give all of setting, metric, hardware, "
                f"command and commit."
            )
    numbers = [x for x in (row.value, row.low, row.high) if x is not None]
    if not all(map(math.isfinite, numbers)):
        raise InputError(
            f"The result '{named}' is {row.value} from {row.low} to {row.high}: finite numbers "
            f"are expected; look at what was measured."
        )


def span(seeds: Sequence[int]) -> str:
    """Seeds in a command that is to be given once for each: 0..4, or 0,3."""
    consecutive = len(seeds) > 1 and list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}..{seeds[-1]}" if consecutive else ",".join(map(str, seeds))


def spanned(seeds: str) -> list[int]:
    """The seeds that `span` tells of."""
    ends = seeds.split("..")
    if len(ends) == 2:
        return list(range(int(ends[0]), int(ends[1]) + 1))
    return [int(seed) for seed in seeds.split(",")]


def told_once(made: Iterable[str]) -> list[str]:
    """The commands of some rows, each once and none of whose seeds are among those of another."""
    commands = list(dict.fromkeys(one for command in made for one in command.split(" && ")))
    return [one for one in commands if not any(_within(one, other) for other in commands)]


def _within(one: str, other: str) -> bool:
    """Whether one is the other but for fewer seeds."""
    mine, more = SEEDS.search(one), SEEDS.search(other)
    if mine is None or more is None or SEEDS.sub("", one) != SEEDS.sub("", other):
        return False
    return set(spanned(mine[1])) < set(spanned(more[1]))


def check_name(experiment: str) -> None:
    """Refuse what cannot be the name of an experiment with an `InputError`."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", experiment):
        raise InputError(
            f"'{experiment}' cannot be the name of an experiment: give lower-case letters, "
            f"digits and single dashes, such as omniglot-images-dynamic."
        )


def _cell(value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return number(value)
