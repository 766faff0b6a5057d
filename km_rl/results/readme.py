"""The tables of the README and of docs/, written from results/summary.csv between markers.

``<!-- results: EXPERIMENT -->`` opens a table and ``<!-- /results -->`` closes it; whatever stands
between them is replaced. ``<!-- results: EXPERIMENT of SETTING; SETTING -->`` has no others, and
``<!-- results: DATA-by-classes -->`` has the full bounds of `full_bound`, a row for each number of
classes, and ``<!-- results: DATA-by-weight -->`` what the machine stores there by the weight of
KL(M).
Under each table stands what produced it: seeds and, folded up, hardware, commits and commands.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

from km_rl.errors import InputError
from km_rl.evaluate.table import BIT_KEYS, COLUMNS, columns
from km_rl.files import written_beside
from km_rl.results.full_bound import NAME, spoken
from km_rl.results.layouts import BY_CLASSES, BY_WEIGHT, LABELS, NOTES, RETURNS, Pivot, pivot_of
from km_rl.results.spread import FEWEST
from km_rl.results.summary import Row, told_once
from km_rl.train.provenance import joined_once

OPEN, CLOSE = "<!-- results: {} -->", "<!-- /results -->"
TABLE = re.compile(
    r"<!-- results: ((\S+)(?: of ([^\n]+?))?) -->(?:(?!<!-- results: ).)*?<!-- /results -->", re.S
)
BY = {"-by-classes": BY_CLASSES, "-by-weight": BY_WEIGHT}
"""What ends a marker of `_by_classes`, and the columns."""
FOLDED = """<details><summary>{}</summary>

{}```sh
{}
```

</details>"""


def write_tables(readme: str | Path, rows: Sequence[Row]) -> Path:
    """Rewrite the tables of a Markdown file; returns its path.

    Raises:
        InputError: the file cannot be read, or as `with_tables`.
    """
    readme = Path(readme)
    try:
        text = readme.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"'{readme}' cannot be read ({error}): name Markdown files with --pages."
        ) from error
    made = with_tables(text, rows)
    if made != text:
        with written_beside(readme) as beside:
            beside.write_text(made, encoding="utf-8")
    return readme


def with_tables(text: str, rows: Sequence[Row]) -> str:
    """The text with the table of every marker as the rows have it.

    Raises:
        InputError: a marker that is not closed, or names what has no results.
    """
    opened, closed = text.count(OPEN.split("{")[0]), len(TABLE.findall(text))
    if opened != closed or text.count(CLOSE) != closed:
        raise InputError(
            f"{opened} markers '{OPEN.format('EXPERIMENT')}' were found and {closed} of them are "
            f"closed: end each with '{CLOSE}'."
        )
    return TABLE.sub(lambda found: _block(found[1], found[2], found[3], rows), text)


def _block(marker: str, experiment: str, settings: str | None, rows: Sequence[Row]) -> str:
    by = next((end for end in BY if experiment.endswith(end)), None)
    data = experiment.removesuffix(by) if by else None
    shown = [
        row for row in rows if row.experiment == experiment or _is_full_bound(row.experiment, data)
    ]
    if not shown:
        known = ", ".join(dict.fromkeys(row.experiment for row in rows)) or "none"
        raise InputError(
            f"'{experiment}' has no results (those that have: {known}): correct the marker, "
            f"or record its runs with scripts/results.py."
        )
    if settings is not None:
        shown = _of(settings.split("; "), shown)
    body = _by_classes(shown, BY[by]) if by else _form(shown)(shown)
    return "\n\n".join([OPEN.format(marker), *body, CLOSE])


def _label(setting: str) -> str:
    """As tables call it."""
    return LABELS.get(setting, setting)


def _is_full_bound(experiment: str, data: str | None) -> bool:
    """Whether it is one of those of this data set, with the usual steps."""
    named = NAME.fullmatch(experiment)
    return named is not None and named["data"] == data


def _by_classes(rows: Sequence[Row], columns: Mapping[str, tuple[str, str]]) -> list[str]:
    """A row for each number of classes: settings' metrics, and what produced them."""
    by_name = {row[:3]: row for row in rows}
    cells, told = [], []
    for experiment in sorted({row.experiment for row in rows}, key=_order):
        found = [by_name.get((experiment, *whose)) for whose in columns.values()]
        named = NAME.fullmatch(experiment)
        assert named is not None, "one of the full bounds"
        of = spoken(named["classes"])
        trained = _one_of_each_model(found)
        seeds = ", ".join(str(row.seeds) for row in trained)
        cells.append([of, *(_value(row, 1) for row in found), seeds])
        told += [row._replace(setting=f"{_label(row.setting)} of {of}") for row in trained]
    head = ["in an episode", *columns, "seeds"]
    said = ["Nats per image of test images, lower is better.", *_intervals(told)]
    return [table(head, cells, words=1), " ".join(said), _made_by(told)]


def _one_of_each_model(rows: Sequence[Row | None]) -> list[Row]:
    """The first row of each setting that was trained, and is not one beside another."""
    trained: dict[str, Row] = {}
    for row in rows:
        if row is not None and "-under-" not in row.setting:
            trained.setdefault(row.setting, row)
    return list(trained.values())


def _of(settings: Sequence[str], rows: Sequence[Row]) -> list[Row]:
    """The rows of these settings, each of which there is."""
    known = dict.fromkeys(row.setting for row in rows)
    for setting in settings:
        if setting not in known:
            raise InputError(
                f"'{rows[0].experiment}' has no setting '{setting}': name some of "
                f"{'; '.join(known)} in the marker."
            )
    return [row for row in rows if row.setting in settings]


def _form(rows: Sequence[Row]) -> Callable[[Sequence[Row]], list[str]]:
    """How rows are laid out, by what they measure."""
    metrics = {row.metric for row in rows}
    if (pivot := pivot_of(rows[0].experiment)) is not None:
        return partial(_pivot, pivot=pivot)
    if "return" in metrics:
        return _returns
    return _bounds if metrics & set(COLUMNS.values()) else _values


def _returns(rows: Sequence[Row]) -> list[str]:
    """A row for each setting of an imitation, the best first, and what produced them."""
    by_name = {(row.setting, row.metric): row for row in rows}
    ruling = sorted((r for r in rows if r.metric == "return"), key=lambda r: -r.value)
    memory = by_name.get(("kanerva", "return"))
    cells = []
    for setting, seeds in ((row.setting, row.seeds) for row in ruling):
        found = {m: by_name.get((setting, m)) for m in [*RETURNS.values(), "training_seconds"]}
        if memory is None or min(seeds, memory.seeds) < FEWEST:
            found["probability_kanerva_better"] = None
        shown = [_spread(found["return"]), _spread(found["return_iqm"])]
        shown += [_whole(found["late_return"]), _whole(found["rollout_return"])]
        shown += [_share(found["share_of_expert"])]
        shown += [_value(found["probability_kanerva_better"], 2)]
        cells.append([setting, *shown, str(seeds), _minutes(found["training_seconds"])])
    head, *cells = _filled([["", *RETURNS, "seeds", "minutes"], *cells])
    told = ["True return at the end, mean over seeds [95% interval, Student's t]."]
    told += [note for column, note in NOTES.items() if column in head]
    return [table(head, cells, words=1), " ".join([*told, _provenance(ruling)])]


def _filled(lines: list[list[str]]) -> list[list[str]]:
    """The lines of a table without its empty columns; the first is the head."""
    kept = [i for i in range(len(lines[0])) if not i or any(line[i] for line in lines[1:])]
    return [[line[i] for i in kept] for line in lines]


def _spread(row: Row | None) -> str:
    if row is None or row.low is None or row.high is None:
        return "" if row is None else f"{row.value:,.0f}"
    return f"{row.value:,.0f} [{row.low:,.0f}, {row.high:,.0f}]"


def _whole(row: Row | None) -> str:
    return "" if row is None else f"{row.value:,.0f}"


def _share(row: Row | None) -> str:
    return "" if row is None else f"{row.value:.0%}"


def _minutes(row: Row | None) -> str:
    return "" if row is None else f"{row.value / 60:.1f}"


def _bounds(rows: Sequence[Row]) -> list[str]:
    """A row for each setting and a column for each term, and what produced them."""
    settings = sorted({row.setting for row in rows}, key=_order)
    by_name = {(row.setting, row.metric): row for row in rows}
    shown = columns(row.metric for row in rows)
    cells = [
        [_label(setting)]
        + [_value(by_name.get((setting, metric)), _decimals(metric)) for metric in shown.values()]
        for setting in settings
    ]
    ruling = [row for s in settings if (row := by_name.get((s, "bound_nats")))]
    unit = "Nats" if shown is COLUMNS else "Bits per dimension (bits/dim) and nats"
    told = f"{unit} per image of {_test_set(rows)}, lower is better."
    if any(" under " in cell for cell, *_ in cells):
        told += " Under: by how much, in the unit of its column, seed by seed."
    return [table(["", *shown], cells, words=1), f"{told} {_provenance(ruling)}"]


def _test_set(rows: Sequence[Row]) -> str:
    """How many images it has, where the results say so; in episodes of few classes one may be in
    several."""
    sizes = {round(row.value) for row in rows if row.metric == "test_images"}
    if len(sizes) != 1:
        return "the test set"
    if any("--classes " in row.command for row in rows):
        return f"{sizes.pop():,} draws of test images, each of which may come in several episodes"
    return f"a test set of {sizes.pop():,} images"


def _decimals(metric: str) -> int:
    return 3 if metric in BIT_KEYS else 1


def _pivot(rows: Sequence[Row], pivot: Pivot) -> list[str]:
    """A row for each setting and a column for each metric, and what produced them."""
    told = [row for row in rows if row.metric in pivot.columns.values() and _tells(row)]
    by_name = {(row.setting, row.metric): row for row in told}
    cells = [
        [_label(setting)]
        + [_value(by_name.get((setting, name)), pivot.decimals) for name in pivot.columns.values()]
        for setting in sorted({row.setting for row in told}, key=_order)
    ]
    head, *cells = _filled([["", *pivot.columns], *cells])
    said = [note for column, note in pivot.notes.items() if column in head]
    names = {metric: column for column, metric in pivot.columns.items()}
    return [table(head, cells, words=1), " ".join([*said, _provenance(told, names)])]


def _tells(row: Row) -> bool:
    """Whether a row is of enough seeds: a probability of fewer is none."""
    return row.metric != RETURNS["P(improvement)"] or row.seeds >= FEWEST


def _values(rows: Sequence[Row]) -> list[str]:
    """A row for each metric of each setting, and what produced them."""
    cells = [[row.setting, row.metric, _value(row, 2)] for row in rows]
    return [table(["setting", "metric", "value"], cells, words=2), _provenance(rows)]


def _order(setting: str) -> tuple[int, list[str | float], str]:
    """Known ones first, numbers in the others by their size."""
    known = list(LABELS)
    parts = re.split(r"(\d+(?:\.\d+)?)", setting)  # words and numbers by turns
    sized = [float(part) if place % 2 else part for place, part in enumerate(parts)]
    return known.index(setting) if setting in known else len(known), sized, setting


def _value(row: Row | None, decimals: int) -> str:
    """The value, with half its interval's length where seeds differ; empty where it is None.

    An interval that is cut is told itself. A number of many digits has fewer ``decimals``, so that
    four figures are shown.
    """
    if row is None:
        return ""
    decimals = max(0, min(decimals, 3 - int(math.log10(max(1.0, abs(row.value))))))
    value = f"{round(row.value, decimals) + 0.0:.{decimals}f}"  # + 0.0: no minus before a zero
    if row.low is None or row.high is None or row.high == row.low:
        return value
    if _is_cut(row):
        return f"{value} [{row.low:.{decimals}f}, {row.high:.{decimals}f}]"
    return f"{value} ± {(row.high - row.low) / 2:.{decimals}f}"


def _is_cut(row: Row) -> bool:
    """Whether the interval of a probability ends at 0 or 1, where it would have gone on."""
    return row.metric == RETURNS["P(improvement)"] and (row.low == 0 or row.high == 1)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> str:
    """In Markdown; all columns but so many first ones are numbers, to the right."""
    rule = ["---" if column < words else "--:" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *rows])


def _provenance(rows: Sequence[Row], names: Mapping[str, str] = MappingProxyType({})) -> str:
    """Seeds and `_made_by`; of each setting where they differ.

    Where those of a setting's metrics differ, their ``names`` are told too.
    """
    seeds = _alike(rows, names, lambda row: (_seeds(row),), lambda some: _seeds(some[0]))
    return " ".join([*_intervals(rows), *seeds]) + f"\n\n{_made_by(rows, names)}"


def _intervals(rows: Sequence[Row]) -> list[str]:
    """What signs stand for in a table of these."""
    told = []
    if any(row.low is not None and not row.metric.startswith("return") for row in rows):
        told.append("± is half the 95% interval over seeds (Student's t).")
    if any(_is_cut(row) for row in rows):
        told.append("[ ] is that interval, cut at 0 or 1.")
    return told


def _made_by(rows: Sequence[Row], names: Mapping[str, str] = MappingProxyType({})) -> str:
    """Hardware, commits and commands, folded up."""
    made = _alike(rows, names, lambda row: (_seeds(row), row.hardware), _made)
    return folded([row.command for row in rows], made)


def _alike(
    rows: Sequence[Row],
    names: Mapping[str, str],
    by: Callable[[Row], tuple[str, ...]],
    tell: Callable[[Sequence[Row]], str],
) -> list[str]:
    """A sentence of those settings, or of those of their metrics, of which the same is to tell."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((_label(row.setting), *by(row)), []).append(row)
    of_label = Counter(label for label, *_ in groups)
    told: dict[str, list[str]] = {}
    for (label, *_), some in groups.items():
        mine = {row.metric for row in some}
        of = "; ".join(name for metric, name in names.items() if metric in mine)
        whose = f"{label} ({of})" if of_label[label] > 1 and of else label
        told.setdefault(tell(some), []).append(whose)
    if len(told) == 1:
        return [f"{sentence}." for sentence in told]
    return [f"{', '.join(labels)}: {sentence}." for sentence, labels in told.items()]


def _seeds(row: Row) -> str:
    return "1 seed" if row.seeds == 1 else f"{row.seeds} seeds"


def _made(some: Sequence[Row]) -> str:
    """On what, and by the code of which commits."""
    commits = joined_once("+", (row.commit for row in some)).split("+")
    joined = "+".join(f"`{_short(commit)}`" for commit in commits)
    hardware = re.sub(r"\b1 threads", "1 thread", some[0].hardware)
    return f"{_seeds(some[0])}, {hardware}, commit {joined}"


def folded(commands: Sequence[str], made: Sequence[str] = ()) -> str:
    """Commands folded up, each once; several are joined by ``&&`` where one row needs them all.

    Args:
        made: sentences to stand above them.
    """
    kept = told_once(commands)
    words = " ".join(kept).split()
    short = ["0..2 for 0, 1 and 2, a command each"] * any(".." in word for word in words)
    listed = next((word for word in words if re.fullmatch(r"\d+(,\d+)+", word)), None)
    short += [f"{listed} for each of these, a command each"] * (listed is not None)
    short += ["DIR for the folder of the data"] * ("DIR" in words)
    told = f" ({', '.join(short)})" if short else ""
    above = f"{' '.join(made)}\n\n" if made else ""
    title = "Hardware, commits and commands" if made else "Commands"
    return FOLDED.format(f"{title}{told}", above, "\n".join(kept))


def _short(commit: str) -> str:
    """Ten digits are enough to find a commit; whether it was changed is kept."""
    digits, dash, dirty = commit.partition("-")
    return f"{digits[:10]}{dash}{dirty}"
