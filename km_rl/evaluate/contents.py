"""What the report shows, in its order: what any runs allow, and the paper's experiments."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from km_rl.data import Images, Splits
from km_rl.evaluate import figures
from km_rl.evaluate.ablations import ablations, rewriting
from km_rl.evaluate.addresses import addresses
from km_rl.evaluate.capacity import capacity
from km_rl.evaluate.denoising import denoised, denoising, repair
from km_rl.evaluate.exhibit import Exhibit, Point, episodes_of
from km_rl.evaluate.figures import Curve, Curves
from km_rl.evaluate.generation import convergence, samples
from km_rl.evaluate.importance import importance
from km_rl.evaluate.interpolation import interpolation
from km_rl.evaluate.related import related
from km_rl.evaluate.runs import Run, variants
from km_rl.evaluate.table import Score
from km_rl.progress import progress_bar

IMAGES = 1024
"""Test images in every number of an experiment, at most."""
TERMS = {
    "bound": ("bound", "bound_nats"),
    "reconstruction": ("distortion", "reconstruction_nats"),
    "KL(y), the address": ("rate_y", "kl_y_nats"),
    "KL(z), the code": ("rate_z", "kl_z_nats"),
}
"""Title of a panel to the key in metrics.jsonl, in training and on the test set."""
IN_BITS = {"bits per dimension": ("bits_per_dim", "bits_per_dim")}
"""What stands in the place of the bound where pixels have a density."""
FULL_BOUND = "full_bound"
COUNTED = {"bound with KL(M)/T": (FULL_BOUND, "bound_with_kl_memory_nats")}
"""And where a machine was trained on KL(M)."""


def exhibits(runs: Sequence[Run], test: Images, seed: int) -> list[Exhibit]:
    """Every exhibit that these runs allow in seconds, in the order of the report."""
    first = runs[0]
    if variants(runs):
        return [training(runs)]
    shown = [reconstructions(runs, test, seed)]
    if first.episodic is not None:
        shown.append(samples(first, first.episodic, test, seed))
    shown.append(denoising(runs, test, seed))
    if first.machine is not None:
        shown.append(interpolation(first, first.machine, test, seed))
    photos = [one._replace(photos=test.images.shape[1] > 1) for one in shown]
    plots = [] if first.episodic is None else [addresses(runs, test, seed)]
    return [training(runs), *photos, *plots]


def experiments(
    runs: Sequence[Run],
    scores: Sequence[Score],
    data: Splits,
    seed: int,
    limit: int | None = None,
) -> list[Exhibit]:
    """The paper's experiments, which take minutes; of variants of a machine, the ablations.

    Where one was trained on KL(M), also what its memory is worth.
    """
    if variants(runs):
        return [ablations(runs, scores)]
    first, machine, test = runs[0], runs[0].machine, data.test
    images = min(limit or IMAGES, IMAGES)
    made: dict[str, Callable[[], Exhibit]] = {
        "importance": lambda: importance(runs, test, seed, images // 2)
    }
    if first.episodic is not None:
        made["convergence"] = lambda: convergence(runs, test, seed)
    made["repair"] = lambda: repair(runs, test, seed)
    made["capacity"] = lambda: capacity(runs, test, seed, images)
    if machine is not None:
        made["writes"] = lambda: rewriting(first, machine, test, seed, images)
    if counts_memory(runs):
        made["related"] = lambda: related(runs, test, data.train, seed, limit)
    shown = []
    with progress_bar(made.items(), unit="experiment", leave=False, disable=None) as progress:
        for name, make in progress:
            progress.set_description(name)
            shown.append(make())
    return shown


def training(runs: Sequence[Run]) -> Exhibit:
    """The four terms against images seen, from the metrics of each run."""
    _, *others = TERMS
    terms = _bound(runs) | {title: TERMS[title] for title in others}
    panels = {
        title: {run.label: _curves(run, *keys) for run in runs} for title, keys in terms.items()
    }
    return Exhibit(
        "training",
        "Training",
        "Look for the dip in the machine's KL: once it has learned to use its memory, the code "
        "costs little beyond what is read, KL(z) falls and the bound falls with it, while a "
        "VAE's KL(z) only grows. Terms are in nats per image unless their title says "
        "bits. Faint lines are training batches, full ones the test set; the first 3% may lie off "
        "the scale.",
        figures.curves(panels),
        points=[
            Point(run.label, "", None, "kl_dip_percent", dip)
            for run in runs
            if (dip := kl_dip(run)) is not None
        ],
    )


def counts_memory(runs: Sequence[Run]) -> bool:
    """Whether KL(M) counted in the training of one of them."""
    return any(run.prices_memory and run.config.get("memory_kl_weight") for run in runs)


def _bound(runs: Sequence[Run]) -> dict[str, tuple[str, str]]:
    """The panel of what the runs were trained on."""
    if counts_memory(runs):
        return COUNTED
    density = all(run.last("train/bits_per_dim") is not None for run in runs)
    return IN_BITS if density else {"bound": TERMS["bound"]}


def kl_dip(run: Run) -> float | None:
    """The most by which KL(y) + KL(z) of the test set falls in a quarter of the steps, in percent.

    From the step on at which KL(y) counts in full: before it, it is cheap, and its fall is no
    finding. Nor is a fall that takes longer, for codes get cheaper as the step size falls. None
    where no more than one step was evaluated.
    """
    keys = ("test/kl_y_nats", "test/kl_z_nats")
    start = run.config.get("address_kl_warmup_steps", 0)
    logged = [row for row in run.metrics if row["step"] >= start and all(k in row for k in keys)]
    return dip([(row["step"], sum(row[key] for key in keys)) for row in logged])


def dip(curve: Sequence[tuple[float, float]]) -> float | None:
    """The largest fall within a quarter of the steps, or from one point of a short curve to the
    next, in percent of where it starts; None without two points."""
    falls = [
        100 * (1 - low / high)
        for i, (start, high) in enumerate(curve)
        for j, (end, low) in enumerate(curve[i + 1 :])
        if high > 0 and (j == 0 or end - start <= curve[-1][0] / 4)
    ]
    return max(0.0, *falls) if falls else None


def _curves(run: Run, train: str, test: str) -> Curves:
    """A curve for training and one for the test set.

    A term that is always 0 is left out, and so is a full bound of batches that bounds nothing.
    """
    made = []
    for key in (f"train/{train}", f"test/{test}"):
        points = [(row["images"], row[key]) for row in run.metrics if key in row]
        used = any(value for _, value in points)
        used &= run.draws_memory or key != f"train/{FULL_BOUND}"
        made.append(Curve([n for n, _ in points if used], [v for _, v in points if used]))
    return Curves(*made)


def reconstructions(runs: Sequence[Run], test: Images, seed: int) -> Exhibit:
    """One episode of the test set, and what each model makes of it."""
    clean = episodes_of(runs[0], test, seed)[:1]
    shown = min(16, clean.shape[1])
    made = [denoised(run, clean, clean, 1, seed)[0, 0, :shown] for run in runs]
    return Exhibit(
        "reconstructions",
        "Reconstructions",
        "Look for parts that are blurred or belong to another image. The machine has written "
        "the whole episode to its memory and reads each image back from it.",
        figures.pictures(
            [[torch.stack([clean[0, :shown], *made])]],
            columns={},
            rows=dict(enumerate(["given", *(run.label for run in runs)])),
        ),
    )
