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
            ``bound_sampled_memory_nats`` and ``bound_sampled_memory_with_kl_memory_nats``. The
            last is the one that bounds -ln p(X): that bound is an expectation over q(M|X).
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
BITS = {
    "bits/dim": "bits_per_dim",
    "bits/dim, M drawn": "bits_per_dim_sampled_memory",
    "bits/dim with KL(M)/T": "bits_per_dim_sampled_memory_with_kl_memory",
}
"""Columns that come first where pixels have a density, to keys of `Score.bits`."""
BIT_KEYS = (*BITS.values(), "bits_per_dim_with_kl_memory")


def columns(measured: Iterable[str]) -> dict[str, str]:
    """Column to key: `COLUMNS`, or `BITS` and the terms in nats where bits were measured."""
    if not set(BITS.values()) <= set(measured):
        return COLUMNS
    return BITS | {title: key for title, key in COLUMNS.items() if "sampled" not in key}


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
    both = {
        **at_mean,
        "bound_sampled_memory_nats": drawn["bound_nats"],
        "bound_sampled_memory_with_kl_memory_nats": drawn["bound_with_kl_memory_nats"],
    }
    return Score(
        run.label,
        run.kind,
        {key: value for key, value in both.items() if key.endswith("_nats")},
        None if images is None else int(images),
        run.parameters,
        run.last("seconds"),
        in_bits(both, dimensions(test, run.conditions.binarisation)),
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
    """The table for the terminal, a line per model, and the gap in two sentences."""
    rows = [["", *columns(scores[0].bits)], *([one.label, *cells(one)] for one in scores)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["Nats per image on the test set, lower is better."]
    for label, *numbers in rows:
        padded = [one.rjust(width) for one, width in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join([label.ljust(widths[0]), *padded]))
    return "\n".join([*lines, *sentences(scores)])


def cells(one: Score) -> list[str]:
    """A model's numbers in the order of the `columns`."""
    numbers = {**one.nats, **one.bits}
    decimals = {key: 3 for key in BIT_KEYS}
    return [f"{numbers[key]:.{decimals.get(key, 2)}f}" for key in columns(numbers).values()]


def worth(one: Score) -> str:
    """The bound with its unit; in bits per dimension too where pixels have a density."""
    nats = f"{one.nats['bound_nats']:.1f} nats per image"
    return f"{one.bits['bits_per_dim']:.3f} bits per dimension ({nats})" if one.bits else nats


def sentences(scores: Sequence[Score]) -> list[str]:
    """The gap between machine and VAE, and what it leaves out; nothing without both."""
    pair, nats = _pair(scores), gap(scores)
    if pair is None or nats is None:
        return []
    km, vae = pair
    bits = ""
    if km.bits and vae.bits:
        apart = abs(vae.bits["bits_per_dim"] - km.bits["bits_per_dim"])
        bits = f", {apart:.3f} bits per dimension"
    side = "under" if nats >= 0 else "over"
    told = [
        f"The KM is {abs(nats):.1f} nats {side} the VAE per image{bits}.",
        f"What its memory holds (KL(M)/T = {km.nats['kl_memory_nats']:.1f}) is not counted in "
        f"the bound.",
    ]
    if km.images != vae.images:
        told.append("The two have not seen the same number of images.")
    return told
