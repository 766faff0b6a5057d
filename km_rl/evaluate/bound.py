"""The bound of a model on a test set, term by term.

Every term is an estimate from samples: y and z are drawn from their posteriors, as the bound asks
(at their means it would be none), and the memory is read at its mean or, on request, drawn too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from km_rl.core.elbo import Elbo
from km_rl.data.episodes import Binarisation, Images, all_episodes, dimensions, validate
from km_rl.errors import InputError
from km_rl.nn.likelihoods import bits_per_dimension
from km_rl.progress import progress_bar

BATCH = 16
"""Episodes scored at once."""


def bound(
    model: nn.Module,
    test: Images,
    *,
    episode_length: int,
    classes: int | None = None,
    binarisation: Binarisation = "dynamic",
    seed: int = 0,
    passes: int = 1,
    sample_memory: bool = False,
    limit: int | None = None,
) -> dict[str, float]:
    """Means over the test set, in nats per image; lower is better.

    The same arguments give the same numbers, and the caller's random stream is left as it was.

    Args:
        model: called with images (B, T, channels, H, W) and ``sample_memory``, it returns an
            `Elbo`. It is put in evaluation mode for the while, outside autocast.
        test: every image is scored once in each pass, but for the N mod T that fill no episode;
            with ``classes`` episodes are drawn, and one may be scored again, or not at all.
        episode_length: T.
        classes: classes in an episode, see `all_episodes`.
        passes: how often to go through the images, each time in other episodes and with fresh
            binarisation and samples.
        sample_memory: read from a draw of M ~ q(M|X), not from its mean.
        limit: score no more images than this in a pass.

    Returns:
        ``bound_nats`` (the paper's: the next three summed), ``reconstruction_nats``,
        ``kl_y_nats``, ``kl_z_nats``, ``kl_memory_nats`` (KL(M)/T) and, where that bounds -ln p(X),
        ``bound_with_kl_memory_nats``: with ``sample_memory``, as read from the mean of M the sum
        bounds nothing, or of a model without a memory. Of dequantised images both also `in_bits`.

    Raises:
        InputError: no such episodes can be drawn from these images, or ``passes`` is below 1.
    """
    if passes < 1:
        raise InputError(f"passes={passes} was given: give a whole number of at least 1.")
    if limit is not None and limit < episode_length:
        raise InputError(f"limit={limit}: give at least {episode_length} images, an episode's.")
    validate(
        test, episodes=BATCH, length=episode_length, classes=classes, binarisation=binarisation
    )
    images_in_pass = min(limit or len(test.images), len(test.images))
    episodes_in_pass = images_in_pass // episode_length
    episodes = (
        batch
        for one in range(passes)
        for batch in all_episodes(
            test,
            episode_length,
            seed=passes * seed + one,
            binarisation=binarisation,
            classes=classes,
            batch=BATCH,
            most=episodes_in_pass,
        )
    )
    images = passes * episodes_in_pass * episode_length
    progress = progress_bar(
        total=images, desc="bound", unit="image", delay=3, leave=False, disable=None
    )
    with progress, undisturbed(model, seed) as device:
        total = torch.zeros(len(Elbo._fields), dtype=torch.float64)
        for batch in episodes:
            total += _sums(model(batch.to(device), sample_memory=sample_memory))
            progress.update(batch.shape[0] * batch.shape[1])
    reconstruction, kl_y, kl_z, kl_memory = (total / images).tolist()
    nats = {
        "bound_nats": reconstruction + kl_y + kl_z,
        "reconstruction_nats": reconstruction,
        "kl_y_nats": kl_y,
        "kl_z_nats": kl_z,
        "kl_memory_nats": kl_memory,
    }
    held = kl_memory > 0 or not getattr(model, "prices_memory", True)
    if sample_memory or not held:
        nats["bound_with_kl_memory_nats"] = nats["bound_nats"] + nats["kl_memory_nats"]
    return nats | in_bits(nats, dimensions(test, binarisation))


@contextmanager
def undisturbed(model: nn.Module, seed: int) -> Iterator[torch.device]:
    """Evaluation mode, full precision, no gradients, an own random stream; yields the device."""
    device = next(model.parameters()).device
    gpus = range(torch.cuda.device_count()) if device.type == "cuda" else ()
    training = model.training
    model.eval()
    try:
        with (
            torch.random.fork_rng(devices=list(gpus)),
            torch.autocast(device.type, enabled=False),
            torch.no_grad(),
        ):
            torch.manual_seed(seed)
            yield device
    finally:
        model.train(training)


def _sums(elbo: Elbo) -> Tensor:
    """Each term summed over episodes and items, with shape (4,), in float64 on the CPU."""
    return torch.stack([term.sum(dtype=torch.float64) for term in elbo]).cpu()


def in_bits(nats: Mapping[str, float], dimensions: int | None) -> dict[str, float]:
    """The bounds among them in bits per dimension; nothing where pixels have no density.

    ``bound_nats`` becomes ``bits_per_dim``, ``bound_with_kl_memory_nats`` becomes
    ``bits_per_dim_with_kl_memory``, and so on; see `bits_per_dimension`.
    """
    if dimensions is None:
        return {}
    return {
        key.replace("bound", "bits_per_dim").removesuffix("_nats"): bits_per_dimension(
            value, dimensions
        )
        for key, value in nats.items()
        if key.startswith("bound")
    }
