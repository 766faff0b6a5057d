"""Data as episodes: sets that fit in memory as bytes, and random draws from them.

``load`` gives the two parts of a data set, ``draw_episodes`` and ``all_episodes`` the batches.
"""

from __future__ import annotations

from pathlib import Path

from km_rl.data.episodes import Binarisation, Images, Splits, all_episodes, draw_episodes
from km_rl.errors import InputError

__all__ = ["DATASETS", "Binarisation", "Images", "Splits", "all_episodes", "draw_episodes", "load"]

DATASETS = ("strokes", "omniglot", "cifar10")


def load(dataset: str, data_dir: str | Path | None = None, split: str = "images") -> Splits:
    """The data set of that name: ``strokes`` (built in), ``omniglot`` or ``cifar10`` (both read or
    downloaded).

    ``split`` is ``images`` or, for Omniglot, ``characters``, for CIFAR-10 ``validation``;
    ``strokes`` needs no ``data_dir``.

    Raises:
        InputError: the name or the split is not known, or the data cannot be found or read.
    """
    if dataset == "omniglot":
        from km_rl.data.omniglot import omniglot

        return omniglot(data_dir, split)
    if dataset == "cifar10":
        from km_rl.data.cifar10 import cifar10

        return cifar10(data_dir, split)
    if dataset != "strokes":
        raise InputError(f"Data set '{dataset}' is not known: give one of {', '.join(DATASETS)}.")
    if split != "images":
        raise InputError(f"Split '{split}' of strokes is not known: give 'images'.")
    from km_rl.data.strokes import strokes

    return strokes()
