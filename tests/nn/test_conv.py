"""The paper's encoder and decoder: their shapes, and that no image sees another."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from km_rl.errors import InputError
from km_rl.nn.conv import ConvDecoder, ConvEncoder, ResidualBlock
from km_rl.nn.likelihoods import Likelihood

SHAPES = [(1, 28, 28), (3, 32, 32), (1, 28, 20)]


@pytest.mark.parametrize("batch", [(2,), (2, 5), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_encoder_and_decoder_mirror_each_other(
    shape: tuple[int, int, int], batch: tuple[int, ...]
) -> None:
    images = torch.rand(*batch, *shape)
    embeddings = ConvEncoder(shape, filters=4, width=10)(images)
    assert embeddings.shape == (*batch, 10)
    pictures = ConvDecoder(10, shape, filters=4)(embeddings)
    assert pictures.batch_shape == batch
    assert pictures.event_shape == shape
    assert pictures.mean.shape == images.shape
    assert pictures.log_prob(images.round()).shape == batch


def test_the_paper_s_sizes_by_block() -> None:
    sizes = []
    encoder = ConvEncoder((1, 28, 28), filters=4, width=10)
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            module.register_forward_hook(lambda _m, _i, out: sizes.append(tuple(out.shape[1:])))
    encoder(torch.rand(2, 1, 28, 28))
    assert sizes == [(4, 14, 14), (4, 7, 7), (4, 3, 3)]


def test_a_residual_block_adds_two_convolutions_with_a_relu_between() -> None:
    block, x = ResidualBlock(4), torch.randn(2, 4, 7, 7)
    second, first = block.second, block.first
    assert_close(block(x), (x + second(first(x).clamp(min=0))).clamp(min=0))


def test_nothing_normalises_over_the_batch() -> None:
    for model in (ConvEncoder((1, 28, 28), 4, 10), ConvDecoder(10, (1, 28, 28), 4)):
        assert not any("Norm" in type(module).__name__ for module in model.modules())


@pytest.mark.parametrize("spoil", [1.0, float("nan")])
def test_no_item_of_an_episode_sees_another(spoil: float) -> None:
    encoder, decoder = ConvEncoder((1, 28, 28), 4, 10), ConvDecoder(10, (1, 28, 28), 4)
    images = torch.rand(2, 5, 1, 28, 28)
    before = decoder(encoder(images)).mean
    images[0, 3] = spoil
    after = decoder(encoder(images)).mean
    untouched = torch.ones(2, 5, dtype=torch.bool)
    untouched[0, 3] = False
    assert_close(after[untouched], before[untouched])
    assert not torch.equal(after[0, 3], before[0, 3])


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_gradients_reach_every_parameter(likelihood: Likelihood) -> None:
    shape = (3, 32, 32)
    encoder = ConvEncoder(shape, 8, 10, likelihood)
    decoder = ConvDecoder(10, shape, 8, likelihood)
    images = torch.rand(4, 2, *shape).round()
    decoder(encoder(images)).log_prob(images).sum().backward()
    for model in (encoder, decoder):
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(("likelihood", "middle"), [("bernoulli", 0.0), ("gaussian", 0.5)])
def test_an_encoder_that_knows_nothing_is_blind_to_the_middle_alone(
    likelihood: Likelihood, middle: float
) -> None:
    encoder = ConvEncoder((3, 32, 32), 4, 10, likelihood)
    grey = torch.full((2, 3, 32, 32), middle)
    assert_close(encoder(grey), torch.zeros(2, 10))
    assert encoder(grey + 0.1).abs().sum() > 0.1


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(1, 32, 32\) were given to an encoder of \(1, 28, 28"):
        ConvEncoder((1, 28, 28), 2, 4)(torch.zeros(2, 1, 32, 32))


def test_one_image_without_an_axis_before_it_is_refused() -> None:
    with pytest.raises(InputError, match=r"one image is image\[None\]"):
        ConvEncoder((1, 28, 28), 2, 4)(torch.zeros(1, 28, 28))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool], ids=str)
def test_images_that_are_no_floats_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(InputError, match=rf"{dtype} were given .* images / 255"):
        ConvEncoder((1, 28, 28), 2, 4)(torch.zeros(2, 1, 28, 28, dtype=dtype))


@pytest.mark.parametrize("pixels", [(0.0, 255.0), (-0.4, 2.8)], ids=["bytes", "standardised"])
def test_pixels_outside_0_to_1_are_refused(pixels: tuple[float, float]) -> None:
    images = torch.tensor(pixels).repeat(2, 1, 28, 14)
    with pytest.raises(InputError, match=rf"{pixels[0]:g} to {pixels[1]:g} were given .* 0\.\.1"):
        ConvEncoder((1, 28, 28), 2, 4)(images)


def test_images_too_small_for_three_halvings_are_refused() -> None:
    with pytest.raises(InputError, match="at least 8 x 8"):
        ConvEncoder((1, 7, 28), 2, 4)


def test_an_unknown_likelihood_is_refused() -> None:
    with pytest.raises(InputError, match="bernoulli, gaussian"):
        ConvDecoder(4, (1, 8, 8), 2, "bernouli")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="bernoulli, gaussian"):
        ConvEncoder((1, 8, 8), 2, 4, "bernouli")  # type: ignore[arg-type]
