"""The numbers of the report: every model's, the gap between them, and the published ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from km_rl.data import Images
from km_rl.data.episodes import dimensions
from km_rl.evaluate.bound import bound, in_bits
from km_rl.evaluate.runs import Run


class Score(NamedTuple):
    """A model on the test set. Nats per image, means; lower is better.

    Attributes:
        nats: what `bound` returns with the memory at its mean, and with a draw of M ~ q(M|X)
            ``reconstruction_sampled_memory_nats``, ``bound_sampled_memory_nats`` and
            ``bound_with_kl_memory_nats``. The last is the one that bounds -ln p(X): that bound is
            an expectation over q(M|X). A memory that has no posterior, and hence no
            KL, lacks all that are `PRICED`.
        images: images seen in training; None where no metrics were kept.
        parameters: trained numbers of the model.
        seconds: training time.
        bits: the bounds among ``nats`` in bits per dimension, see `in_bits`; none for ink.
        test_images: how many were scored in each pass.
    """

    label: str
    kind: str
    nats: dict[str, float]
    images: int | None
    parameters: int
    seconds: float | None
    bits: Mapping[str, float] = MappingProxyType({})
    test_images: int = 0


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

FULL = "bound_with_kl_memory_nats"
"""The bound on -ln p(X): M drawn from q(M|X), and KL(M)/T counted."""
COLUMNS = {
    "bound": "bound_nats",
    "reconstruction": "reconstruction_nats",
    "KL(y)": "kl_y_nats",
    "KL(z)": "kl_z_nats",
    "KL(M)/T": "kl_memory_nats",
    "bound, M drawn": "bound_sampled_memory_nats",
    "with KL(M)/T": FULL,
}
"""Column of the table to key of `Score.nats`."""
DRAWN = ("bound, M drawn", "with KL(M)/T")
"""Columns whose place `BITS` takes."""
BITS = {
    "bits/dim": "bits_per_dim",
    "bits/dim, M drawn": "bits_per_dim_sampled_memory",
    "bits/dim with KL(M)/T": "bits_per_dim_with_kl_memory",
}
"""Columns that come first where pixels have a density, to keys of `Score.bits`."""
BIT_KEYS = tuple(BITS.values())


def columns(measured: Iterable[str]) -> dict[str, str]:
    """Column to key: `COLUMNS`, or `BITS` and the terms in nats where bits were measured."""
    if BITS["bits/dim"] not in measured:
        return COLUMNS
    terms = {title: key for title, key in COLUMNS.items() if title not in DRAWN}
    return BITS | terms


DISTORTION = "reconstruction_sampled_memory_nats"
PRICED = (
    DISTORTION,
    "kl_memory_nats",
    "bound_sampled_memory_nats",
    FULL,
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
    full = {FULL: drawn[FULL]} if FULL in drawn else {}
    images = run.last("images")
    every = {
        **{key: value for key, value in at_mean.items() if key.endswith("_nats")},
        DISTORTION: drawn["reconstruction_nats"],
        "bound_sampled_memory_nats": drawn["bound_nats"],
        **full,
    }
    kept = {key: value for key, value in every.items() if run.prices_memory or key not in PRICED}
    return Score(
        run.label,
        run.kind,
        kept,
        None if images is None else int(images),
        run.parameters,
        run.last("seconds"),
        in_bits(kept, dimensions(test, run.conditions.binarisation)),
        scored_images(test, run.conditions.episode_length, limit),
    )


def scored_images(test: Images, episode_length: int, limit: int | None = None) -> int:
    """Images in one pass of `bound`: those that fill whole episodes."""
    used = len(test.images) if limit is None else min(limit, len(test.images))
    return used // episode_length * episode_length


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
    rows = [["", *columns(scores[0].bits)], *([one.label, *cells(one)] for one in scores)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["Nats per image on the test set, lower is better."]
    for label, *numbers in rows:
        padded = [one.rjust(width) for one, width in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join([label.ljust(widths[0]), *padded]))
    return "\n".join([*lines, *sentences(scores)])


def cells(one: Score) -> list[str]:
    """A model's numbers in the order of the `columns`; a dash for what it does not have."""
    return [_cell({**one.nats, **one.bits}.get(key), key) for key in columns(one.bits).values()]


def _cell(value: float | None, key: str) -> str:
    return "-" if value is None else f"{value:.{3 if key in BIT_KEYS else 2}f}"


def worth(one: Score) -> str:
    """The bound with its unit; in bits per dimension too where pixels have a density."""
    nats = f"{one.nats['bound_nats']:.1f} nats per image"
    return f"{one.bits['bits_per_dim']:.3f} bits per dimension ({nats})" if one.bits else nats


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
    side, bits = "under" if nats >= 0 else "over", ""
    if first.bits and rival.bits:
        apart = abs(rival.bits["bits_per_dim"] - first.bits["bits_per_dim"])
        bits = f", {apart:.3f} bits per dimension"
    return (
        f"The {first.kind.upper()} is {abs(nats):.1f} nats {side} the {rival.kind.upper()} "
        f"per image{bits}."
    )
