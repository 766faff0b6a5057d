"""What the results keep of runs beside their means, so that more seeds can be added later.

::

    results/<experiment>/
    ├── runs.jsonl          a run a line: its settings, and what it is worth
    ├── <setting>.csv       curves: step,metric,value,seed (unit: the metric's)
    ├── <exhibit>.csv       numbers behind figures: setting,series,x,metric,value,seed
    └── *.png               the figures of a report
"""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from km_rl.errors import InputError
from km_rl.evaluate.csv_file import number, read_csv, write_csv
from km_rl.evaluate.exhibit import Point
from km_rl.evaluate.report import PICTURES
from km_rl.evaluate.runs import ADDED
from km_rl.files import written_beside
from km_rl.results.scored import Logged, Scored, rounded

RUNS = "runs.jsonl"
CURVE = ("step", "metric", "value", "seed")
EXHIBIT = ("setting", *Point._fields[1:], "seed")
FACTS = ("hardware", "commit", "command")
"""Of how a run was made, that are kept."""
PLACES = ("data_dir", "run_dir")
"""Settings that hold on one machine only."""
MOST_BYTES = 400_000
"""Size of a figure that is kept; a larger one is reduced."""


def read_kept(place: Path) -> list[Scored]:
    """The runs that were recorded in an experiment's folder; none where there are none.

    Raises:
        InputError: a file that cannot be read.
    """
    path = place / RUNS
    if not path.exists():
        return []
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        settings = dict.fromkeys(line["setting"] for line in lines)
        curves = {s: read_curves(place / f"{file_name(s)}.csv") for s in settings}
        exhibits = _exhibits(place)
        return [_kept(line, curves[line["setting"]], exhibits) for line in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"The runs in '{place}' cannot be read ({error!r}): restore the folder from git."
        ) from error


def _kept(
    line: Mapping[str, Any],
    curves: Mapping[int, list[Logged]],
    exhibits: Mapping[tuple[str, int], dict[str, list[Any]]],
) -> Scored:
    setting, seed, name = line["setting"], line["seed"], line["name"]
    config = {**ADDED, **line["config"]}
    run = f"{name}, which is recorded", name, line["kind"], setting, seed, config
    of = line["numbers"], exhibits.get((setting, seed), {}), line["options"], line["commit"]
    return Scored(*run, curves.get(seed, []), *of)


def read_curves(path: Path) -> dict[int, list[Logged]]:
    """The curves in the file of a setting by seed; none where it is no such file.

    Raises:
        InputError: the file cannot be read.
    """
    found: dict[int, list[Logged]] = {}
    for row in _rows(path):
        if row.keys() == set(CURVE):
            point = int(row["step"]), row["metric"], float(row["value"])
            found.setdefault(int(row["seed"]), []).append(point)
    return found


def _exhibits(place: Path) -> dict[tuple[str, int], dict[str, list[Any]]]:
    """By setting and seed, and then by exhibit."""
    found: dict[tuple[str, int], dict[str, list[Any]]] = {}
    for path in sorted(place.glob("*.csv")):
        for row in _rows(path):
            if row.keys() == set(EXHIBIT):
                x = float(row["x"]) if row["x"] else None
                mine = found.setdefault((row["setting"], int(row["seed"])), {})
                point = row["series"], x, row["metric"], float(row["value"])
                mine.setdefault(path.stem, []).append(point)
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    """The lines of a file of numbers; none where there is no file."""
    if not path.exists():
        return []
    return read_csv(path, dict)


def write_kept(place: Path, settings: Mapping[str, Sequence[Scored]]) -> list[Path]:
    """Write the files of all runs but the figures; returns their paths.

    Lines of curves and exhibits that are of none of these runs stay; of these, what they do not
    have themselves goes.

    Raises:
        InputError: the folder cannot be read or written.
    """
    every = [one for scored in settings.values() for one in scored]
    those = {(one.setting, str(one.seed)) for one in every}
    lines: dict[str, list[list[str]]] = {}
    for setting in settings:
        old = _rows(place / f"{file_name(setting)}.csv")
        lines[setting] = [[*row.values()] for row in old if (setting, row["seed"]) not in those]
    shown: dict[str, list[list[str]]] = {}
    mine = dict.fromkeys(name for one in every for name in one.experiments)
    for exhibit in mine | dict.fromkeys(path.stem for path in sorted(place.glob("*.csv"))):
        old = [row for row in _rows(place / f"{exhibit}.csv") if row.keys() == set(EXHIBIT)]
        others = [row for row in old if (row["setting"], row["seed"]) not in those]
        if old or exhibit in mine:
            shown[exhibit] = [[*row.values()] for row in others]
    for one in every:
        for step, metric, value in rounded(one.curves):
            lines[one.setting].append([str(step), metric, number(value), str(one.seed)])
        for exhibit, points in one.experiments.items():
            shown[exhibit] += [_cells(one, *point) for point in points]
    written = [write_csv(place / f"{file_name(s)}.csv", CURVE, rows) for s, rows in lines.items()]
    written += [write_csv(place / f"{name}.csv", EXHIBIT, rows) for name, rows in shown.items()]
    with written_beside(place / RUNS) as beside:
        beside.write_text("".join(json.dumps(_line(one)) + "\n" for one in every))
    return [*written, place / RUNS]


def _cells(one: Scored, series: str, x: float | None, metric: str, value: float) -> list[str]:
    at = "" if x is None else number(x)
    return [one.setting, series, at, metric, number(value), str(one.seed)]


def _line(one: Scored) -> dict[str, Any]:
    config = {name: value for name, value in one.config.items() if name not in PLACES}
    about = one.config.get("about") or {}
    facts = {name: about[name] for name in FACTS if about.get(name)}
    if "command" in facts:
        facts["command"] = shlex.join(bare(facts["command"]))
    return {
        **{"setting": one.setting, "seed": one.seed, "kind": one.kind, "name": one.name},
        "config": {**config, "about": facts},
        **{"numbers": dict(one.numbers), "options": dict(one.options), "commit": one.commit},
    }


def bare(command: str) -> list[str]:
    """A training command without its seed and without what holds on one machine only."""
    kept, words = [], iter(shlex.split(command))
    for word in words:
        flag, equals, _ = word.partition("=")
        flag = flag.replace("_", "-")
        if flag not in ("--seed", "--name", "--run-dir", "--data-dir"):
            kept.append(f"scripts/{Path(word).name}" if word.endswith(".py") else word)
            continue
        if not equals:
            next(words, None)
        if flag == "--data-dir":
            kept += [flag, "DIR"]
    return kept


def file_name(setting: str) -> str:
    """A setting as the name of a file: ``km, slots=16`` is ``km-slots-16``."""
    return re.sub(r"[^\w.]+", "-", setting)


def copy_pictures(folder: Path, place: Path) -> list[Path]:
    """The figures of a report, each made smaller than `MOST_BYTES`; returns the copies."""
    copies = []
    for picture in sorted((folder / PICTURES).glob("*.png")):
        png = picture.read_bytes()
        copies.append(place / picture.name)
        with written_beside(copies[-1]) as beside:
            beside.write_bytes(png if len(png) < MOST_BYTES else _reduced(png))
    return copies


def _reduced(png: bytes) -> bytes:
    """The same picture in 64 colours, and at half the size until it is small enough."""
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    while True:
        file = io.BytesIO()
        image.quantize(64).save(file, "png", optimize=True)
        if file.tell() < MOST_BYTES:
            return file.getvalue()
        image = image.reduce(2)
