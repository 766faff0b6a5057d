from __future__ import annotations

import os
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pooch
import pytest
import torch
from PIL import Image

from km_rl.data import omniglot as module
from km_rl.data import places
from km_rl.data.omniglot import omniglot
from km_rl.errors import InputError

CHARACTERS = {
    "images_background": [
        ("Aleph", "character01"),
        ("Aleph", "character02"),
        ("Beth", "character01"),
    ],
    "images_evaluation": [("Aleph", "character01"), ("Gimel", "character01")],
}
DRAWINGS = 4


@pytest.fixture(autouse=True)
def user_cache(tmp_path, monkeypatch) -> Path:
    """Nothing is read from, or left in, the user's own folders."""
    monkeypatch.delenv("KM_RL_DATA", raising=False)
    monkeypatch.setattr(places, "user_cache", lambda: tmp_path / "user_cache")
    return tmp_path / "user_cache"


@pytest.fixture
def zips(tmp_path) -> Path:
    folder = tmp_path / "zips"
    write_zips(folder)
    return folder


def paper(number: int) -> np.ndarray:
    """A drawing, true where there is paper: ``number`` columns of ink on the left."""
    drawing = np.ones((105, 105), dtype=bool)
    drawing[:, :number] = False
    return drawing


def png(drawing: np.ndarray) -> bytes:
    content = BytesIO()
    Image.fromarray(drawing).save(content, format="PNG")
    return content.getvalue()


def entries(name: str) -> dict[str, bytes]:
    first = 0 if name == "images_background" else 50
    return {
        f"{name}/{alphabet}/{character}/{c:04d}_{d:02d}.png": png(paper(first + 10 * c + d))
        for c, (alphabet, character) in enumerate(CHARACTERS[name])
        for d in range(DRAWINGS)
    }


def write_zips(folder: Path, changed: dict[str, bytes] | None = None) -> None:
    folder.mkdir(parents=True)
    for name in CHARACTERS:
        files = entries(name)
        files.update({path: data for path, data in (changed or {}).items() if path in files})
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
            archive.writestr(f"{name}/", b"")
            for path, content in reversed(files.items()):  # the order in the zip is of no account
                archive.writestr(path, content)


def test_characters_split_is_background_against_evaluation(zips):
    train, test = omniglot(zips, split="characters")
    assert train.images.shape == (12, 1, 28, 28)
    assert test.images.shape == (8, 1, 28, 28)
    assert train.images.dtype == torch.uint8
    assert train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert (
        test.labels.tolist() == [3] * 4 + [4] * 4
    )  # numbered on; Aleph/character01 is another one


def test_images_are_ink_coverage(zips):
    train, _ = omniglot(zips, split="characters")
    for image, columns in zip(train.images[:4, 0], range(4), strict=True):
        expected = round(255 * columns / 4)  # the first pixel lies over four columns
        assert (image[:, 0].int() - expected).abs().max() <= 1
        assert not image[:, 1:].any()
    assert (train.images[8, 0, :, :5] == 255).all()  # 20 columns of ink: 5.33 columns of pixels
    assert not train.images[8, 0, :, 6:].any()


def test_images_split_is_random_fixed_and_in_proportion(zips):
    train, test = omniglot(zips)
    assert len(train.images) == 15  # three quarters of 20
    assert len(test.images) == 4  # 20 * 8,070 // 32,460
    assert torch.equal(train.images, omniglot(zips).train.images)
    both = torch.cat([train.images, test.images]).flatten(1)
    assert len(both.unique(dim=0)) == 19  # no image in both


def test_the_split_of_the_real_set_has_the_published_counts():
    total = module.TOTAL
    assert 3 * total // 4 == 24_345
    assert total * module.TEST // total == 8_070


def test_places_where_zips_or_folders_may_lie(zips, tmp_path, monkeypatch):
    expected = omniglot(zips)
    inside = tmp_path / "data" / "omniglot"
    write_zips(inside)
    unpacked = tmp_path / "unpacked"
    for name in CHARACTERS:
        zipfile.ZipFile(zips / f"{name}.zip").extractall(unpacked)
    monkeypatch.setenv("KM_RL_DATA", str(unpacked))
    for given in (inside, inside.parent, str(unpacked), None):
        found = omniglot(given, download=False)
        assert torch.equal(found.train.images, expected.train.images)
        assert torch.equal(found.test.labels, expected.test.labels)


def test_the_second_load_opens_no_zip(zips):
    expected = omniglot(zips)
    for zipped in zips.glob("*.zip"):  # same size, same time, other content
        stat = zipped.stat()
        zipped.write_bytes(b"?" * stat.st_size)
        os.utime(zipped, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert torch.equal(omniglot(zips).train.images, expected.train.images)


def test_a_changed_zip_is_decoded_anew(zips):
    omniglot(zips)
    zipped = zips / "images_evaluation.zip"
    os.utime(zipped, ns=(0, 0))
    zipped.write_bytes(b"?" * zipped.stat().st_size)
    with pytest.raises(InputError, match=r"images_evaluation\.zip"):
        omniglot(zips)


def test_a_damaged_cache_is_decoded_anew(zips):
    expected = omniglot(zips)
    (cache,) = zips.glob("*.npz")
    for damage in (b"", b"?" * 100, cache.read_bytes()[:1000]):
        cache.write_bytes(damage)
        assert torch.equal(omniglot(zips).train.images, expected.train.images)
    assert [path.suffix for path in zips.iterdir()].count(".npz") == 1


def test_the_cache_goes_to_the_users_folder_where_the_data_folder_refuses(zips, user_cache):
    cache_name = f"omniglot28-{module._fingerprint(module._find(zips, False))}.npz"
    (zips / cache_name).mkdir()
    omniglot(zips)
    assert [path.name for path in user_cache.iterdir()] == [cache_name]


def test_no_place_for_the_cache_is_a_warning(zips, user_cache):
    cache_name = f"omniglot28-{module._fingerprint(module._find(zips, False))}.npz"
    (zips / cache_name).mkdir()
    user_cache.write_text("a file where a folder is wanted")
    with pytest.warns(UserWarning, match="can be written: Omniglot will be decoded anew"):
        assert len(omniglot(zips).train.images) == 15


def test_missing_data_names_the_places_and_three_ways_out(tmp_path):
    with pytest.raises(InputError) as raised:
        omniglot(tmp_path / "nowhere")
    sentence = str(raised.value)
    assert "images_background.zip and images_evaluation.zip" in sentence
    assert f"'{tmp_path / 'nowhere'}' and '{tmp_path / 'nowhere' / 'omniglot'}'" in sentence
    for way_out in ("download", "--data-dir", "KM_RL_DATA", "--dataset strokes"):
        assert way_out in sentence


def test_one_zip_alone_is_not_enough(zips):
    (zips / "images_evaluation.zip").unlink()
    with pytest.raises(InputError, match="Omniglot was not found"):
        omniglot(zips)


def test_nothing_given_and_no_download():
    with pytest.raises(InputError, match="no folder was given"):
        omniglot(download=False)


def test_a_truncated_zip(zips):
    zipped = zips / "images_evaluation.zip"
    zipped.write_bytes(zipped.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"images_evaluation\.zip' cannot be read .* truncated"):
        omniglot(zips)
    assert not list(zips.glob("*.npz"))


def test_a_truncated_drawing(tmp_path):
    path = "images_background/Beth/character01/0002_01.png"
    write_zips(tmp_path / "zips", {path: entries("images_background")[path][:60]})
    with pytest.raises(InputError, match=r"images_background\.zip' cannot be read"):
        omniglot(tmp_path / "zips")


def test_an_image_of_another_size(tmp_path):
    path = "images_evaluation/Gimel/character01/0001_02.png"
    write_zips(tmp_path / "zips", {path: png(np.ones((90, 105), dtype=bool))})
    with pytest.raises(InputError, match=r"0001_02\.png' has 105 x 90 pixels, .* 105 x 105"):
        omniglot(tmp_path / "zips")


def test_an_empty_folder(tmp_path):
    for name in CHARACTERS:
        (tmp_path / "data" / name).mkdir(parents=True)
    with pytest.raises(InputError, match="images_background' holds no drawings, where"):
        omniglot(tmp_path / "data")


def test_an_unknown_split(zips):
    with pytest.raises(
        InputError, match="'alphabets' is not known: give 'images' or 'characters'"
    ):
        omniglot(zips, split="alphabets")


def test_download_is_checked_and_goes_to_the_users_cache(zips, user_cache, monkeypatch):
    asked = []

    def retrieve(url, known_hash, fname, path, progressbar):
        asked.append((url, known_hash, path))
        return str(zips / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert len(omniglot().train.images) == 15
    assert [known_hash for _, known_hash, _ in asked] == [
        "md5:68d2efa1b9178cc56df9314c21c6e718",
        "md5:6b91aef0f799c5bb55b94e3f2daec811",
    ]
    assert all("brendenlake/omniglot" in url and path == user_cache for url, _, path in asked)


@pytest.mark.parametrize("error", [ConnectionError("no route"), ValueError("hash does not match")])
def test_a_failed_download(error, monkeypatch):
    def retrieve(*_, **__):
        raise error

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(InputError, match=f"could not be downloaded .*{error}.*--dataset strokes"):
        omniglot()


def test_what_a_mac_leaves_beside_drawings_is_none(zips, tmp_path):
    with zipfile.ZipFile(zips / "images_background.zip", "a") as archive:
        first = next(name for name in archive.namelist() if name.endswith(".png"))
        folder, _, name = first.rpartition("/")
        archive.writestr(f"__MACOSX/{folder}/._{name}", b"no picture")
        archive.writestr(f"{folder}/._{name}", b"no picture")
    assert len(omniglot(zips, split="characters").train.images) == 12
