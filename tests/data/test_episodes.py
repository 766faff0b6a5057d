from __future__ import annotations

import pytest
import torch
from torch import Tensor

from km_rl.data import Images, Splits, all_episodes, draw_episodes
from km_rl.data.episodes import dimensions, pixels
from km_rl.errors import InputError


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(total: int, labels: Tensor | None = None) -> Images:
    """Images of one pixel whose value is their number, so that a draw shows what was drawn."""
    images = torch.arange(total, dtype=torch.uint8).view(total, 1, 1, 1)
    return Images(images, torch.zeros(total, dtype=torch.int64) if labels is None else labels)


def numbers(episodes: Tensor) -> Tensor:
    return (episodes[..., 0, 0, 0] * 255).round().long()


def draw(data: Images, episodes: int, length: int, classes: int | None = None, seed: int = 0):
    return numbers(
        draw_episodes(
            data, episodes, length, generator=rng(seed), classes=classes, binarisation="none"
        )
    )


def test_shape_type_and_range():
    data = Images(torch.randint(0, 256, (50, 3, 4, 5), dtype=torch.uint8), torch.arange(50))
    drawn = draw_episodes(data, 2, 7, generator=rng())
    assert drawn.shape == (2, 7, 3, 4, 5)
    assert drawn.dtype == torch.float32
    assert set(drawn.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("classes", [None, 2])
def test_a_seed_gives_the_same_episodes_and_the_generator_moves_on(classes):
    data = numbered(200, torch.arange(200) // 10)
    generator = rng(3)
    first, second = (
        draw_episodes(data, 4, 6, generator=generator, classes=classes) for _ in range(2)
    )
    again = draw_episodes(data, 4, 6, generator=rng(3), classes=classes)
    assert torch.equal(first, again)
    assert not torch.equal(draw(data, 4, 6, classes, seed=1), draw(data, 4, 6, classes, seed=2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("length", [1, 10, 40, 100])  # both ways to draw, and all images at once
def test_no_image_twice_in_an_episode(length):
    drawn = draw(numbered(100), 200, length)
    assert all(len(row.unique()) == length for row in drawn)


@pytest.mark.parametrize("length", [5, 40])
def test_all_images_and_places_are_equally_likely(length):
    drawn = draw(numbered(100), 20_000, length)
    expected = 20_000 * length / 100
    for counts in (
        drawn.flatten().bincount(minlength=100),
        5 * drawn[:, ::5].flatten().bincount(),
    ):
        assert (counts / expected - 1).abs().max() < 0.2
    first = drawn[:, 0].bincount(minlength=100)
    assert (first / 200 - 1).abs().max() < 0.35


def test_classes_per_episode():
    labels = torch.tensor([7, -2, 1000, 4, 55]).repeat(8)  # any numbers, in any order
    drawn = draw(numbered(40, labels), 300, 12, classes=2)
    assert all(len(row.unique()) == 12 for row in drawn)
    assert all(len(labels[row].unique()) == 2 for row in drawn)
    pairs = {tuple(sorted(labels[row].unique().tolist())) for row in drawn}
    assert len(pairs) == 10  # every pair of the five turns up


def test_classes_of_unequal_size_are_drawn_from_by_image():
    labels = torch.tensor([0] * 2 + [1] * 8)
    drawn = draw(numbered(10, labels), 20_000, 1, classes=2)
    assert (drawn.flatten().bincount(minlength=10) / 2000 - 1).abs().max() < 0.15


def test_every_image_is_used_before_any_is_used_again():
    labels = torch.arange(60) % 20  # three images in a class
    drawn = draw(numbered(60, labels), 50, 8, classes=1)
    for row in drawn:
        counts = row.bincount()[row.unique()]
        assert counts.sort().values.tolist() == [2, 3, 3]
        assert len(row[:3].unique()) == 3


def test_all_classes_at_once():
    drawn = draw(numbered(30, torch.arange(30) // 10), 4, 30, classes=3)
    assert torch.equal(drawn.sort(dim=1).values, torch.arange(30).expand(4, 30))


def test_dynamic_binarisation_has_the_frequency_of_the_value():
    values = torch.tensor([0, 1, 64, 128, 254, 255], dtype=torch.uint8)
    drawn = pixels(values.repeat(200_000, 1), "dynamic", rng())
    frequency = drawn.mean(dim=0)
    assert frequency[0] == 0
    assert frequency[-1] == 1
    torch.testing.assert_close(frequency, values / 255, atol=0.004, rtol=0)
    torch.testing.assert_close(frequency[1], values[1] / 255, atol=0.0006, rtol=0)


def test_dynamic_binarisation_is_new_at_each_draw():
    data = Images(torch.full((1, 1, 28, 28), 128, dtype=torch.uint8), torch.zeros(1))
    generator = rng()
    first, second = (draw_episodes(data, 1, 1, generator=generator) for _ in range(2))
    assert 0.4 < (first != second).float().mean() < 0.6


def test_static_binarisation_and_none():
    values = torch.tensor([0, 127, 128, 255], dtype=torch.uint8)
    assert pixels(values, "static", rng()).tolist() == [0, 0, 1, 1]
    torch.testing.assert_close(pixels(values, "none", rng()), values / 255)


def test_dequantisation_fills_one_grey_level_and_no_more():
    levels = torch.arange(256, dtype=torch.uint8).expand(200, 256)
    drawn = pixels(levels, "dequantised", rng())
    assert drawn.dtype == torch.float32
    torch.testing.assert_close((drawn * 256).floor(), levels.float())
    assert 0 <= drawn.min() <= drawn.max() <= 1
    noise = drawn * 256 - levels
    assert noise.mean() == pytest.approx(0.5, abs=0.01)
    assert noise.var() == pytest.approx(1 / 12, abs=0.002)


def test_dequantisation_is_new_at_each_draw_and_repeated_by_a_seed():
    data = Images(torch.full((2, 3, 4, 4), 7, dtype=torch.uint8), torch.zeros(2))
    generator = rng()
    first, second = (
        draw_episodes(data, 1, 2, generator=generator, binarisation="dequantised")
        for _ in range(2)
    )
    assert (first != second).all()
    again = draw_episodes(data, 1, 2, generator=rng(), binarisation="dequantised")
    assert torch.equal(first, again)
    passes = [list(all_episodes(data, 2, seed=s, binarisation="dequantised")) for s in (3, 3, 4)]
    assert torch.equal(passes[0][0], passes[1][0]) and (passes[0][0] != passes[2][0]).all()


def test_only_dequantised_images_have_dimensions():
    data = Images(torch.zeros((2, 3, 4, 5), dtype=torch.uint8), torch.zeros(2))
    assert dimensions(data, "dequantised") == 60
    assert dimensions(data, "dynamic") is None


def test_all_episodes_shows_every_image_once():
    batches = list(all_episodes(numbered(103), 10, seed=1, binarisation="none", batch=4))
    assert [batch.shape[:2] for batch in batches] == [(4, 10), (4, 10), (2, 10)]
    shown = torch.cat([numbers(batch).flatten() for batch in batches])
    assert len(shown.unique()) == len(shown) == 100


def test_all_episodes_depends_on_the_seed_alone():
    data = numbered(64)
    one, same, other = (
        torch.cat(list(all_episodes(data, 8, seed=seed, binarisation="none")))
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_all_episodes_of_classes():
    labels = torch.arange(60) // 10
    batches = list(all_episodes(numbered(60, labels), 6, seed=0, binarisation="none", classes=2))
    drawn = numbers(torch.cat(batches))
    assert drawn.shape == (10, 6)
    assert all(len(labels[row].unique()) <= 2 for row in drawn)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"length": 11}, r"length 11 .* data set of 10 images: give a length of at most 10\.$"),
        ({"length": 0}, r"length=0 was given: give a whole number of at least 1\.$"),
        ({"episodes": 0}, r"episodes=0 was given"),
        ({"classes": 0}, r"classes=0 was given"),
        ({"classes": 6}, r"6 classes .* data set of 5 classes: give at most 5\.$"),
        (
            {"binarisation": "fuzzy"},
            r"'fuzzy' is not known: give one of dynamic, static, none, deq",
        ),
    ],
)
def test_bad_input(arguments, sentence):
    data = numbered(10, torch.arange(10) % 5)
    with pytest.raises(InputError, match=sentence):
        draw_episodes(data, **{"episodes": 2, "length": 3, "generator": rng(), **arguments})
    if "episodes" not in arguments:
        with pytest.raises(InputError, match=sentence):  # at the call, not at the first batch
            all_episodes(data, **{"length": 3, "seed": 0, **arguments})


@pytest.mark.parametrize(
    ("images", "labels", "sentence"),
    [
        (torch.rand(4, 1, 28, 28), torch.zeros(4), "float32 with shape .*: give uint8"),
        (torch.zeros(4, 28, 28, dtype=torch.uint8), torch.zeros(4), r"\(4, 28, 28\) were given"),
        (torch.zeros(4, 1, 28, 28, dtype=torch.uint8), torch.zeros(9), "4 images were given with"),
    ],
)
def test_images_that_are_none_are_refused(images, labels, sentence):
    with pytest.raises(InputError, match=sentence):
        draw_episodes(Images(images, labels), 2, 3, generator=rng())


def test_no_episodes_are_not_all():
    with pytest.raises(InputError, match="most is 0"):
        all_episodes(numbered(10, torch.arange(10) % 5), length=3, seed=0, most=0)


@pytest.mark.cuda
@pytest.mark.parametrize("classes", [None, 2])
def test_the_same_episodes_on_a_gpu(classes):
    data = Images(torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8), torch.arange(50) % 5)
    there = Images(*(tensor.cuda() for tensor in data))
    drawn = draw_episodes(there, 3, 4, generator=rng(), classes=classes)
    assert drawn.is_cuda
    assert torch.equal(drawn.cpu(), draw_episodes(data, 3, 4, generator=rng(), classes=classes))


def test_a_digest_is_of_images_labels_and_parts() -> None:
    labels = torch.arange(4)
    pixels = torch.arange(16, dtype=torch.uint8).reshape(4, 1, 2, 2)
    held = Images(pixels, labels)
    assert held.digest == Images(pixels.clone(), labels.clone()).digest
    others = [Images(pixels.flip(0), labels), Images(pixels, labels.flip(0))]
    others += [Images(pixels.reshape(4, 1, 4, 1), labels)]
    assert len({held.digest, *(other.digest for other in others)}) == 4
    assert Splits(held, others[0]).digest != Splits(others[0], held).digest
