"""The perceptrons, and the Gaussians they end in."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from km_rl.nn.initial import EMBEDDING_STD
from km_rl.nn.mlp import GaussianHead, mlp, normal


def test_an_mlp_is_two_layers_and_a_relu() -> None:
    net, x = mlp(3, 7, 2), torch.randn(4, 5, 3)
    assert [type(layer) for layer in net] == [nn.Linear, nn.ReLU, nn.Linear]
    assert_close(net(x), net[2](net[0](x).clamp(min=0)))


def test_normal_is_one_distribution_over_the_last_axis() -> None:
    mean, std = torch.randn(2, 3, 4), torch.rand(4) + 0.1
    distribution = normal(mean, std)
    assert distribution.batch_shape == (2, 3)
    assert distribution.event_shape == (4,)
    x = torch.randn(2, 3, 4)
    assert_close(
        distribution.log_prob(x), torch.distributions.Normal(mean, std).log_prob(x).sum(-1)
    )
    assert_close(normal(mean, 2.0).stddev, torch.full((2, 3, 4), 2.0))


@pytest.mark.parametrize("std", [0.1, 0.3, 1.0, 3.0])
def test_a_head_starts_near_its_initial_std(std: float) -> None:
    head = GaussianHead(16, 8, 32, initial_std=std)
    found = head(0.1 * torch.randn(200, 16)).stddev
    assert found.mean().item() == pytest.approx(std, rel=0.15)


@pytest.mark.parametrize("extreme", [-1e4, 1e4])
def test_a_std_is_positive_and_finite_whatever_the_input(extreme: float) -> None:
    head = GaussianHead(3, 4, 8)
    distribution = head(torch.full((2, 3), extreme))
    assert distribution.batch_shape == (2,)
    assert distribution.event_shape == (4,)
    assert (distribution.stddev > 0).all()
    assert distribution.stddev.isfinite().all()


def test_a_head_ends_in_float32_under_autocast() -> None:
    head = GaussianHead(3, 4, 8)
    with torch.autocast("cpu", torch.bfloat16):
        distribution = head(torch.randn(2, 3))
    assert distribution.mean.dtype == distribution.stddev.dtype == torch.float32


def test_the_initial_std_is_not_a_weight() -> None:
    assert all(name.startswith("net.") for name in GaussianHead(3, 4, 8).state_dict())


def test_a_head_can_start_as_the_identity_of_its_last_inputs() -> None:
    context, copied = torch.randn(200, 12), torch.randn(200, 5)
    head = GaussianHead(17, 5, 10, initial_std=0.3).start_as_identity()
    found = head(torch.cat([context, copied], -1))
    assert (found.mean - copied).abs().mean() < 0.1
    assert found.stddev.mean().item() == pytest.approx(0.3, rel=0.05)


def test_a_head_can_start_with_a_few_sharp_entries() -> None:
    torch.manual_seed(0)
    q = GaussianHead(20, 10, 40).start_sharp(3, std=0.04)(EMBEDDING_STD * torch.randn(500, 20))
    spread, std = q.mean.std(0), q.stddev.mean(0)
    assert spread[:3].min() > 10 * spread[3:].max()
    assert_close(std[:3], torch.full((3,), 0.04), rtol=0.3, atol=0)
    assert_close(std[3:], torch.ones(7), rtol=0.3, atol=0)


def test_a_head_can_pass_what_lies_between_its_last_inputs_and_those_before() -> None:
    gain = torch.tensor([0.01, 0.25, 0.9])
    head = GaussianHead(10, 3, 16, passes=True, gain=gain)
    others, told, known = (torch.randn(50, n) for n in (4, 3, 3))
    found = head(torch.cat([others, told, known], -1)).mean
    assert_close(found, torch.lerp(known, told, gain), atol=0.1, rtol=0)
    found.square().sum().backward()
    assert head.raw_gain is not None
    assert head.raw_gain.grad is not None


def test_a_head_that_passes_its_last_inputs_adds_little() -> None:
    head = GaussianHead(10, 3, 16, passes=True)
    x = torch.randn(50, 10)
    added = head(x).mean - x[:, -3:]
    assert 0 < added.abs().max() < 0.1
    head.last.weight.data.zero_()
    assert_close(head(x).mean, x[:, -3:])
