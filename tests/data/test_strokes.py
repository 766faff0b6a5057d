from __future__ import annotations

import hashlib

import pytest
import torch

from km_rl.data.strokes import strokes
from km_rl.errors import InputError


@pytest.fixture(scope="module")
def small():
    return strokes(seed=0, classes=20, exemplars=10)


def test_shapes_types_and_split(small):
    assert small.train.images.shape == (150, 1, 28, 28)
    assert small.test.images.shape == (50, 1, 28, 28)
    assert small.train.images.dtype == torch.uint8
    labels = torch.cat([small.train.labels, small.test.labels])
    assert labels.bincount().tolist() == [10] * 20


def test_the_same_images_on_every_machine(small):
    content = torch.cat([small.train.images, small.test.images]).numpy().tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == "8524024ddbf95a95"


def test_the_seed_decides(small):
    assert torch.equal(strokes(0, 20, 10).train.images, small.train.images)
    assert not torch.equal(strokes(1, 20, 10).train.images, small.train.images)


def test_ink_is_smooth_and_about_as_much_as_omniglots(small):
    ink = small.train.images.float() / 255
    assert 0.05 < ink.mean() < 0.11  # Omniglot: 0.08
    assert (ink.amax(dim=(1, 2, 3)) > 0.9).all()  # no blank image
    grey = ((ink > 0) & (ink < 1)).float().mean()
    assert 0.05 < grey < 0.15  # Omniglot: 0.10


def test_nothing_is_cut_off_at_the_edge(small):
    images = small.train.images
    frame = torch.ones(28, 28, dtype=torch.bool)
    frame[1:-1, 1:-1] = False
    assert not images[..., frame].any()


def test_exemplars_of_a_class_differ_but_are_alike(small):
    images, labels = small.train.images.float() / 255, small.train.labels
    blurred = torch.nn.functional.avg_pool2d(images, 5, stride=1).flatten(1)
    distance = torch.cdist(blurred, blurred)
    same = labels[:, None] == labels
    others = ~torch.eye(len(labels), dtype=torch.bool)
    assert distance[others].min() > 0
    assert distance[same & others].mean() < 0.75 * distance[~same].mean()


def test_another_size_is_the_same_drawing_finer():
    coarse, fine = (strokes(0, 5, 4, size=size).train.images.float() for size in (28, 56))
    averaged = torch.nn.functional.avg_pool2d(fine, 2)
    assert (averaged - coarse).abs().mean() < 6


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"classes": 0}, "0 classes of 20 exemplars .* give at least 1 of each"),
        ({"classes": 1, "exemplars": 1}, "at least 2 images in all"),
        ({"size": 4}, "Strokes of 4 pixels .* at least 8"),
    ],
)
def test_bad_input(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        strokes(**arguments)
