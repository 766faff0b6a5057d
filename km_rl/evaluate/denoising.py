"""Corrupted queries, read iteratively: whether each reading is nearer to the clean image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from km_rl.baselines.vae import VAE
from km_rl.data import Images
from km_rl.data.corrupt import blank_block, salt_and_pepper
from km_rl.evaluate import figures
from km_rl.evaluate.bound import undisturbed
from km_rl.evaluate.exhibit import Exhibit, Point, episodes_of, plotted
from km_rl.evaluate.generation import SHOWN_STEPS, STEPS, step_names
from km_rl.evaluate.runs import Run

NOISE = (0.05, 0.1, 0.15, 0.2, 0.3)
"""Shares of pixels that salt and pepper replace."""
SHOWN = 3
"""Images of an episode in the figure, where it has so many."""
CORRUPTIONS = (*(f"{share:.0%} noise" for share in NOISE), "blank block")


def denoising(runs: Sequence[Run], test: Images, seed: int) -> Exhibit:
    """Corrupted queries by reading step, with the error over several episodes."""
    clean = episodes_of(runs[0], test, seed)
    size = block_size(clean)
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
    headings = ["clean", "query", *step_names()]
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


def _denoising_row(
    run: Run, clean: Tensor, noisy: Tensor, seed: int
) -> tuple[list[Tensor], list[str]]:
    """Two blocks (what was given, what was read at each step) and the error of every column."""
    read = denoised(run, clean, noisy, STEPS, seed)
    steps = [read[step - 1] for step in SHOWN_STEPS]
    errors = [error(one, clean) for one in (noisy, *steps)]
    columns = [episodes[0, :SHOWN] for episodes in (clean, noisy, *steps)]
    given, made = torch.stack(columns[:2], 1), torch.stack(columns[2:], 1)
    return [given, made], ["", *(f"{one:.1f}" for one in errors)]


def repair(runs: Sequence[Run], test: Images, seed: int) -> Exhibit:
    """The error by reading step for every strength of noise and for a blank block."""
    clean = episodes_of(runs[0], test, seed, episodes=16)
    points = [point for run in runs for point in _repair(run, clean, seed)]
    return Exhibit(
        "repair",
        "Error of corrupted queries, by reading step",
        f"Look for curves that fall below the query's own error, at step 0, and go on falling "
        f"under the machine, while a VAE that is fed back to itself wanders off. Squared errors "
        f"per image, means over {clean.shape[0] * clean.shape[1]} test images.",
        plotted(points, {"error": ""}, "reading step"),
        points=points,
    )


def _repair(run: Run, clean: Tensor, seed: int) -> Iterator[Point]:
    for series, noisy in corruptions(clean, seed).items():
        read = denoised(run, clean, noisy, STEPS, seed)
        errors = [error(one, clean) for one in (noisy, *read)]
        for step, value in enumerate(errors):
            yield Point(run.label, series, step, "error", value)
        for step in (0, 1, STEPS):
            yield Point(run.label, series, None, f"error@{step}", errors[step])


def corruptions(clean: Tensor, seed: int) -> dict[str, Tensor]:
    """Queries by name: salt and pepper from 5% to 30%, and a blank block."""
    generator = torch.Generator().manual_seed(seed)
    made = [salt_and_pepper(clean, share, generator) for share in NOISE]
    made.append(blank_block(clean, block_size(clean), generator))
    return dict(zip(CORRUPTIONS, made, strict=True))


def block_size(images: Tensor) -> int:
    """The side of a block over three sevenths of an image's."""
    return images.shape[-1] * 3 // 7


def error(pictures: Tensor, clean: Tensor) -> float:
    """Squared error per image, the mean."""
    return float((pictures - clean).square().sum((-3, -2, -1)).mean())


def denoised(run: Run, clean: Tensor, noisy: Tensor, steps: int, seed: int) -> Tensor:
    """Every pass, on the CPU, with shape (steps, B, T, channels, H, W)."""
    with undisturbed(run.model, seed) as device:
        clean, noisy = clean.to(device), noisy.to(device)
        if isinstance(run.model, VAE):
            return run.model.iterate(noisy, steps).cpu()
        return run.model.denoise(clean, noisy, steps).cpu()
