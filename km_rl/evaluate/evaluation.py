"""evaluate.json: what a report measured, of which weights, with what settings and by which code.

``models`` holds for each run its `Score`, the ``digest`` of its weights and, under
``experiments``, the numbers behind figures: ``{exhibit: [[series, x, metric, value], ...]}``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from km_rl.evaluate.exhibit import Exhibit, measured
from km_rl.evaluate.runs import Run, variants
from km_rl.evaluate.table import Score, gap

EVALUATION = "evaluate.json"
ABLATIONS = "ablations"
"""Where in the first machine's folder the report of its variants lies, beside that of rivals."""


class Made(NamedTuple):
    """How an evaluation is made.

    Attributes:
        commit: of the code, if it is known.
        settings: of `report`, and a digest of the data.
    """

    commit: str | None
    settings: Mapping[str, int | str | None]


def place_of(runs: Sequence[Run]) -> Path:
    """The folder of the report of these runs."""
    folder = runs[0].folder
    return folder / ABLATIONS if variants(runs) else folder


def recorded(
    runs: Sequence[Run],
    scores: Sequence[Score],
    facts: Sequence[tuple[str, str]],
    shown: Sequence[Exhibit],
    made: Made,
) -> dict[str, Any]:
    """What evaluate.json holds."""
    models = []
    for run, one in zip(runs, scores, strict=True):
        own = {"model": one.label, "run": _beside(run, runs[0]), "digest": run.digest}
        cost = {"images": one.images, "parameters": one.parameters, "seconds": one.seconds}
        cost |= {"test_images": one.test_images}
        experiments = {"experiments": measured(one.label, shown)}
        models.append({**own, **one.nats, **one.bits, **cost, **experiments})
    about = {**made._asdict(), "conditions": dict(facts)}
    return {**about, "models": models, "gap_nats": gap(scores)}


def _beside(run: Run, first: Run) -> str:
    """A run's folder as the way there from the first's, which may be moved together."""
    return os.path.relpath(run.folder, first.folder)


def is_there(runs: Sequence[Run], made: Made) -> bool:
    """Whether these runs, with these weights, have been evaluated in that very way.

    Not by code that was changed: nobody knows how.
    """
    if made.commit is None or made.commit.endswith("-dirty"):
        return False
    held = _held(runs)
    return (
        held is not None
        and made == (held["commit"], held["settings"])
        and _those(held) == [(_beside(run, runs[0]), run.digest) for run in runs]
    )


def says_more(runs: Sequence[Run], made: Made) -> bool:
    """Whether these weights have been evaluated thoroughly, where less is asked for now."""
    held = _held(runs)
    if held is None or made.settings["thorough"] or not held["settings"].get("thorough"):
        return False
    return {r.digest for r in runs} <= {digest for _, digest in _those(held)}


def _held(runs: Sequence[Run]) -> dict[str, Any] | None:
    """The evaluation that is there, if it is a whole one."""
    try:
        held = json.loads((place_of(runs) / EVALUATION).read_text())
        _those(held), held["commit"], held["settings"].get
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return held


def _those(held: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["run"], one["digest"]) for one in held["models"]]
