"""What parts of the machine are worth: runs that lack one, and writing more than once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from km_rl.core.machine import KanervaMachine
from km_rl.data import Images
from km_rl.evaluate import figures
from km_rl.evaluate.bound import undisturbed
from km_rl.evaluate.exhibit import Exhibit, Point, plotted, random_episodes
from km_rl.evaluate.runs import Run, variant
from km_rl.evaluate.table import FULL, Score

WRITES = (1, 2, 4, 8)


def ablations(runs: Sequence[Run], scores: Sequence[Score]) -> Exhibit:
    """The bound of every machine among the runs, beside what tells it from the first."""
    values: dict[str, list[float]] = {}
    points = []
    for run, score in zip(runs, scores, strict=True):
        series, nats = variant(runs[0].config, run.config), score.nats["bound_nats"]
        values.setdefault(name := series or "as it is", []).append(nats)
        points.append(Point(run.label, series, list(values).index(name), "bound_nats", nats))
    return Exhibit(
        "ablations",
        "Ablations",
        "Look for dots to the right of the line: what they lack is worth the difference. The "
        "bound in nats per image of machines that differ in one setting, a dot for each run and "
        "their mean beside them, lower is better.",
        figures.dots(values, "bound, nats per image"),
        points=points,
    )


def rewriting(run: Run, machine: KanervaMachine, test: Images, seed: int, images: int) -> Exhibit:
    """The bound when an episode is written 1 to 8 times, each time with fresh samples."""
    points = list(_rewriting(run, machine, test, seed, images))
    words = {
        "bound_nats": "bound",
        "kl_memory_nats": "KL(M)/T",
        FULL: "with KL(M)/T, M drawn",
    }
    return Exhibit(
        "writes",
        "Writing more than once",
        "Look for what a second writing buys, and for what it costs: fresh samples of the same "
        "images make the memory surer than Bayes' rule allows. Any memory may be read, so the "
        "bounds still hold. Nats per image against the times an episode was written.",
        plotted(points, words, "writes", log=True),
        points=points,
    )


def _rewriting(
    run: Run, machine: KanervaMachine, test: Images, seed: int, images: int
) -> Iterator[Point]:
    for writes in WRITES:
        series = f"{writes} writes" if writes > 1 else "1 write"
        for metric, value in written(run, machine, test, seed, images, writes).items():
            yield Point(run.label, "", writes, metric, value)
            yield Point(run.label, series, None, metric, value)


def written(
    run: Run, machine: KanervaMachine, test: Images, seed: int, images: int, writes: int
) -> dict[str, float]:
    """The paper's bound, KL(M)/T, and with M drawn the sum that bounds -ln p(X)."""
    sums = torch.zeros(3, dtype=torch.float64)
    number = 0
    with undisturbed(machine, seed) as device:
        for batch in random_episodes(run, test, images, seed=seed, classes=run.conditions.classes):
            at_mean = machine.elbo(batch.to(device), writes=writes)
            drawn = machine.elbo(batch.to(device), sample_memory=True, writes=writes)
            terms = (at_mean.bound, at_mean.rate_memory, drawn.full_bound)
            sums += torch.stack([term.double().sum() for term in terms]).cpu()
            number += at_mean.bound.numel()
    names = ("bound_nats", "kl_memory_nats", FULL)
    return dict(zip(names, (sums / number).tolist(), strict=True))
