"""The cosines of a photograph: scipy's transform, there and back, and who is given them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from torch.distributions import Independent, Normal, kl_divergence
from torch.testing import assert_close

from km_rl.baselines.vae import VAE
from km_rl.core.machine import KanervaMachine
from km_rl.errors import InputError
from km_rl.nn.cosines import BESIDE, CONTRAST, FALL, LENGTH, Cosines

COLOUR = (3, 8, 12)
IMAGES = torch.rand(2, 5, *COLOUR, generator=torch.Generator().manual_seed(0)) - 0.5


def test_the_numbers_are_scipy_s_cosines_of_brightness_and_colours_scaled() -> None:
    red, green, blue = np.moveaxis(IMAGES.double().numpy(), 2, 0)
    planes = (
        (red + green + blue) / 3**0.5,
        (red - blue) / 2**0.5,
        (red - 2 * green + blue) / 6**0.5,
    )
    r = np.hypot(*np.mgrid[:8, :12])
    scaled = [
        LENGTH * dctn(plane, axes=(-2, -1), norm="ortho") * ((1 + r) ** FALL / contrast) ** 0.5
        for plane, contrast in zip(planes, CONTRAST, strict=True)
    ]
    expected = torch.from_numpy(np.stack(scaled, 2)).flatten(2).sort(-1).values
    found = Cosines(COLOUR, 3 * 8 * 12)(IMAGES).sort(-1).values
    assert_close(found, expected.float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 28, 28), COLOUR], ids=str)
def test_all_of_them_make_the_image_again(shape: tuple[int, int, int]) -> None:
    images = torch.rand(4, *shape) - 0.5
    cosines = Cosines(shape, images[0].numel())
    assert_close(cosines.images(cosines(images)), images, atol=1e-5, rtol=1e-5)


def test_few_of_them_are_the_nearest_image_that_they_can_make() -> None:
    cosines = Cosines(COLOUR, 40)
    near = cosines.images(cosines(IMAGES))
    assert_close(cosines(IMAGES - near), torch.zeros(2, 5, 40), atol=1e-4, rtol=0)
    assert_close(cosines.images(cosines(near)), near, atol=1e-5, rtol=1e-5)


def test_the_first_is_brightness_and_a_grey_image_has_no_other() -> None:
    numbers = Cosines(COLOUR, 40)(torch.full(COLOUR, 0.25))
    assert numbers[0] > 0.1
    assert numbers[1:].abs().max() < 1e-4


def test_the_gain_is_that_of_bayes_rule_for_a_gaussian_image() -> None:
    """By the covariance of (a, x) with x = images(a) + rest noise, conditioned on x."""
    cosines, noise_var = Cosines(COLOUR, 30), 0.01
    C = cosines.synthesis.double()  # a C is the image
    covariance = noise_var * C.mT @ C + cosines.rest**2 * torch.eye(C.shape[1])
    moved = noise_var * C @ torch.linalg.solve(covariance, C.mT)
    assert_close(moved.diagonal().float(), cosines.gain(noise_var), rtol=1e-4, atol=1e-6)


def test_what_is_expected_is_near_what_a_field_of_that_spectrum_has() -> None:
    """Draw all numbers as expected: the few that are kept miss ``rest`` of a pixel."""
    every, few = Cosines(COLOUR, 3 * 8 * 12), Cosines(COLOUR, 40)
    images = every.images(every.stds * torch.randn(2000, 3 * 8 * 12))
    missed = images - few.images(few(images))
    assert missed.square().mean().sqrt().item() == pytest.approx(few.rest, rel=0.03)
    assert_close(few(images).std(0), few.stds, rtol=0.1, atol=0)


def test_nothing_of_them_is_trained_or_saved() -> None:
    cosines = Cosines(COLOUR, 4)
    assert not list(cosines.parameters())
    assert not cosines.state_dict()


def test_they_are_exact_under_autocast() -> None:
    cosines = Cosines((3, 32, 32), 100)
    image = torch.rand(3, 32, 32) - 0.5
    expected = cosines.images(cosines(image))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(cosines.images(cosines(image)), expected)


@pytest.mark.parametrize(
    ("shape", "count", "sentence"),
    [((2, 8, 8), 4, "2 channels have no"), ((1, 8, 8), 65, "65 cosines .* of 64 values")],
)
def test_what_has_none_is_refused(shape: tuple[int, int, int], count: int, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Cosines(shape, count)


@pytest.mark.parametrize("model", [KanervaMachine, VAE])
def test_a_new_model_passes_them_to_its_code(model: type[KanervaMachine | VAE]) -> None:
    """Before any training, a code is near the cosines that its image is made of."""
    torch.manual_seed(0)
    machine = model.build((3, 32, 32), filters=4, likelihood="gaussian", code=30, cosines=True)
    cosines = Cosines((3, 32, 32), 30)
    codes = 0.1 * cosines.stds * torch.randn(2, 8, 30)
    images = 0.5 + cosines.images(codes)
    head = machine.q_z if isinstance(machine, VAE) else machine.q_z_write
    found = head(machine.encoder(images)).mean
    assert (found - codes).square().mean() < 0.01 * codes.square().mean()
    missed = machine.decoder(codes).mean - images
    assert missed.square().mean() < 0.1 * (images - 0.5).square().mean()


def test_nets_are_no_wider_for_more_of_them() -> None:
    machine = KanervaMachine.build((3, 32, 32), 2, "gaussian", code=900, cosines=True)
    vae = VAE.build((3, 32, 32), 2, "gaussian", code=900, cosines=True)
    assert machine.encoder.width == vae.encoder.width == BESIDE + 900
    heads = (machine.q_y, machine.q_z_write, machine.q_z_read, vae.q_z)
    assert [head.first.out_features for head in heads] == 4 * [BESIDE]


def test_a_model_with_them_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    model = KanervaMachine.build(
        (3, 32, 32), filters=2, likelihood="pixel-gaussian", slots=4, code=6, key=3, cosines=True
    ).eval()
    model.save(tmp_path / "model.safetensors")
    images = torch.rand(1, 4, 3, 32, 32)
    loaded = KanervaMachine.load(tmp_path / "model.safetensors")
    bounds = []
    for one in (model, loaded):
        torch.manual_seed(0)
        bounds.append(one(images).bound)
    assert_close(*bounds)


def test_an_auto_encoder_that_passes_them_pays_for_codes_by_its_trained_prior() -> None:
    vae = VAE.build((3, 32, 32), filters=2, likelihood="gaussian", code=20, cosines=True)
    images = torch.rand(1, 3, 3, 32, 32)
    found = vae(images).rate_z
    prior = Independent(Normal(torch.zeros(20), Cosines((3, 32, 32), 20).stds), 1)
    assert_close(found, kl_divergence(vae.q_z(vae.encoder(images)), prior))
    vae(images).loss().backward()
    assert vae.log_prior_std is not None
    assert vae.log_prior_std.grad is not None
    weights = -vae.log_weights(images, 400).mean(0)
    assert_close(weights, vae(images).bound, rtol=0.02, atol=1.0)
    assert vae.generate(5).shape == (5, 3, 32, 32)
