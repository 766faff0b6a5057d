"""What the report shows, each thing with a title and a sentence that says what to look for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from km_rl.baselines.vae import VAE
from km_rl.core.episodic import EpisodicModel
from km_rl.core.machine import KanervaMachine
from km_rl.data import Images, draw_episodes
from km_rl.data.corrupt import blank_block, salt_and_pepper
from km_rl.evaluate import figures
from km_rl.evaluate.bound import undisturbed
from km_rl.evaluate.figures import Curve, Curves
from km_rl.evaluate.runs import Run

SHOWN_STEPS = (1, 2, 4, 6, 8, 12)
TERMS = {
    "bound": ("bound", "bound_nats"),
    "reconstruction": ("distortion", "reconstruction_nats"),
    "KL(y), the address": ("rate_y", "kl_y_nats"),
    "KL(z), the code": ("rate_z", "kl_z_nats"),
}
"""Title of a panel to the key in metrics.jsonl, in training and on the test set."""
IN_BITS = {"bits per dimension": ("bits_per_dim", "bits_per_dim")}
"""What stands in the place of the bound where pixels have a density."""


class Exhibit(NamedTuple):
    """A figure of the report; its file is called ``name``. Photos keep their colours."""

    name: str
    title: str
    look_for: str
    figure: Figure
    photos: bool = False


def exhibits(runs: Sequence[Run], test: Images, seed: int = 0) -> list[Exhibit]:
    """Every exhibit that these runs allow, in the order of the report."""
    first = runs[0]
    shown = [reconstructions(runs, test, seed)]
    if first.episodic is not None:
        shown.append(samples(first, first.episodic, test, seed))
    shown.append(denoising(runs, test, seed))
    if first.machine is not None:
        shown.append(interpolation(first, first.machine, test, seed))
    photos = [one._replace(photos=test.images.shape[1] > 1) for one in shown]
    plots = [] if first.episodic is None else [addresses(first, first.episodic, test, seed)]
    return [training(runs), *photos, *plots]


def training(runs: Sequence[Run]) -> Exhibit:
    """The four terms against images seen, from the metrics of each run."""
    density = all(run.last("train/bits_per_dim") is not None for run in runs)
    terms = IN_BITS | {title: TERMS[title] for title in list(TERMS)[1:]} if density else TERMS
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
    )


def _curves(run: Run, train: str, test: str) -> Curves:
    """A curve for training and one for the test set; a term that is always 0 is left out."""
    made = []
    for key in (f"train/{train}", f"test/{test}"):
        points = [(row["images"], row[key]) for row in run.metrics if key in row]
        used = any(value for _, value in points)
        made.append(Curve([n for n, _ in points if used], [v for _, v in points if used]))
    return Curves(*made)


def reconstructions(runs: Sequence[Run], test: Images, seed: int) -> Exhibit:
    """One episode of the test set, and what each model makes of it."""
    clean = _episodes(runs[0], test, seed)[:1]
    shown = min(16, clean.shape[1])
    made = [_denoised(run, clean, clean, 1, seed)[0, 0, :shown] for run in runs]
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


def samples(run: Run, machine: EpisodicModel[Any], test: Images, seed: int) -> Exhibit:
    """Dreams from memories of episodes of 2, 4 and 12 classes, and of the trained kind."""
    n = 4
    blocks: list[list[Tensor]] = []
    for written in (episodes := _episodes_by_classes(run, test, seed)).values():
        with undisturbed(machine, seed) as device:
            memory = machine.write(written.to(device))
            dreams = machine.generate(memory, n, steps=max(SHOWN_STEPS))
        steps = torch.stack([dreams[step - 1, 0] for step in SHOWN_STEPS], 1).cpu()
        blocks.append([_tiled(written[0], n), steps])
    wide = blocks[0][0].shape[1]
    columns: dict[float, str] = dict(enumerate(_step_names(), start=wide))
    columns[(wide - 1) / 2] = "written"
    return Exhibit(
        "samples",
        "Samples from memory, by reading step",
        "Look for images that sharpen and settle by about the sixth step, and that belong to "
        "what was written on the left. Each row of dreams starts at a random address; every step "
        "reads the memory with the picture of the step before.",
        figures.pictures(
            blocks,
            columns=columns,
            rows={n * i + (n - 1) / 2: label for i, label in enumerate(episodes)},
        ),
    )


def _episodes_by_classes(run: Run, test: Images, seed: int) -> dict[str, Tensor]:
    known = len(test.labels.unique())
    made = {
        f"{classes} classes": _episodes(run, test, seed, classes, 1)
        for classes in (2, 4, 12)
        if classes <= known
    }
    own = run.conditions.classes
    made.setdefault(f"{own} classes" if own else "any class", _episodes(run, test, seed, own, 1))
    return made


def _tiled(images: Tensor, rows: int) -> Tensor:
    """Images (T, channels, H, W) as a block of so many rows, white where they run out."""
    columns = -(-len(images) // rows)
    white = 0.0 if images.shape[1] == 1 else 1.0
    blank = images.new_full((rows * columns - len(images), *images.shape[1:]), white)
    return torch.cat([images, blank]).unflatten(0, (rows, columns))


def denoising(runs: Sequence[Run], test: Images, seed: int) -> Exhibit:
    """Corrupted queries by reading step, with the error over several episodes."""
    clean = _episodes(runs[0], test, seed)
    size = clean.shape[-1] * 3 // 7
    generator = torch.Generator().manual_seed(seed)
    corrupted = {
        "salt and pepper on 10% of the pixels": salt_and_pepper(clean, 0.1, generator),
        f"a blank block of {size} x {size} pixels": blank_block(clean, size, generator),
    }
    blocks: list[list[Tensor]] = []
    below: list[list[str]] = []
    for run in runs:
        row = [_denoising_row(run, clean, noisy, seed) for noisy in corrupted.values()]
        blocks.append([block for halves, _ in row for block in halves])
        below.append([word for _, words in row for word in words])
    wide = 2 + len(SHOWN_STEPS)
    headings = ["clean", "query", *_step_names()]
    shown = blocks[0][0].shape[0]
    return Exhibit(
        "denoising",
        "Denoising by iterative reading",
        f"Look for numbers that fall from step to step under the machine and do not under the "
        f"VAE, which is fed back to itself. They are squared errors per image (of ink, about the "
        f"number of wrong pixels), means over {clean.shape[0] * clean.shape[1]} test images. No "
        f"model was trained on corrupted images.",
        figures.pictures(
            blocks,
            columns=dict(enumerate(headings * len(corrupted))),
            rows={i * shown + (shown - 1) / 2: run.label for i, run in enumerate(runs)},
            titles={(half + 0.5) * wide - 0.5: name for half, name in enumerate(corrupted)},
            below=below,
        ),
    )


def _step_names() -> list[str]:
    return [f"step {step}" if step == 1 else str(step) for step in SHOWN_STEPS]


def _denoising_row(
    run: Run, clean: Tensor, noisy: Tensor, seed: int, shown: int = 3
) -> tuple[list[Tensor], list[str]]:
    """Two blocks (what was given, what was read at each step) and the error of every column."""
    read = _denoised(run, clean, noisy, max(SHOWN_STEPS), seed)
    steps = [read[step - 1] for step in SHOWN_STEPS]
    errors = [(one - clean).square().sum((-3, -2, -1)).mean() for one in (noisy, *steps)]
    columns = [episodes[0, :shown] for episodes in (clean, noisy, *steps)]
    given, made = torch.stack(columns[:2], 1), torch.stack(columns[2:], 1)
    return [given, made], ["", *(f"{error:.1f}" for error in errors)]


def interpolation(
    run: Run, machine: KanervaMachine, test: Images, seed: int, n: int = 10
) -> Exhibit:
    """Straight walks between the address weights of two images of an episode."""
    written = _episodes(run, test, seed)[:1]
    walks = min(4, -(-written.shape[1] // 2))
    a, b = written[0, :walks], written[0].roll(-walks, 0)[:walks]
    with undisturbed(machine, seed) as device:
        memory = machine.write(written.to(device))
        read = [
            machine.interpolate(memory, x[None].to(device), y[None].to(device), n)[0].cpu()
            for x, y in zip(a, b, strict=True)
        ]
    return Exhibit(
        "interpolation",
        "Interpolation between two addresses",
        "Look for a smooth change through pictures that could be in the data. The weights w go in "
        "a straight line from one image's address to another's; the memory is read on the way.",
        figures.pictures(
            [[a[:, None], torch.stack(read), b[:, None]]],
            columns={0: "from", (n + 1) / 2: "read on the way", n + 1: "to"},
            rows={},
        ),
    )


def addresses(run: Run, machine: EpisodicModel[Any], test: Images, seed: int) -> Exhibit:
    """How the weights w are spread over the slots."""
    images = _episodes(run, test, seed)
    with undisturbed(machine, seed) as device:
        w = machine.address_weights(images.to(device)).cpu()
    effective = effective_slots(w)
    return Exhibit(
        "addresses",
        "Address weights",
        f"Look for weights spread over many slots, not one: an address uses "
        f"{float(effective.mean()):.1f} of {w.shape[-1]} slots on average (the exponential of the "
        f"entropy of w squared, scaled to sum 1). A memory that has collapsed uses one.",
        figures.weights(w, effective),
    )


def effective_slots(w: Tensor) -> Tensor:
    """exp(entropy of w^2 / sum w^2): (..., K) to (...), from 1 (one slot) to K (all alike)."""
    share = w.square() / w.square().sum(-1, keepdim=True)
    return torch.special.entr(share).sum(-1).exp()


def _episodes(
    run: Run, test: Images, seed: int, classes: int | None = None, episodes: int = 8
) -> Tensor:
    """Test episodes like the run's own, or of so many classes."""
    conditions = run.conditions
    return draw_episodes(
        test,
        episodes,
        conditions.episode_length,
        generator=torch.Generator().manual_seed(seed),
        classes=classes or conditions.classes,
        binarisation=conditions.binarisation,
    )


def _denoised(run: Run, clean: Tensor, noisy: Tensor, steps: int, seed: int) -> Tensor:
    """Every pass, on the CPU, with shape (steps, B, T, channels, H, W)."""
    with undisturbed(run.model, seed) as device:
        clean, noisy = clean.to(device), noisy.to(device)
        if isinstance(run.model, VAE):
            return run.model.iterate(noisy, steps).cpu()
        return run.model.denoise(clean, noisy, steps).cpu()
