"""report.html: what one or several runs have come to, on one page that needs nothing else.

It is written into the first run's folder (a machine's before its rivals', a VAE's last)::

    runs/<name>/
    ├── report.html      the table, the conditions, the published figures and every picture
    ├── evaluate.json    the same numbers, unrounded, see `evaluation`
    ├── figures/         the same pictures, and a CSV of the numbers behind each
    └── ablations/       the same three of machines that differ in a part
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from km_rl.core.episodic import EpisodicModel
from km_rl.core.prior import MemoryPrior
from km_rl.data import Splits, load
from km_rl.errors import InputError
from km_rl.evaluate import page
from km_rl.evaluate.caveats import published, what_is_free
from km_rl.evaluate.contents import exhibits, experiments
from km_rl.evaluate.evaluation import EVALUATION, Made, is_there, place_of, recorded, says_more
from km_rl.evaluate.exhibit import Exhibit, write_points
from km_rl.evaluate.figures import png
from km_rl.evaluate.page import Row
from km_rl.evaluate.runs import Run, read_runs, variants
from km_rl.evaluate.table import (
    Score,
    cells,
    columns,
    score,
    sentences,
    text_table,
    worth,
)
from km_rl.files import written_beside

PAGE = "report.html"
PICTURES = "figures"


def report(
    folders: Sequence[str | Path],
    *,
    data_dir: str | Path | None = None,
    passes: int = 4,
    limit: int | None = None,
    seed: int = 0,
    tell: Callable[[str], object] | None = None,
    thorough: bool = False,
    commit: str | None = None,
    anew: bool = True,
) -> Path:
    """Evaluate runs on their test set and write the report beside the first one's weights.

    Args:
        folders: run folders, in any order.
        data_dir: where the data lie; by default where they lay in training, if that place is
            still there, or else as `load` finds them.
        passes: how often the test set is gone through, see `bound`.
        limit: use only so many test images.
        seed: of the table. Figures and experiments, whose episodes all runs share, add to it that
            of the first run's training, so that an interval over seeds holds their draw too.
        tell: is given the table as text as soon as it is known.
        thorough: make the paper's experiments too, which takes minutes.
        commit: of the code that evaluates, to be kept with the numbers.
        anew: evaluate even where `is_there`, or where what is there `says_more`.

    Returns:
        The path of report.html.

    Raises:
        InputError: runs that cannot be read or compared, data that are not found, or a folder
            that cannot be written.
    """
    runs = read_runs(folders)
    data = _data(runs, data_dir)
    settings = {"passes": passes, "limit": limit, "seed": seed, "thorough": thorough}
    made = Made(commit, {**settings, "data": data.digest})
    path = place_of(runs) / PAGE
    if not anew and is_there(runs, made):
        if tell is not None:
            tell(f"{path} is there, of the same weights, with these settings and by this commit.")
        return path
    if not anew and says_more(runs, made):
        return path
    test = data.test
    scores = [score(run, test, seed=seed, passes=passes, limit=limit) for run in runs]
    unfinished = [run.unfinished for run in runs if run.unfinished]
    if tell is not None:
        tell("\n".join([text_table(scores), *unfinished]))
        if thorough and runs[0].machine is None and not variants(runs):
            tell("No run is a machine: what is shown of its memory alone is left out.")
    facts = _conditions(runs, scores[0].test_images, passes, seed)
    if unfinished:
        facts = [*facts, ("unfinished", " ".join(unfinished))]
    shown = exhibits(runs, test, seed + runs[0].seed)
    if thorough:
        shown += experiments(runs, scores, data, seed + runs[0].seed, limit)
    return _write(runs, scores, facts, shown, made)


def _data(runs: Sequence[Run], data_dir: str | Path | None) -> Splits:
    conditions = runs[0].conditions
    recorded = runs[0].config.get("data_dir")
    if data_dir is None and recorded and Path(recorded).exists():
        data_dir = recorded
    data = load(conditions.dataset, data_dir, conditions.split)
    shape = tuple(data.test.images.shape[1:])
    for run in runs:
        expected = tuple(run.model.spec["image_shape"])
        if shape != expected:
            raise InputError(
                f"'{run.folder}' holds a model of images of shape {expected} where "
                f"{conditions.dataset} has {shape}: give another run."
            )
    return data


def _write(
    runs: Sequence[Run],
    scores: Sequence[Score],
    facts: Sequence[tuple[str, str]],
    shown: Sequence[Exhibit],
    made: Made,
) -> Path:
    """Write the whole report, or leave the old one.

    evaluate.json, by which `is_there` knows it, takes its place last.
    """
    _check_finite(scores, shown)
    folder = place_of(runs)
    pictures = {one.name: png(one.figure) for one in shown}
    sections = [
        page.figure(one.title, one.look_for, pictures[one.name], one.photos) for one in shown
    ]
    html = page.page(_title(runs), [*_head(runs, scores, facts), *sections, _foot(runs)])
    try:
        (folder / PICTURES).mkdir(parents=True, exist_ok=True)
        old = {path for x in (".png", ".csv") for path in (folder / PICTURES).glob(f"[!.]*{x}")}
        with ExitStack() as stack:  # all are written before the first takes its place

            def beside(path: Path) -> Path:
                old.discard(path)
                return stack.enter_context(written_beside(path))

            numbers = recorded(runs, scores, facts, shown, made)
            beside(folder / EVALUATION).write_text(json.dumps(numbers, indent=1) + "\n")
            beside(folder / PAGE).write_text(html)
            for name, content in pictures.items():
                beside(folder / PICTURES / f"{name}.png").write_bytes(content)
            for one in shown:
                if one.points:
                    write_points(beside(folder / PICTURES / f"{one.name}.csv"), one.points)
        for path in old:
            path.unlink()
    except OSError as error:
        raise InputError(
            f"The report cannot be written to '{folder}' ({error.strerror}): copy the run to a "
            f"folder you may write to."
        ) from error
    return folder / PAGE


def _check_finite(scores: Sequence[Score], shown: Sequence[Exhibit]) -> None:
    """Before the report that is there is touched."""
    values = [(f"{one.label}'s {key}", nats) for one in scores for key, nats in one.nats.items()]
    for one in shown:
        values += [(f"{p.label}'s {p.metric} in {one.name}", p.value) for p in one.points]
    for told, value in values:
        if not math.isfinite(value):
            raise InputError(
                f"{told} is {value} where a finite number is expected: the training went wrong, "
                f"so train another run with a lower --learning-rate."
            )


def _conditions(runs: Sequence[Run], images: int, passes: int, seed: int) -> list[tuple[str, str]]:
    """Everything that a number of this report depends on."""
    conditions = runs[0].conditions
    T = conditions.episode_length
    named = "any class" if conditions.classes is None else f"{conditions.classes} classes"
    facts = [
        ("data", f"{NAMES.get(conditions.dataset, conditions.dataset)}, split {conditions.split}"),
        ("binarisation", conditions.binarisation),
        ("test images", f"{images:,}, {passes} pass{'es' * (passes > 1)}, seed {seed}"),
        ("episodes", f"T = {T} images of {named}"),
        ("figures and experiments", f"seed {seed + runs[0].seed}"),
    ]
    for run in runs:
        if run.episodic is not None:
            facts.append((f"{run.label}'s memory", _memory(run, run.episodic)))
        about = run.config.get("about") or {}
        kept = {"on": about.get("hardware"), "commit": about.get("commit")}
        trained = [f"{run.folder}", *(f"{name} {fact}" for name, fact in kept.items() if fact)]
        facts.append((f"{run.label}'s training", ", ".join(trained)))
    return facts


def _memory(run: Run, model: EpisodicModel[Any]) -> str:
    size = f"K x C = {model.spec['slots']} x {model.spec['code']}"
    if (S := getattr(model, "key_width", None)) is not None:
        size += f", keys of S = {S}"
    if not model.prices_memory:
        return f"{size}; a function of the episode that has no KL: what it holds is not counted"
    prior: MemoryPrior = model.prior  # type: ignore[assignment]
    weight = run.config.get("memory_kl_weight", 0)
    counted = f"counted with weight {weight:g} in training" if weight else "not trained on"
    drawn = ", drawn in training" if run.config.get("sample_memory") else ""
    return (
        f"{size}, noise variance {prior.noise_var.item():.3g}; "
        f"M read at its mean unless said otherwise{drawn}; "
        f"KL(M) not in the bound and {counted}"
    )


NAMES = {
    "km": "Kanerva Machine",
    "dkm": "Dynamic Kanerva Machine",
    "dnc": "DNC",
    "lrua": "LRUA",
    "vae": "VAE",
    "omniglot": "Omniglot",
    "cifar10": "CIFAR-10",
}
DENSITY = (
    "Pixels have a density here, so nats are counted from that of a uniform one and may be below "
    "0; in bits per dimension that uniform one costs 8, and the bound is on what a code without "
    "loss needs for the grey levels."
)


def _title(runs: Sequence[Run]) -> str:
    models = " and ".join(dict.fromkeys(NAMES[run.kind] for run in runs))
    dataset = runs[0].conditions.dataset
    return f"{models} on {NAMES.get(dataset, dataset)}"


def _head(
    runs: Sequence[Run], scores: Sequence[Score], facts: Sequence[tuple[str, str]]
) -> list[str]:
    first = scores[0]
    lead = f"The {NAMES[first.kind]}'s bound is {worth(first)}. "
    density = f" {DENSITY}" if first.bits else ""
    parts = [
        page.element("h1", _title(runs)),
        page.element("p", lead + " ".join(sentences(scores)), "lead"),
        page.element("h2", "Results"),
        page.element(
            "p",
            "Look at the bound first: reconstruction + KL(y) + KL(z), in nats per image of the "
            "test set; lower is better. A VAE has no address and no memory; a DKM has no KL(z); "
            "the memory of a DNC or an LRUA has no KL: a dash stands for what it lacks." + density,
            "soft",
        ),
        _results(scores),
        page.facts(facts),
    ]
    if runs[0].episodic is not None:
        parts += [
            page.element("h2", "What is free in this bound"),
            page.element("p", what_is_free(first, runs[0].conditions.episode_length)),
        ]
    if runs[0].conditions.dataset == "omniglot":
        parts += published(runs, scores)
    return parts


def _results(scores: Sequence[Score]) -> str:
    head = ["", *columns(scores[0].bits), "images seen", "parameters", "trained for"]
    rows = [
        Row(
            [
                one.label,
                *cells(one),
                "-" if one.images is None else f"{one.images:,}",
                f"{one.parameters:,}",
                "-" if one.seconds is None else duration(one.seconds),
            ]
        )
        for one in scores
    ]
    return page.table(head, rows)


def duration(seconds: float) -> str:
    """Seconds in the two largest units that matter: ``2 h 03 min``, ``7 min 12 s``, ``31 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _foot(runs: Sequence[Run]) -> str:
    folders = " ".join(shlex.quote(str(run.folder)) for run in runs)
    command = page.element("code", f"python scripts/evaluate.py {folders}")
    return f"<footer>Made by {command}. The numbers lie beside it in evaluate.json.</footer>"
