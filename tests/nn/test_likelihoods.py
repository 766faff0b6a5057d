"""p(x|z): log-probabilities in nats per image, and bits per dimension."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Bernoulli, Normal
from torch.testing import assert_close

from km_rl.nn.likelihoods import (
    BernoulliLikelihood,
    GaussianLikelihood,
    PixelGaussianLikelihood,
    bits_per_dimension,
    picture,
)

SHAPE = (2, 3, 1, 4, 5)


def test_bernoulli_is_torch_s_summed_over_the_image() -> None:
    logits, x = torch.randn(SHAPE), torch.rand(SHAPE).round()
    expected = Bernoulli(logits=logits).log_prob(x).sum((-3, -2, -1))
    pictures = BernoulliLikelihood()(logits)
    assert_close(pictures.log_prob(x), expected)
    assert_close(pictures.mean, torch.sigmoid(logits))


def test_bernoulli_stays_finite_where_it_is_certain() -> None:
    logits = torch.full(SHAPE, 200.0, requires_grad=True)
    log_prob = BernoulliLikelihood()(logits).log_prob(torch.zeros(SHAPE))
    assert_close(log_prob, torch.full((2, 3), -20 * 200.0))
    log_prob.sum().backward()
    assert logits.grad is not None
    assert_close(logits.grad, torch.full(SHAPE, -1.0))


def test_bernoulli_draws_have_no_axis_of_their_own() -> None:
    logits = torch.randn(SHAPE)
    x = torch.rand(7, *SHAPE).round()
    assert BernoulliLikelihood()(logits).log_prob(x).shape == (7, 2, 3)


def test_gaussian_is_torch_s_with_one_std() -> None:
    likelihood, output, x = GaussianLikelihood(), torch.randn(SHAPE), torch.rand(SHAPE)
    std = likelihood.log_std.exp() + 0.25 / 256
    expected = Normal(0.5 + output, std).log_prob(x).sum((-3, -2, -1))
    assert_close(likelihood(output).log_prob(x), expected)
    assert likelihood(output).stddev.mean().item() == pytest.approx(0.25, rel=0.02)


def test_a_std_of_each_pixel_is_the_one_for_all_times_its_factor() -> None:
    likelihood, x = PixelGaussianLikelihood(), torch.rand(2, 3, 5, 4, 4)
    mean, log_factor = torch.randn(2, 2, 3, 5, 4, 4)
    found = likelihood(torch.cat([mean, log_factor], -3))
    std = 0.25 * log_factor.exp() + 0.25 / 256
    assert_close(found.log_prob(x), Normal(0.5 + mean, std).log_prob(x).sum((-3, -2, -1)))
    same = likelihood(torch.cat([mean, torch.zeros_like(mean)], -3))
    assert_close(same.log_prob(x), GaussianLikelihood()(mean).log_prob(x))


@pytest.mark.parametrize("levels", [256, 32])
def test_the_std_never_falls_below_a_quarter_of_a_level(levels: int) -> None:
    likelihood = GaussianLikelihood(levels)
    torch.nn.init.constant_(likelihood.log_std, -100.0)
    assert likelihood(torch.zeros(SHAPE)).stddev.min().item() == pytest.approx(0.25 / levels)


@pytest.mark.parametrize("likelihood", [BernoulliLikelihood(), GaussianLikelihood()])
def test_half_precision_outputs_are_scored_in_float32(likelihood: torch.nn.Module) -> None:
    output = torch.randn(SHAPE, dtype=torch.bfloat16)
    assert likelihood(output).log_prob(torch.zeros(SHAPE)).dtype == torch.float32


def test_a_uniform_density_costs_its_eight_bits() -> None:
    """Density 1 on 0..1 is 0 nats; each of 256 equal levels costs log2 256 bits."""
    assert bits_per_dimension(torch.tensor(0.0), dimensions=12).item() == pytest.approx(8.0)


def test_a_narrow_density_by_hand() -> None:
    """Uniform over 2 of 256 levels: density 128 on each of 10 dimensions, 1 bit each."""
    nats = torch.tensor(-10 * math.log(128))
    assert bits_per_dimension(nats, dimensions=10).item() == pytest.approx(1.0, abs=1e-6)
    assert bits_per_dimension(nats.expand(2, 3), dimensions=10).shape == (2, 3)


def test_a_gaussian_integrated_by_hand() -> None:
    """Levels that a Gaussian falls into cost, by its density, a little more than their entropy."""
    mean, std = 0.5, 10 / 256
    below = [0.5 * (1 + math.erf((k / 256 - mean) / (std * 2**0.5))) for k in range(257)]
    share = torch.tensor(below, dtype=torch.float64).diff()
    entropy = -(share * share.clamp(min=1e-300).log2()).sum().item()
    assert entropy == pytest.approx(math.log2(10 * math.sqrt(2 * math.pi * math.e)), abs=0.01)

    u = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    x = (torch.arange(256)[:, None] + u) / 256
    nats = -(share @ Normal(mean, std).log_prob(x).mean(1)).item()
    assert 0 < bits_per_dimension(nats, dimensions=1) - entropy < 0.002


def test_a_picture_lies_between_black_and_white() -> None:
    output = torch.tensor([-2.0, 0.1, 2.0]).view(1, 1, 3)
    assert_close(picture(GaussianLikelihood()(output)), torch.tensor([[[0.0, 0.6, 1.0]]]))
    ink = BernoulliLikelihood()(output)
    assert_close(picture(ink), output.sigmoid())
