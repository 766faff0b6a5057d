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
            last is the one that bounds -ln p(X): that bound is an expectation over q(M|X). A
            memory that has no posterior, and hence no KL, lacks all that are `PRICED`.
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

PRICED = (
    "kl_memory_nats",
    "bound_with_kl_memory_nats",
    "bound_sampled_memory_nats",
    "bound_sampled_memory_with_kl_memory_nats",
)
"""What only a memory with a posterior has, or a model without a memory."""


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
    every = {
        **at_mean,
        "bound_sampled_memory_nats": drawn["bound_nats"],
        "bound_sampled_memory_with_kl_memory_nats": drawn["bound_with_kl_memory_nats"],
    }
    return Score(
        run.label,
        run.kind,
        {name: nats for name, nats in every.items() if run.prices_memory or name not in PRICED},
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
    """The table for the terminal, a line per model, and the gaps in sentences."""
    rows = [["", *COLUMNS]]
    rows += [[one.label, *cells(one)] for one in scores]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["Nats per image on the test set, lower is better."]
    for label, *numbers in rows:
        padded = [cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join([label.ljust(widths[0]), *padded]))
    return "\n".join([*lines, *sentences(scores)])


def cells(one: Score) -> list[str]:
    """The columns of a model; a dash for what it does not have."""
    nats = (one.nats.get(key) for key in COLUMNS.values())
    return ["-" if value is None else f"{value:.2f}" for value in nats]


def sentences(scores: Sequence[Score]) -> list[str]:
    """How far the first model with a memory is from each other kind, and what that leaves out."""
    first, *others = scores
    rivals = {one.kind: one for one in reversed(others) if one.kind != first.kind}
    if first.kind == "vae" or not rivals:
        return []
    told = [_gap_to(first, rival) for rival in reversed(rivals.values())]
    held = first.nats.get("kl_memory_nats")
    told.append(
        "What its memory holds has no KL, and the bound does not count it."
        if held is None
        else f"What its memory holds (KL(M)/T = {held:.1f}) is not counted in the bound."
    )
    unlike = [one.kind.upper() for one in rivals.values() if one.images != first.images]
    if unlike:
        told.append(
            f"The {first.kind.upper()} has not seen the same number of images as the "
            f"{' and the '.join(reversed(unlike))}."
        )
    return told


def _gap_to(first: Score, rival: Score) -> str:
    nats = rival.nats["bound_nats"] - first.nats["bound_nats"]
    side = "under" if nats >= 0 else "over"
    return (
        f"The {first.kind.upper()} is {abs(nats):.1f} nats {side} the {rival.kind.upper()} "
        f"per image."
    )
