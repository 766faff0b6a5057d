"""The runs of the full bound: is a memory worth what it holds, once that is counted?

On episodes of each number of classes, machines of the sizes that suit it are trained with other
weights of KL(M), from 0 (the loss is the paper's) to 1 (the bound on ln p(X)), one that never
writes, whose codes have the same prior without a memory, and a VAE with the same nets. What is
recorded of them as ``<data>-<n>classes-full-bound`` are the points that
`rate_distortion` draws.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal

from km_rl.errors import InputError, at_least_one
from km_rl.results.plan import BEST, Experiment, Start, Training, with_split, with_steps

Classes = int | Literal["all"]
"""In an episode: so many, or whichever its images are of."""

COUNTED = 1.0
"""The weight that makes the loss the full bound. The machine with it is always trained too: it is
the setting ``km``, and the others are named after what they have of their own."""
WEIGHTS = (COUNTED, 0.1, 0.01, 0.001, 0.0)
CLASSES: tuple[Classes, ...] = (1, 2, 4, 8, "all")
UNWRITTEN = "unwritten"
"""The part of a machine that never writes."""
DEBUG_WEIGHTS = (COUNTED, 0.0)
DEBUG_CLASSES: tuple[Classes, ...] = (2, "all")
FLAGS = tuple("--slots 16 --key 16 --noise-var 1 --learn-noise --prior-std 0.5".split())
"""The machine that is known to do best where KL(M) counts: a small memory in large units."""
NAME = re.compile(r"(?P<data>.+?)-(?P<classes>\d+classes|1class|all)-full-bound")
"""Of an experiment."""
STEPS = {"paper-omniglot": 10_000, "paper-cifar10": 5000}
"""Of a run, where they are not the preset's."""


def full_bound(
    start: Start, classes: Sequence[Classes] = (), weights: Sequence[float] = ()
) -> list[Experiment]:
    """For each number of classes the machines by weight, then the full bound's beside the VAE.

    Args:
        classes, weights: by default `CLASSES` and `WEIGHTS`, or those of ``debug``.

    Raises:
        InputError: a weight or a number of classes that no machine can be trained with.
    """
    debug = start.preset == "debug"
    classes = classes or (DEBUG_CLASSES if debug else CLASSES)
    weights = weights or (DEBUG_WEIGHTS if debug else WEIGHTS)
    _check(classes, weights, start.length)
    usual = STEPS.get(start.preset, start.usual)
    steps = start.steps or usual
    sooner = start._replace(usual=usual).sooner(steps)
    data = with_split("debug" if debug else start.dataset, start.split)
    base = with_steps(data, usual, steps)
    others = [weight for weight in dict.fromkeys(weights) if weight != COUNTED]
    made = []
    for n in dict.fromkeys(classes):
        name = f"{base}-{_named(n)}-full-bound"
        beside = Experiment(name, name, steps, _rivals(start, sooner), None if n == "all" else n)
        if others:
            machines = _machines(start, others, sooner)
            made.append(beside._replace(trainings=machines, variants=True, thorough=False))
        made.append(beside)
    return made


def _named(classes: Classes) -> str:
    return "all" if classes == "all" else f"{classes}class{'es' * (classes > 1)}"


def spoken(classes: str) -> str:
    """Of a `NAME`: ``2classes`` is ``2 classes``."""
    return "all classes" if classes == "all" else classes.replace("class", " class")


def _rivals(start: Start, sooner: tuple[str, ...]) -> list[Training]:
    """The machine of the full bound and the VAE, seed by seed."""
    vae = (*sooner, *BEST.get((start.dataset, "vae"), ()))
    return [
        one
        for seed in range(start.seeds)
        for one in (_machine(COUNTED, seed, sooner), Training("vae", seed, flags=vae))
    ]


def _machines(start: Start, others: Sequence[float], sooner: tuple[str, ...]) -> list[Training]:
    """The machine of the full bound, those of other weights and one that never writes, seed by
    seed."""
    return [
        one
        for seed in range(start.seeds)
        for one in (
            *(_machine(weight, seed, sooner) for weight in (COUNTED, *others)),
            _unwritten(seed, sooner),
        )
    ]


def _machine(weight: float, seed: int, sooner: tuple[str, ...]) -> Training:
    """Trained with that weight; above 0 on draws of M, as its mean alone has no full bound."""
    drawn = ("--sample-memory",) if weight > 0 else ()
    part = "" if weight == COUNTED else f"weight{weight:g}"
    flags = (*sooner, "--memory-kl-weight", f"{weight:g}", *drawn, *FLAGS)
    return Training("km", seed, part, flags)


def _unwritten(seed: int, sooner: tuple[str, ...]) -> Training:
    """The machine of the full bound, but for its memory."""
    counted = _machine(COUNTED, seed, sooner)
    return counted._replace(part=UNWRITTEN, flags=(*counted.flags, "--unwritten"))


def _check(classes: Sequence[Classes], weights: Sequence[float], length: int) -> None:
    for weight in weights:
        if not 0 <= weight < math.inf:
            raise InputError(f"A weight of KL(M) is {weight}: give finite numbers of at least 0.")
    for n in classes:
        if n == "all":
            continue
        at_least_one(classes=n)
        if n > length:
            raise InputError(
                f"Episodes of {n} classes were asked for, and they have {length} images: "
                f"give at most {length} classes, or all."
            )
