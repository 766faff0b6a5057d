"""What a memory is worth on images that belong together: the full bound by classes in an episode.

Where a class has few test images, an episode of few classes shows some of them twice, and what is
written of the first tells much of the second. So there are two kinds of episodes, of the same test
images: filled up with these again, as in training, or with training images of the same classes,
which are written and not scored; no image comes twice there, so an episode is as long as its
classes allow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from km_rl.data import Binarisation, Images
from km_rl.data.episodes import pixels
from km_rl.evaluate.bound import BATCH, undisturbed
from km_rl.evaluate.exhibit import Exhibit, Point, plotted
from km_rl.evaluate.runs import Run

IMAGES = 8192
"""Test images in every number, about, those that come again not counted. A thousand would not tell
leads of a few nats: classes differ by tens."""
AGAIN, ONCE = "images may come again", "each image once"


class Partly(NamedTuple):
    """Episodes of which a part is scored.

    Attributes:
        images: with shape (B, T, channels, H, W).
        scored: which of them are, with shape (B, T).
        own: of the test set, without those that come again.
    """

    images: Tensor
    scored: Tensor
    own: int


def related(
    runs: Sequence[Run], test: Images, train: Images, seed: int, limit: int | None = None
) -> Exhibit:
    """The full bound and what of it the memory costs, against classes in an episode."""
    priced = [run for run in runs if run.prices_memory]
    points = [p for run in priced for p in _related(run, test, train, seed, limit or IMAGES)]
    words = {"bound_with_kl_memory_nats": "bound with KL(M)/T", "kl_memory_nats": "KL(M)/T"}
    return Exhibit(
        "related",
        "Images that belong together",
        "Look for a machine that is further under a VAE where an episode has few classes: by so "
        "much its memory pays for itself. Where each image comes once, this cannot be because it "
        "was written before; an episode of few images in all is shorter there. The bound with "
        "KL(M)/T, M drawn, in nats per image against the classes in an episode, of the same test "
        "images but for what fills no episode; all runs were trained with the same number of "
        "classes.",
        plotted(points, words, "classes", log=True),
        points=points,
    )


def _related(run: Run, test: Images, train: Images, seed: int, images: int) -> Iterator[Point]:
    kinds = {AGAIN: None, ONCE: train}
    for classes in numbers_of_classes(run.conditions.episode_length, len(test.labels.unique())):
        for series, beside in kinds.items():
            for metric, value in full_bound(run, test, beside, classes, seed, images).items():
                yield Point(run.label, series, classes, metric, value)
                yield Point(run.label, series, None, f"{metric}@{classes}", value)


def numbers_of_classes(T: int, known: int) -> list[int]:
    """1, 2, 4 ... to as many as an episode has images and the data classes."""
    return [2**power for power in range(min(T, known).bit_length())]


def full_bound(
    run: Run, test: Images, beside: Images | None, classes: int, seed: int, images: int
) -> dict[str, float]:
    """The bound with KL(M)/T, M drawn, and KL(M)/T, in nats per image, over those scored.

    Args:
        test, beside, classes: see `in_groups`; nothing where no episode can be made of them.
        images: of the test set; those that come again do not count.
    """
    conditions, terms, seen = run.conditions, [], 0
    given = classes, conditions.episode_length, conditions.binarisation, seed
    with undisturbed(run.model, seed) as device:
        for part in in_groups(test, beside, *given):
            elbo = run.model(part.images.to(device), sample_memory=True)
            both = torch.stack([elbo.full_bound, elbo.rate_memory]).double().cpu()
            terms.append(both[:, part.scored])
            seen += part.own
            if seen >= images:
                break
    if not terms:
        return {}
    full, kl_memory = torch.cat(terms, 1).mean(1).tolist()
    return {"bound_with_kl_memory_nats": full, "kl_memory_nats": kl_memory}


def in_groups(
    test: Images,
    beside: Images | None,
    classes: int,
    T: int,
    binarisation: Binarisation,
    seed: int,
) -> Iterator[Partly]:
    """Every test image in one episode of T images of ``classes`` classes, in batches.

    The classes are grouped at random, and those that fill no group are left out. What is left of
    a group's images, fewer than T, is filled up with its images ``beside``, which are not scored.
    A group that has fewer than T images in all has an episode of these; what else cannot be filled
    up is left out. Without ``beside`` its test images come again, each once before any twice, and
    all are scored. The episodes of a batch are equally long.
    """
    generator = torch.Generator().manual_seed(seed)
    pool = test.images if beside is None else torch.cat([test.images, beside.images])
    labels = None if beside is None else beside.labels
    every = list(_indices(test.labels, labels, classes, T, generator))
    for length in sorted({len(index) for index, _ in every}, reverse=True):
        alike = [episode for episode in every if len(episode[0]) == length]
        for start in range(0, len(alike), BATCH):
            index, own = zip(*alike[start : start + BATCH], strict=True)
            scored = torch.arange(length) < (T if beside is None else torch.tensor(own)[:, None])
            images = pixels(pool[torch.stack(index)], binarisation, generator)
            yield Partly(images, scored.expand(len(own), length), sum(own))


def _indices(
    test: Tensor, beside: Tensor | None, classes: int, T: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, int]]:
    """For each episode where its T images are, test before others, and how many are the test's."""
    known = test.unique()
    groups = known[torch.randperm(len(known), generator=generator)].split(classes)
    for group in groups[: len(known) // classes]:
        own = _shuffled(test, group, generator)
        if beside is None:
            more, length = own.repeat(-(-T // len(own))), T
        else:
            more = len(test) + _shuffled(beside, group, generator)
            length = min(T, len(own) + len(more))
        for part in own.split(T):
            if length - len(part) <= len(more):
                yield torch.cat([part, more[: length - len(part)]]), len(part)


def _shuffled(labels: Tensor, group: Tensor, generator: torch.Generator) -> Tensor:
    """Where the labels of a group are, in random order."""
    places = torch.isin(labels, group).nonzero()[:, 0]
    return places[torch.randperm(len(places), generator=generator)]
