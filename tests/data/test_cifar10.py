from __future__ import annotations

import io
import os
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pooch
import pytest
import torch

from km_rl.data import draw_episodes, places
from km_rl.data.cifar10 import ARCHIVE, FOLDER, TEST, TRAIN, cifar10
from km_rl.errors import InputError

NAMES = (*TRAIN, TEST)
IMAGES = 4
"""Images in a batch."""


@pytest.fixture(autouse=True)
def user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is read from, or left in, the user's own folders."""
    monkeypatch.delenv("KM_RL_DATA", raising=False)
    monkeypatch.setattr(places, "user_cache", lambda: tmp_path / "user_cache")
    return tmp_path / "user_cache"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder that holds the folder of batches."""
    write(tmp_path / "data" / FOLDER)
    return tmp_path / "data"


def batch(number: int) -> dict[bytes, Any]:
    """Image i is red alone, in its first row alone, and there 10 * number + i."""
    images = np.zeros((IMAGES, 3, 32, 32), np.uint8)
    images[:, 0, 0] = (10 * number + np.arange(IMAGES))[:, None]
    labels = [(number + i) % 10 for i in range(IMAGES)]
    return {b"batch_label": b"a batch", b"labels": labels, b"data": images.reshape(IMAGES, -1)}


def write(folder: Path, **changed: bytes) -> None:
    folder.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        content = changed.get(name) or pickle.dumps(batch(number), protocol=4)
        (folder / name).write_bytes(content)


def python_2(number: int) -> bytes:
    """A batch as the official files have it: protocol 2, strings for bytes, numpy 1's names."""
    content = batch(number)
    array: np.ndarray = content[b"data"]
    short = lambda text: b"U" + bytes([len(text)]) + text
    shape = b"K" + bytes([IMAGES]) + b"M" + struct.pack("<H", array.shape[1]) + b"\x86"
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + short(b"b")
    dtype = b"cnumpy\ndtype\n" + short(b"u1") + b"K\x00K\x01\x87R(K\x03" + short(b"|")
    minus = b"J" + struct.pack("<i", -1)
    flat = b"T" + struct.pack("<i", array.size) + array.tobytes()
    made = empty + b"\x87R(K\x01" + shape + dtype + b"NNN" + 2 * minus + b"K\x00tb\x89" + flat
    labels = b"](" + b"".join(b"K" + bytes([one]) for one in content[b"labels"]) + b"e"
    return b"\x80\x02}(" + short(b"data") + made + b"tb" + short(b"labels") + labels + b"u."


class Attack:
    """Writes a file when it is unpickled by a reader that looks names up."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def values(images: torch.Tensor) -> list[int]:
    return images[:, 0, 0, 31].tolist()


def test_images_and_labels_are_in_the_official_order(data: Path) -> None:
    train, test = cifar10(data)
    assert train.images.shape == (20, 3, 32, 32) and test.images.shape == (4, 3, 32, 32)
    assert (train.images.dtype, train.labels.dtype) == (torch.uint8, torch.int64)
    assert values(train.images) == [10 * b + i for b in range(5) for i in range(IMAGES)]
    assert values(test.images) == [50, 51, 52, 53]
    assert not train.images[:, 1:].any() and not train.images[:, 0, 1:].any()
    assert train.labels[4:8].tolist() == [1, 2, 3, 4] and test.labels.tolist() == [5, 6, 7, 8]


def test_an_episode_of_one_class_holds_one_class(data: Path) -> None:
    train = cifar10(data).train
    label_of = dict(zip(values(train.images), train.labels.tolist(), strict=True))
    options: dict[str, Any] = {"classes": 1, "binarisation": "none"}
    drawn = draw_episodes(train, 6, 3, generator=torch.Generator(), **options)
    for episode in (255 * drawn[:, :, 0, 0, 0]).round().int().tolist():
        assert len({label_of[value] for value in episode}) == 1


def test_the_validation_split_ends_the_training_images(data: Path) -> None:
    train, held = cifar10(data, "validation")
    assert values(train.images) + values(held.images) == values(cifar10(data).train.images)
    assert values(held.images) == [42, 43] and held.labels.tolist() == [6, 7]


def test_the_official_pickles_of_python_2(tmp_path: Path) -> None:
    made = {name: python_2(number) for number, name in enumerate(NAMES)}
    honest = pickle.loads(made[TEST], encoding="bytes")
    assert np.array_equal(honest[b"data"], batch(5)[b"data"])  # a pickle that numpy too can read
    write(tmp_path / FOLDER, **made)
    assert values(cifar10(tmp_path).train.images)[-1] == 43
    assert cifar10(tmp_path).test.labels.tolist() == [5, 6, 7, 8]


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_pickles_of_python_3(tmp_path: Path, protocol: int) -> None:
    write(tmp_path / FOLDER, test_batch=pickle.dumps(batch(5), protocol=protocol))
    assert values(cifar10(tmp_path).test.images) == [50, 51, 52, 53]


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_arrays_of_numpy_1_and_2(tmp_path: Path, core: bytes) -> None:
    made = pickle.dumps(batch(5), protocol=3).replace(b"numpy._core", b"numpy.core")
    assert b"numpy.core.multiarray" in made
    write(tmp_path / FOLDER, test_batch=made.replace(b"numpy.core", core))
    assert values(cifar10(tmp_path).test.images) == [50, 51, 52, 53]


def test_arrays_in_fortran_order_and_labels_as_an_array(tmp_path: Path) -> None:
    content = batch(5)
    content[b"data"] = np.asfortranarray(content[b"data"])
    content[b"labels"] = np.array(content[b"labels"], dtype=">i2")
    for protocol in (4, 5):
        folder = tmp_path / str(protocol)
        write(folder, test_batch=pickle.dumps(content, protocol=protocol))
        test = cifar10(folder).test
        assert values(test.images) == [50, 51, 52, 53] and test.labels.tolist() == [5, 6, 7, 8]


@pytest.mark.parametrize("inside", ["data", "labels", "another"])
def test_a_pickle_that_would_run_code_is_refused_unrun(tmp_path: Path, inside: str) -> None:
    mark = tmp_path / "mark"
    malicious = pickle.dumps({**batch(5), inside.encode(): Attack(mark)})
    write(tmp_path / FOLDER, test_batch=malicious)
    with pytest.raises(InputError, match=r"test_batch' was not opened: it asks for '\w+\.mkdir'"):
        cifar10(tmp_path)
    assert not mark.exists()
    pickle.loads(malicious)
    assert mark.exists()  # the attack is a real one


@pytest.mark.parametrize("asked", ["builtins.eval", "numpy.load", "numpy.core.multiarray.array"])
def test_other_names_are_refused_even_numpy_s(tmp_path: Path, asked: str) -> None:
    module, name = asked.rsplit(".", 1)
    write(tmp_path / FOLDER, test_batch=f"c{module}\n{name}\n.".encode())
    with pytest.raises(InputError, match=f"it asks for '{asked}'"):
        cifar10(tmp_path)


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    odd = pickle.dumps({**batch(5), b"data": np.array([{}, {}], dtype=object)})
    write(tmp_path / FOLDER, test_batch=odd)
    with pytest.raises(InputError, match=r"test_batch' is not a batch .*an array of type O8"):
        cifar10(tmp_path)


def test_places_where_the_data_may_lie(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = cifar10(data)
    (tmp_path / "above").mkdir()
    os.rename(data, tmp_path / "above" / "cifar10")
    inside = tmp_path / "above" / "cifar10"
    packed = tmp_path / "packed"
    packed.mkdir()
    with tarfile.open(packed / ARCHIVE, "w:gz") as archive:
        archive.add(inside / FOLDER, FOLDER)
    monkeypatch.setenv("KM_RL_DATA", str(packed))
    for given in (inside, inside.parent, str(inside / FOLDER), packed, None):
        found = cifar10(given, download=False)
        assert torch.equal(found.train.images, expected.train.images)
        assert torch.equal(found.test.labels, expected.test.labels)


def test_missing_data_names_the_places_and_three_ways_out(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        cifar10(tmp_path / "nowhere")
    sentence = str(raised.value)
    assert f"'{tmp_path / 'nowhere'}' and '{tmp_path / 'nowhere' / 'cifar10'}'" in sentence
    for said in (FOLDER, ARCHIVE, "download", "--data-dir", "KM_RL_DATA", "--dataset strokes"):
        assert said in sentence
    with pytest.raises(InputError, match="no folder was given"):
        cifar10(download=False)


def test_a_batch_that_is_missing(data: Path) -> None:
    for name in ("data_batch_3", "test_batch"):
        (data / FOLDER / name).unlink()
    with pytest.raises(InputError, match=f"{FOLDER}' has no data_batch_3 and no test_batch"):
        cifar10(data)


def test_a_truncated_archive(data: Path, tmp_path: Path) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.add(data / FOLDER, FOLDER)
    (tmp_path / ARCHIVE).write_bytes(content.getvalue()[:-100])
    with pytest.raises(InputError, match=f"{ARCHIVE}' cannot be read .* truncated or damaged"):
        cifar10(tmp_path)


def test_no_archive_is_told_of_in_one_line(tmp_path: Path) -> None:
    (tmp_path / ARCHIVE).write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"could not be opened successfully\), so it is") as told:
        cifar10(tmp_path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"?", "is not a batch of CIFAR-10"),
        (pickle.dumps(batch(5))[:2000], "is not a batch"),
        (pickle.dumps([1, 2]), "is not a batch"),
        (pickle.dumps({b"data": 1}), "is not a batch"),
        (pickle.dumps({**batch(5), b"data": np.zeros((4, 3071), np.uint8)}), "is not a batch"),
        (pickle.dumps({**batch(5), b"data": np.zeros((0, 3072), np.uint8)}), "holds 0 images"),
        (pickle.dumps({**batch(5), b"data": np.zeros((4, 3072), np.int16)}), "of type int16"),
        (pickle.dumps({**batch(5), b"labels": [0, 1, 2]}), r"labels of shape \(3,\)"),
        (pickle.dumps({**batch(5), b"labels": [0, 1, 2, 10]}), "a label from 0 to 9"),
    ],
)
def test_a_batch_that_is_none(tmp_path: Path, content: bytes, said: str) -> None:
    write(tmp_path / FOLDER, test_batch=content)
    with pytest.raises(InputError, match=rf"test_batch' {said}|test_batch' .*{said}"):
        cifar10(tmp_path)


def test_an_unknown_split(data: Path) -> None:
    with pytest.raises(InputError, match="'characters' is not known: give 'images' or 'valid"):
        cifar10(data, "characters")


def test_the_download_is_checked(
    data: Path, user_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def retrieve(url: str, known_hash: str, fname: str, path: Path, progressbar: bool) -> str:
        asked.append((url, known_hash, path))
        path.mkdir()
        with tarfile.open(path / fname, "w:gz") as archive:
            archive.add(data / FOLDER, FOLDER)
        return str(path / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert len(cifar10().train.images) == 20
    url = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    assert asked == [(url, "md5:c58f30108f718f92721af3d95e74349a", user_cache)]


def test_a_failed_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def retrieve(*_: object, **__: object) -> str:
        raise ValueError("hash does not match")

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(InputError, match=r"could not be downloaded .*does not.*--dataset strokes"):
        cifar10()
