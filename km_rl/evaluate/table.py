"""The numbers of the report: every model's, the gap between them, and the published ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from km_rl.data import Images
from km_rl.evaluate.bound import bound
from km_rl.evaluate.runs import Run


class Score(NamedTuple):
    """A model on the test set. Nats per image, means; lower is better.

    Attributes:
        nats: what `bound` returns with the memory at its mean, and with a draw of M ~ q(M|X)
            ``bound_sampled_memory_nats`` and ``bound_sampled_memory_with_kl_memory_nats``. The
            last is the one that bounds -ln p(X): that bound is an expectation over q(M|X).
        images: images seen in training; None where no metrics were kept.
        parameters: trained numbers of the model.
        seconds: training time.
    """

    label: str
    kind: str
    nats: dict[str, float]
    images: int | None
    parameters: int
    seconds: float | None


class Published(NamedTuple):
    """A bound from the literature on binarised Omniglot, in nats per image."""

    model: str
    bound: float
    paper: str
    known: str
    memory: str


PUBLISHED = (
    Published(
        "Kanerva++",
        66.24,
        "Kanerva++: Extending the Kanerva Machine with Differentiable, Locally Block Allocated "
        "Latent Memory (ICLR 2021)",
        "read in the paper",
        "the memory is deterministic",
    ),
    Published(
        "KM",
        68.3,
        "The Kanerva Machine: A Generative Distributed Memory (ICLR 2018)",
        "read in a secondary source",
        "not counted",
    ),
    Published(
        "DKM",
        77.2,
        "Learning Attractor Dynamics for Generative Memory (NeurIPS 2018)",
        "read in a secondary source",
        "counted in training",
    ),
    Published(
        "VAE",
        112.7,
        "The Kanerva Machine: A Generative Distributed Memory (ICLR 2018)",
        "recalled, not checked",
        "no memory",
    ),
)

COLUMNS = {
    "bound": "bound_nats",
    "reconstruction": "reconstruction_nats",
    "KL(y)": "kl_y_nats",
    "KL(z)": "kl_z_nats",
    "KL(M)/T": "kl_memory_nats",
    "bound, M drawn": "bound_sampled_memory_nats",
    "with KL(M)/T": "bound_sampled_memory_with_kl_memory_nats",
}
"""Column of the table to key of `Score.nats`."""


def score(
    run: Run, test: Images, *, seed: int = 0, passes: int = 1, limit: int | None = None
) -> Score:
    """Score a run's model under the run's own conditions; see `bound`."""

    def nats(sample_memory: bool) -> dict[str, float]:
        return bound(
            run.model,
            test,
            episode_length=run.conditions.episode_length,
            classes=run.conditions.classes,
            binarisation=run.conditions.binarisation,
            seed=seed,
            passes=passes,
            sample_memory=sample_memory,
            limit=limit,
        )

    at_mean = nats(sample_memory=False)
    has_memory = at_mean["kl_memory_nats"] > 0
    drawn = nats(sample_memory=True) if has_memory else at_mean
    images = run.last("images")
    return Score(
        run.label,
        run.kind,
        {
            **at_mean,
            "bound_sampled_memory_nats": drawn["bound_nats"],
            "bound_sampled_memory_with_kl_memory_nats": drawn["bound_with_kl_memory_nats"],
        },
        None if images is None else int(images),
        run.parameters,
        run.last("seconds"),
    )


def gap(scores: Sequence[Score]) -> float | None:
    """Nats per image by which the first machine is under the first VAE; None without both."""
    pair = _pair(scores)
    return pair and pair[1].nats["bound_nats"] - pair[0].nats["bound_nats"]


def _pair(scores: Sequence[Score]) -> tuple[Score, Score] | None:
    """The first machine and the first VAE."""
    first = {one.kind: one for one in reversed(scores)}
    return (first["km"], first["vae"]) if {"km", "vae"} <= first.keys() else None


def text_table(scores: Sequence[Score]) -> str:
    """The table for the terminal, a line per model, and the gap in two sentences."""
    rows = [["", *COLUMNS]]
    rows += [[s.label, *(f"{s.nats[key]:.2f}" for key in COLUMNS.values())] for s in scores]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["Nats per image on the test set, lower is better."]
    for label, *cells in rows:
        padded = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([label.ljust(widths[0]), *padded]))
    return "\n".join([*lines, *sentences(scores)])


def sentences(scores: Sequence[Score]) -> list[str]:
    """The gap between machine and VAE, and what it leaves out; nothing without both."""
    pair, nats = _pair(scores), gap(scores)
    if pair is None or nats is None:
        return []
    km, vae = pair
    told = [
        f"The KM is {abs(nats):.1f} nats {'under' if nats >= 0 else 'over'} the VAE per image.",
        f"What its memory holds (KL(M)/T = {km.nats['kl_memory_nats']:.1f}) is not counted in "
        f"the bound.",
    ]
    if km.images != vae.images:
        told.append("The two have not seen the same number of images.")
    return told
