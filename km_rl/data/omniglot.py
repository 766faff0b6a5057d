"""Omniglot (Lake, Salakhutdinov, Tenenbaum 2015): 1,623 characters, 20 drawings of each.

Reads the official layout, ``images_background`` and ``images_evaluation``, from zips or unpacked
folders, and turns 105 x 105 one-bit drawings into 28 x 28 bytes of ink coverage: each is the mean
of the 3 or 4 by 3 or 4 whole pixels beneath it (Pillow's box filter; 105 / 28 = 3.75). Decoding
takes some seconds and is done once; the array is kept beside the data or, where that folder cannot
be written, in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import io
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps

from km_rl.data import places
from km_rl.data.episodes import Images, Splits
from km_rl.errors import InputError
from km_rl.files import written_beside

SETS = ("images_background", "images_evaluation")
URL = "https://github.com/brendenlake/omniglot/raw/master/python/{}.zip"
MD5 = {
    "images_background": "68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation": "6b91aef0f799c5bb55b94e3f2daec811",
}
ORIGINAL_SIZE = 105
SIZE = 28
SPLIT_SEED = 2015
TOTAL, TEST = 32_460, 8_070  # images in all, and for testing, in Burda et al.
WAYS_OUT = (
    "name a folder that holds both with --data-dir (or KM_RL_DATA), or use --dataset strokes, "
    "which needs no data"
)
FORMAT = "1"  # of the cached array; another number makes old caches unread


def omniglot(
    data_dir: str | Path | None = None, split: str = "images", download: bool = True
) -> Splits:
    """Omniglot as ``Images`` with shape (N, 1, 28, 28); labels 0 to 1622 over both sets.

    Looks in ``data_dir``, and only there, where it is given; else in the folder that the variable
    ``KM_RL_DATA`` of the environment names; else downloads the official zips, checked, into the
    user's cache folder. A folder may hold the two zips, the two unpacked folders, or a folder
    ``omniglot`` that does.

    Splits: ``images`` is random over all images with a fixed seed, in the proportions of Burda
    et al. (2016): of 32,460 images 24,345 (three quarters) are for training and 8,070 for testing;
    the 45 left over are in neither. ``characters`` is background (19,280) against evaluation
    (13,180): every test character is new.

    Raises:
        InputError: the data are missing, truncated, empty or of another size, or the split is not
            one of the two.
    """
    if split not in ("images", "characters"):
        raise InputError(f"Split '{split}' is not known: give 'images' or 'characters'.")
    images, labels, in_background = _decoded_once(_find(data_dir, download))
    data = Images(torch.from_numpy(images)[:, None], torch.from_numpy(labels))
    if split == "characters":
        background = torch.from_numpy(in_background)
        return Splits(*(Images(data.images[m], data.labels[m]) for m in (background, ~background)))
    total = len(data.labels)
    order = torch.randperm(total, generator=torch.Generator().manual_seed(SPLIT_SEED))
    train = order[: 3 * total // 4]
    test = order[len(train) : len(train) + total * TEST // TOTAL]
    return Splits(*(Images(data.images[i], data.labels[i]) for i in (train, test)))


def _find(data_dir: str | Path | None, download: bool) -> dict[str, Path]:
    """A zip or a folder for each of the two sets."""
    folders = places.candidates(data_dir, "omniglot")
    for place in folders:
        found = {name: path for name in SETS if (path := _zip_or_folder(place, name))}
        if len(found) == len(SETS):
            return found
    looked = (
        "Omniglot was not found: looked for images_background.zip and images_evaluation.zip, or "
        f"folders of these names, in {places.named(folders)}"
    )
    if download and not data_dir:
        return {n: places.fetched(URL.format(n), MD5[n], looked, WAYS_OUT) for n in SETS}
    raise InputError(f"{looked}; leave out --data-dir to download them, {WAYS_OUT}.")


def _zip_or_folder(place: Path, name: str) -> Path | None:
    return next((p for p in (place / f"{name}.zip", place / name) if p.exists()), None)


class _Decoded(NamedTuple):
    """Ink (N, 28, 28) in bytes, class (N,) as int64, "is of the background set" (N,) as bool."""

    images: np.ndarray
    labels: np.ndarray
    in_background: np.ndarray


def _decoded_once(sources: dict[str, Path]) -> _Decoded:
    """The cached array, or else decode, and keep the result in the first place that allows it."""
    cache_name = f"omniglot28-{_fingerprint(sources)}.npz"
    folders = [sources[SETS[0]].parent, places.user_cache()]
    kept = [folder / cache_name for folder in folders]
    for place in kept:
        if (cached := _load(place)) is not None:
            return cached
    decoded = _decode(sources)
    _store(kept, decoded)
    return decoded


def _fingerprint(sources: dict[str, Path]) -> str:
    """Changes with the name, size or time of change of any file; opens none."""
    digest = hashlib.sha256(FORMAT.encode())
    for name, source in sources.items():
        files = sorted(source.rglob("*.png")) if source.is_dir() else [source]
        for file in files:
            stat = file.stat()
            digest.update(f"{name} {file.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _load(place: Path) -> _Decoded | None:
    """What ``_store`` wrote; None where there is nothing, or nothing whole."""
    try:
        with np.load(place, allow_pickle=False) as file:
            return _Decoded(**file)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _store(kept: list[Path], decoded: _Decoded) -> None:
    for place in kept:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with written_beside(place) as beside, open(beside, "wb") as file:
                np.savez(file, **decoded._asdict())
            return
        except (InputError, OSError):
            continue
    tried = " nor ".join(f"'{place.parent}'" for place in kept)
    warnings.warn(
        f"Neither {tried} can be written: Omniglot will be decoded anew each time.", stacklevel=2
    )


def _decode(sources: dict[str, Path]) -> _Decoded:
    """Every drawing, in the order of set, alphabet, character and file name."""
    images: list[np.ndarray] = []
    characters: list[tuple[str, str, str]] = []
    for name, source in sources.items():
        before = len(images)
        for alphabet, character, image in _drawings(source):
            characters.append((name, alphabet, character))
            images.append(image)
        if len(images) == before:
            raise InputError(
                f"'{source}' holds no drawings, where {name}/<alphabet>/<character>/*.png is "
                f"expected: get it again, {WAYS_OUT}."
            )
    number = {character: label for label, character in enumerate(dict.fromkeys(characters))}
    return _Decoded(
        np.stack(images),
        np.array([number[character] for character in characters]),
        np.array([name == SETS[0] for name, _, _ in characters]),
    )


def _drawings(source: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    """Alphabet, character and ink of every drawing in a zip or a folder, in order."""
    try:
        for parts, content in _files(source):
            yield parts[0], parts[1], _ink(content, f"{source}/{'/'.join(parts)}")
    except (OSError, EOFError, SyntaxError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"'{source}' cannot be read ({error}), so it is truncated or damaged: get it again, "
            f"{WAYS_OUT}."
        ) from error


def _files(source: Path) -> Iterator[tuple[tuple[str, ...], bytes]]:
    """(alphabet, character, file name) and content of every PNG file, sorted."""
    if source.is_dir():
        paths = {path.relative_to(source).parts[-3:]: path for path in source.rglob("*.png")}
        for parts in _sorted_drawings(paths):
            yield parts, paths[parts].read_bytes()
    else:
        with zipfile.ZipFile(source) as archive:
            names = {PurePosixPath(name).parts[-3:]: name for name in archive.namelist()}
            for parts in _sorted_drawings(names):
                yield parts, archive.read(names[parts])


def _sorted_drawings(parts: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Without what a Mac leaves beside the files that it copies, "._" before their names."""
    drawings = (part for part in parts if len(part) == 3 and part[2].endswith(".png"))
    return sorted(part for part in drawings if not part[2].startswith("."))


def _ink(content: bytes, name: str) -> np.ndarray:
    """Ink coverage, uint8 with shape (28, 28), of a drawing whose ink is 0 and paper 1."""
    with Image.open(io.BytesIO(content)) as image:
        if image.size != (ORIGINAL_SIZE, ORIGINAL_SIZE):
            raise InputError(
                f"'{name}' has {image.width} x {image.height} pixels, where Omniglot's drawings "
                f"have {ORIGINAL_SIZE} x {ORIGINAL_SIZE}: get the official files, {WAYS_OUT}."
            )
        ink = ImageOps.invert(image.convert("L"))
    return np.asarray(ink.resize((SIZE, SIZE), Image.Resampling.BOX))
