"""The full bound never beats the truth, on a machine so small that ln p(X) is an integral.

The memory has two slots and one column, the address one dimension and the decoder is linear and
Gaussian: given y and M the code integrates out in closed form, and y and M on a grid.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal

from km_rl.core.machine import KanervaMachine
from km_rl.nn.mlp import GaussianHead, mlp

EPISODE = torch.tensor([[1.0, -0.5], [0.8, -0.6], [-1.2, 0.9]])[:, None, None, :]
"""Three images of shape (1, 1, 2)."""

MEMORY_WORKS = {"address_scale": 0.1, "prior_std": 1.0}
"""What an image is comes from M, and KL(M) is about 2 nats."""

ADDRESS_WORKS = {"address_scale": 1.0, "prior_std": 0.01}
"""What an image is comes from y, and the rates of y are about 3 nats."""


class Encoder(nn.Module):
    width = 8

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(2, 16, self.width)

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images.flatten(-3))


class Addresses(nn.Module):
    """One slot that y moves, one that it does not."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, y: Tensor) -> Tensor:
        return torch.cat([self.scale * y.tanh(), torch.ones_like(y)], -1)


class LinearDecoder(nn.Module):
    """x ~ N(direction z + offset, std^2 I)."""

    direction = torch.tensor([1.5, -1.0])
    offset = torch.tensor([0.2, 0.0])
    std = 0.4

    def forward(self, codes: Tensor) -> Independent:
        mean = codes * self.direction + self.offset
        return Independent(Normal(mean[..., None, None, :], self.std), 3)


@cache
def trained_machine(address_scale: float, prior_std: float, steps: int = 300) -> KanervaMachine:
    """Only inference is trained, so that the truth stays what it was and the gap is small."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"slots": 2, "code": 1, "key": 1}
    spreads: dict[str, Any] = {"noise_var": 0.1, "prior_std": prior_std, "address_noise_std": 0.0}
    machine = KanervaMachine(Encoder(), LinearDecoder(), **sizes, **spreads)
    nn.init.ones_(machine.prior.mean)
    machine.addressing = Addresses(address_scale)  # type: ignore[assignment]
    machine.q_y, machine.q_z_write = (GaussianHead(Encoder.width, 1, 16) for _ in range(2))
    machine.prior.requires_grad_(False)
    inference = [p for p in machine.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(inference, lr=1e-2)
    images = EPISODE.expand(64, *EPISODE.shape)
    for _ in range(steps):
        optimiser.zero_grad()
        machine.elbo(images, sample_memory=True).loss(memory_kl_weight=1.0).backward()
        optimiser.step()
    return machine.eval()


def grid(points: int, reach: float = 6.0) -> tuple[Tensor, Tensor]:
    """Points of an even grid and the log of N(0, 1) times its spacing."""
    x = torch.linspace(-reach, reach, points, dtype=torch.float64)
    return x, Normal(0.0, 1.0).log_prob(x) + math.log(2 * reach / (points - 1))


@torch.no_grad()
def exact_log_likelihood(machine: KanervaMachine) -> float:
    """ln p(X) in nats of the whole episode, by integration over y and M."""
    y, log_y = grid(201)
    noise, log_noise = grid(41)
    w = machine.addressing(y.float()[:, None]).double()
    R, U = (x.double() for x in machine.prior())
    M = R + torch.linalg.cholesky(U) @ torch.cartesian_prod(noise, noise)[..., None]
    decoder, noise_var = LinearDecoder, machine.prior.noise_var.double()
    direction = decoder.direction.double()
    mean = (M.squeeze(-1) @ w.mT)[..., None] * direction + decoder.offset
    cov = noise_var * torch.outer(direction, direction) + decoder.std**2 * torch.eye(2)
    log_episode = sum(
        torch.logsumexp(MultivariateNormal(mean, cov).log_prob(x) + log_y, -1)
        for x in EPISODE.flatten(1).double()
    )
    return torch.logsumexp(
        log_episode + torch.cartesian_prod(log_noise, log_noise).sum(-1), 0
    ).item()


@torch.no_grad()
def gap(machine: KanervaMachine, sample_memory: bool) -> tuple[float, float]:
    """Full bound minus -ln p(X), in nats per episode, and its standard error."""
    elbo = machine.elbo(EPISODE.expand(40_000, *EPISODE.shape), sample_memory)
    nats = elbo.full_bound.sum(1).double()
    error = nats.std() / len(nats) ** 0.5
    return nats.mean().item() + exact_log_likelihood(machine), error.item()


@pytest.mark.parametrize("works", [MEMORY_WORKS, ADDRESS_WORKS], ids=["memory", "address"])
def test_with_a_sampled_memory_the_full_bound_is_one_and_close(works: dict[str, float]) -> None:
    excess, error = gap(trained_machine(**works), sample_memory=True)
    assert excess > -4 * error
    assert excess < 0.7


def test_at_the_mean_of_the_memory_it_is_no_bound() -> None:
    excess, error = gap(trained_machine(**MEMORY_WORKS), sample_memory=False)
    assert excess < -4 * error
