from __future__ import annotations

import pytest
import torch

from km_rl.data.corrupt import blank_block, flip, salt_and_pepper
from km_rl.errors import InputError


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_salt_and_pepper_replaces_the_fraction_by_both_alike():
    grey = torch.full((200, 1, 28, 28), 0.5)
    spoilt = salt_and_pepper(grey, 0.3, rng())
    assert abs((spoilt == 0).float().mean() - 0.15) < 0.005
    assert abs((spoilt == 1).float().mean() - 0.15) < 0.005
    assert (spoilt == 0.5).float().mean() > 0.69
    assert (grey == 0.5).all()  # the input is left alone


def test_salt_and_pepper_replaces_a_pixel_in_all_channels():
    spoilt = salt_and_pepper(torch.full((200, 3, 16, 16), 0.5), 0.3, rng())
    assert (spoilt == spoilt[:, :1]).all()
    assert abs((spoilt[:, 0] != 0.5).float().mean() - 0.3) < 0.01


def test_salt_and_pepper_at_its_ends():
    grey = torch.full((3, 4, 1, 8, 8), 0.5)
    assert torch.equal(salt_and_pepper(grey, 0, rng()), grey)
    assert (salt_and_pepper(grey, 1, rng()) != 0.5).all()


def test_blank_block_is_one_square_in_each_image():
    blanked = blank_block(torch.ones(5, 100, 2, 9, 7), 3, rng()) == 0
    assert (blanked.sum(dim=(-1, -2)) == 9).all()
    assert (blanked.any(dim=-1).sum(dim=-1) == 3).all()  # three rows
    assert (blanked.any(dim=-2).sum(dim=-1) == 3).all()  # three columns
    assert torch.equal(blanked[:, :, 0], blanked[:, :, 1])  # the same in every channel
    places = blanked[:, :, 0].flatten(0, 1).unique(dim=0)
    assert len(places) == (9 - 3 + 1) * (7 - 3 + 1)  # all of them turn up


def test_blank_block_at_its_ends():
    ones = torch.ones(4, 1, 6, 6)
    assert torch.equal(blank_block(ones, 0, rng()), ones)
    assert not blank_block(ones, 6, rng()).any()


def test_seeds():
    images = torch.rand(4, 8, 1, 16, 16)
    for spoil in (lambda g: salt_and_pepper(images, 0.5, g), lambda g: blank_block(images, 8, g)):
        assert torch.equal(spoil(rng(1)), spoil(rng(1)))
        assert not torch.equal(spoil(rng(1)), spoil(rng(2)))


@pytest.mark.parametrize("fraction", [-0.1, 1.5, float("nan")])
def test_fraction_outside_0_to_1(fraction):
    with pytest.raises(InputError, match=rf"fraction of {fraction} .* between 0 and 1\.$"):
        salt_and_pepper(torch.zeros(1, 1, 4, 4), fraction, rng())


@pytest.mark.parametrize("size", [-1, 5])
def test_block_that_does_not_fit(size):
    with pytest.raises(InputError, match=f"{size} x {size} .* images of 4 x 6: .* from 0 to 4"):
        blank_block(torch.zeros(1, 1, 4, 6), size, rng())


def test_flip_turns_the_fraction_over_and_back():
    images = (torch.rand(200, 1, 28, 28) < 0.3).float()
    spoilt = flip(images, 0.2, rng())
    assert abs((spoilt != images).float().mean() - 0.2) < 0.005
    assert set(spoilt.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(flip(spoilt, 0.2, rng()), images)
    assert torch.equal(flip(images, 1, rng()), 1 - images)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_no_such_fraction_is_flipped(fraction: float):
    with pytest.raises(InputError, match="between 0 and 1"):
        flip(torch.zeros(1, 1, 2, 2), fraction, rng())
