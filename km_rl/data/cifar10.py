"""CIFAR-10 (Krizhevsky 2009): colour photographs of 32 x 32 pixels in ten classes.

Reads the official "python version", five training batches and a test batch, from the folder
``cifar-10-batches-py`` or from the archive that holds it. The batches are pickles, which can make
whoever opens them run any code: here they are read by an unpickler that builds containers,
numbers, bytes and arrays of whole numbers, and refuses every other name.
"""

from __future__ import annotations

import io
import pickle
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from km_rl.data import places
from km_rl.data.episodes import Images, Splits
from km_rl.errors import InputError

FOLDER = "cifar-10-batches-py"
ARCHIVE = "cifar-10-python.tar.gz"
URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
MD5 = "c58f30108f718f92721af3d95e74349a"
TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = "test_batch"
SHAPE = (3, 32, 32)
CLASSES = 10
WAYS_OUT = (
    "name a folder that holds either with --data-dir (or KM_RL_DATA), or use --dataset strokes, "
    "which needs no data"
)


def cifar10(
    data_dir: str | Path | None = None, split: str = "images", download: bool = True
) -> Splits:
    """CIFAR-10 as ``Images`` with shape (N, 3, 32, 32); labels 0 (airplane) to 9 (truck).

    Looks in ``data_dir``, and only there, where it is given; else in the folder that the variable
    ``KM_RL_DATA`` of the environment names; else downloads the official archive, checked, into the
    user's cache folder. A folder may hold the batches themselves, the folder or the archive that
    does, or a folder ``cifar10`` with one of these. What a user already has is not held against
    the official checksum, and batches may have any number of images.

    Splits: ``images`` is the official one, 50,000 images against 10,000 (where the folder has them
    all). ``validation`` leaves the test images alone, for choosing settings: the last tenth of the
    training images is tested on, and the others are trained on.

    Raises:
        InputError: the data are missing, damaged, empty or of another shape, ask to run code when
            they are read, or the split is not one of the two.
    """
    if split not in ("images", "validation"):
        raise InputError(f"Split '{split}' is not known: give 'images' or 'validation'.")
    found = _find(data_dir, download)
    batches = dict(_batches(found))
    if missing := [name for name in (*TRAIN, TEST) if name not in batches]:
        raise InputError(f"'{found}' has no {' and no '.join(missing)}: get it again, {WAYS_OUT}.")
    train = Images(*map(torch.cat, zip(*(batches[name] for name in TRAIN), strict=True)))
    if split == "images":
        return Splits(train, batches[TEST])
    kept = len(train.images) - len(train.images) // 10
    return Splits(*(Images(*(part[at] for part in train)) for at in _around(kept)))


def _around(index: int) -> tuple[slice, slice]:
    return slice(None, index), slice(index, None)


def _find(data_dir: str | Path | None, download: bool) -> Path:
    """The folder of batches, or the archive."""
    folders = places.candidates(data_dir, "cifar10")
    for place in folders:
        for path in (place / FOLDER, place, place / ARCHIVE):
            if path.is_file() or any((path / name).exists() for name in (*TRAIN, TEST)):
                return path
    looked = (
        f"CIFAR-10 was not found: looked for the folder {FOLDER} or the archive {ARCHIVE} in "
        f"{places.named(folders)}"
    )
    if download and not data_dir:
        return places.fetched(URL, MD5, looked, WAYS_OUT)
    raise InputError(f"{looked}; leave out --data-dir to download it, {WAYS_OUT}.")


def _batches(source: Path) -> Iterator[tuple[str, Images]]:
    """Every batch that is there, with its name, in one pass over the files."""
    for name, content in _files(source):
        yield name, _decoded(content, f"{source}/{name}")


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    names = (*TRAIN, TEST)
    try:
        if source.is_dir():
            for path in (source / name for name in names):
                if path.exists():
                    yield path.name, path.read_bytes()
            return
        with tarfile.open(source) as archive:
            for member in archive:
                name = Path(member.name).name
                if name in names and (file := archive.extractfile(member)) is not None:
                    yield name, file.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        reason = str(error).partition(":\n")[0]  # tarfile goes on with what it tried, line by line
        raise InputError(
            f"'{source}' cannot be read ({reason}), so it is truncated or damaged: get it again, "
            f"{WAYS_OUT}."
        ) from error


def _decoded(content: bytes, name: str) -> Images:
    """The images and labels of a pickled batch."""
    try:
        batch = _Unpickler(content, name).load()
        flat, labels = (_array(batch[key]) for key in (b"data", b"labels"))
        images = flat.reshape(-1, *SHAPE)
    except InputError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(
            f"'{name}' is not a batch of CIFAR-10 ({type(error).__name__}: {error}): a pickled "
            f"dict with images b'data' of {' x '.join(map(str, SHAPE))} and b'labels' is "
            f"expected; get it again, {WAYS_OUT}."
        ) from error
    _check(images, labels, name)
    return Images(torch.from_numpy(images.copy()), torch.from_numpy(labels.astype(np.int64)))


def _array(value: Any) -> np.ndarray:
    return value.value if isinstance(value, _Array) else np.asarray(value)


def _check(images: np.ndarray, labels: np.ndarray, name: str) -> None:
    known = labels.dtype.kind in "iu" and np.isin(labels, range(CLASSES)).all()
    if known and images.dtype == np.uint8 and labels.shape == (len(images),) and len(images):
        return
    raise InputError(
        f"'{name}' holds {len(images)} images of type {images.dtype} and labels of shape "
        f"{labels.shape}: at least one image, of bytes, and for each a label from 0 to "
        f"{CLASSES - 1} are expected; get it again, {WAYS_OUT}."
    )


class _Unpickler(pickle.Unpickler):
    """Reads containers, numbers, bytes and arrays; any other name is refused, not looked up.

    Python 2's strings, as in the official files, become bytes.
    """

    def __init__(self, content: bytes, source: str) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self.source = source

    def find_class(self, module: str, name: str) -> Any:
        if (found := _STAND_INS.get(f"{module}.{name}")) is None:
            raise InputError(
                f"'{self.source}' was not opened: it asks for '{module}.{name}' where only arrays "
                f"are expected, and could run code by it; get the official files, {WAYS_OUT}."
            )
        return found


class _Dtype:
    """Stands in for numpy's dtype: whole numbers of 1 to 8 bytes."""

    def __init__(self, kind: str | bytes, *_: object) -> None:
        self.kind = kind if isinstance(kind, str) else kind.decode()
        if not re.fullmatch("[iu][1248]", self.kind):
            raise ValueError(f"an array of type {self.kind}")
        self.order = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        self.order = order if isinstance(order, str) else order.decode()

    def array(self, content: bytes, shape: tuple[int, ...], fortran: bool) -> np.ndarray:
        """The array of that content; a copy in C's order comes later."""
        flat = np.frombuffer(content, np.dtype(self.order + self.kind))
        return flat.reshape(shape, order="F" if fortran else "C")


class _Array:
    """Stands in for a numpy array while it is read, so that numpy's own unpickling never runs."""

    value: np.ndarray

    def __init__(self, *_: object) -> None:
        """As ``numpy.core.multiarray._reconstruct``, which makes an empty one."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, content = state
        self.value = dtype.array(content, shape, fortran)


class _Buffer(_Array):
    """As ``numpy.core.numeric._frombuffer``, of pickles of protocol 5."""

    def __init__(self, content: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> None:
        self.value = dtype.array(content, shape, order == "F")


_STAND_INS: dict[str, type] = {
    "numpy.dtype": _Dtype,
    "numpy.ndarray": _Array,
    **{f"numpy.{core}.multiarray._reconstruct": _Array for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _Buffer for core in ("core", "_core")},
}
"""Names as numpy 1 and numpy 2 write them."""
