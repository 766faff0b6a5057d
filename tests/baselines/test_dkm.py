"""The Dynamic Kanerva Machine: where it writes, what it pays, and that its bound is one."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal
from torch.testing import assert_close

from km_rl.baselines.dkm import DKM, AutoEncodingElbo
from km_rl.core.elbo import Elbo
from km_rl.core.memory import Memory, condition, condition_sequentially
from km_rl.errors import InputError
from km_rl.nn.mlp import mlp

B, T, K, C = 2, 5, 6, 4
SHAPE = (1, 28, 28)


@pytest.fixture
def machine() -> DKM:
    return DKM.build(SHAPE, filters=2, slots=K, code=C, noise_var=0.5).eval()


@pytest.fixture
def images() -> Tensor:
    return (torch.rand(B, T, *SHAPE) > 0.7).float()


@pytest.fixture
def no_sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Gaussian draw is its mean."""
    mean = lambda self, sample_shape=(): self.mean.expand(*sample_shape, *self.mean.shape)
    monkeypatch.setattr(Normal, "rsample", mean)


def ridge(M: Tensor, z: Tensor, noise_var: float) -> Tensor:
    """z M^T (M M^T + noise_var I)^-1, for one memory and one code."""
    return torch.linalg.solve(M @ M.mT + noise_var * torch.eye(len(M)).to(M), M @ z)


@pytest.mark.parametrize("slots", [3, 6], ids=["K<C", "K>C"])
def test_each_item_is_written_where_it_fits_what_was_written_before(slots: int) -> None:
    machine = DKM.build(SHAPE, 2, slots=slots, code=C, noise_var=0.5).double()
    z = torch.randn(B, T, C, dtype=torch.float64, requires_grad=True)
    w, memory = machine._written(z, machine.prior())
    means, covs, addresses = [], [], []
    for b in range(B):
        R, U = machine.prior()
        for t in range(T):
            address = ridge(R, z[b, t], 0.5)
            R, U = condition_sequentially(R, U, address[None], z[b, t][None], 0.5)
            addresses.append(address)
        means.append(R)
        covs.append(U)
    assert_close(w.flatten(0, 1), torch.stack(addresses))
    assert_close(memory, Memory(torch.stack(means), torch.stack(covs)))
    like = torch.randn_like(memory.mean)
    leaves = [z, machine.prior.mean, machine.prior.below, machine.prior.diagonal]
    mine = torch.autograd.grad((memory.mean * like).sum(), leaves)
    theirs = torch.autograd.grad((torch.stack(means) * like).sum(), leaves)
    for gradient, expected in zip(mine, theirs, strict=True):
        assert_close(gradient, expected, rtol=1e-7, atol=1e-9)


def test_writing_passes_gradcheck() -> None:
    machine = DKM.build(SHAPE, 2, slots=3, code=2, noise_var=0.5).double()

    def written(z: Tensor) -> tuple[Tensor, ...]:
        torch.manual_seed(1)
        w, memory = machine._written(z, machine.prior())
        return w, memory.mean, memory.cov

    z = torch.randn(1, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(written, (z,))


def test_a_memory_in_float64_is_read_as_well(machine: DKM, images: Tensor) -> None:
    memory = machine.eval().write(images)
    fine = Memory(*(x.double() for x in memory))
    assert_close(machine.read(fine, images), machine.read(memory, images))
    assert machine.generate(fine, 2).dtype == images.dtype


def test_the_memory_is_the_prior_given_all_addresses_at_once(machine: DKM) -> None:
    z, prior = torch.randn(B, T, C), machine.prior()
    w, memory = machine._written(z, prior)
    assert_close(tuple(memory), condition(prior.mean, prior.cov, w, z, 0.5), rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("no_sampling")
@torch.no_grad()
def test_a_weight_is_the_likelihood_and_the_ratio_of_prior_and_posterior(
    machine: DKM, images: Tensor
) -> None:
    """At the mean w of q = N(w, s^2) the ratio ln p(w) - ln q(w) is the sum of ln s - w^2 / 2."""
    w, log_std = machine.address_weights(images), machine.log_address_std
    ratio = machine.log_weights(images, 1)[0] + machine.elbo(images).distortion
    assert_close(ratio, (log_std - w.square() / 2).sum(-1), rtol=1e-3, atol=1e-2)


@pytest.mark.usefixtures("no_sampling")
@pytest.mark.parametrize("sample_memory", [False, True])
def test_each_rate_is_the_kl_it_claims_to_be(
    machine: DKM, images: Tensor, sample_memory: bool
) -> None:
    with torch.no_grad():
        torch.manual_seed(1)
        elbo, memory = machine.elbo(images, sample_memory), machine.write(images)
        std = machine.log_address_std.exp()
        assert_close(
            elbo.rate_memory,
            memory.kl(machine.prior())[:, None].expand(B, T) / T,
            rtol=1e-3,
            atol=1e-3,
        )
        if sample_memory:
            return
        z = machine.code(machine.encoder(images))
        w = torch.stack([ridge(memory.mean[b], z[b].mT, 0.5).mT for b in range(B)])
    expected = (w.square() + std**2 - 1 - 2 * std.log()).sum(-1) / 2
    assert_close(elbo.rate_y, expected, rtol=1e-3, atol=1e-3)
    assert_close(
        elbo.distortion, -machine.decoder(w @ memory.mean).log_prob(images), rtol=1e-3, atol=1e-2
    )
    assert torch.equal(elbo.rate_z, torch.zeros(B, T))
    assert_close(machine.address_weights(images), w, rtol=1e-3, atol=1e-3)


def test_addresses_are_drawn_in_evaluation_too(machine: DKM, images: Tensor) -> None:
    assert not torch.equal(machine(images).distortion, machine(images).distortion)
    nn.init.constant_(machine.log_address_std, -30.0)
    assert_close(machine(images).distortion, machine(images).distortion)


@pytest.mark.usefixtures("no_sampling")
def test_a_sampled_memory_differs_from_its_mean(machine: DKM, images: Tensor) -> None:
    mean, sampled = machine.elbo(images), machine.elbo(images, sample_memory=True)
    assert_close(mean.rate_memory, sampled.rate_memory)
    assert not torch.equal(mean.rate_y, sampled.rate_y)


def test_the_auto_encoder_counts_in_the_loss_of_training_only(
    machine: DKM, images: Tensor
) -> None:
    assert type(machine.elbo(images)) is Elbo
    elbo = machine.train().elbo(images)
    assert isinstance(elbo, AutoEncodingElbo)
    alone = -machine.decoder(machine.code(machine.encoder(images))).log_prob(images)
    assert_close(elbo.auto_encoder, alone)
    for weights in ((0.0, 1.0), (1.0, 0.3)):
        assert_close(elbo.loss(*weights), Elbo(*elbo).loss(*weights) + alone.mean())
    assert_close(elbo.bound, Elbo(*elbo).bound)


def test_the_prior_mean_is_not_zero_so_that_the_first_write_is_no_accident() -> None:
    machine = DKM.build(SHAPE, 2, slots=K, code=C)
    assert machine.prior.mean.abs().min() > 0
    machine.log_address_std.data.fill_(-30.0)
    w, _ = machine._written(torch.randn(1, 3, C), machine.prior())
    assert (w.abs() > 1e-4).all()


def test_the_std_of_addresses_starts_as_the_paper_has_it() -> None:
    assert DKM.build(SHAPE, 2).log_address_std.exp().item() == pytest.approx(0.3)


@pytest.mark.parametrize("name", ["prior_std", "address_std"])
def test_a_spread_that_is_not_positive_is_refused(name: str) -> None:
    spread: dict[str, Any] = {name: 0.0}
    with pytest.raises(InputError, match=f"{name} is 0"):
        DKM.build(SHAPE, 2, slots=K, code=C, **spread)


# The bound against the truth: one slot, one column and a linear decoder, so that given M each
# image is a Gaussian whose w integrates out in closed form, and M on a grid.

EPISODE = torch.tensor([[1.0, -0.5], [0.8, -0.6], [-1.2, 0.9]])[:, None, None, :]
DIRECTION, STD = torch.tensor([1.5, -1.0]), 0.4


class Encoder(nn.Module):
    width = 8

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(2, 16, self.width)

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images.flatten(-3))


class Decoder(nn.Module):
    def forward(self, codes: Tensor) -> Independent:
        return Independent(Normal((codes * DIRECTION)[..., None, None, :], STD), 3)


def trained(steps: int = 150) -> DKM:
    """Only inference is trained, so that the truth stays what it was and the gap is small."""
    machine = DKM(Encoder(), Decoder(), slots=1, code=1, noise_var=0.1, prior_std=0.3)
    nn.init.ones_(machine.prior.mean)
    machine.prior.requires_grad_(False)
    optimiser = torch.optim.Adam([p for p in machine.parameters() if p.requires_grad], lr=1e-2)
    images = EPISODE.expand(64, *EPISODE.shape)
    for _ in range(steps):
        optimiser.zero_grad()
        machine.elbo(images, sample_memory=True).loss(memory_kl_weight=1.0).backward()
        optimiser.step()
    return machine.eval()


def exact_log_likelihood(machine: DKM) -> float:
    """ln p(X) in nats of the whole episode."""
    (R,), (U,) = (x.double()[0] for x in machine.prior())
    noise = torch.linspace(-6, 6, 801, dtype=torch.float64)
    log_noise = Normal(0.0, 1.0).log_prob(noise) + math.log(12 / 800)
    M = R + U.sqrt() * noise
    direction = DIRECTION.double()
    cov = M[:, None, None].square() * torch.outer(direction, direction) + STD**2 * torch.eye(2)
    given = MultivariateNormal(torch.zeros(2, dtype=torch.float64), cov)
    log_episode = sum(given.log_prob(x) for x in EPISODE.flatten(1).double())
    return torch.logsumexp(log_episode + log_noise, 0).item()


@torch.no_grad()
def test_with_a_sampled_memory_the_full_bound_is_one_and_close() -> None:
    with torch.enable_grad():
        machine = trained()
    nats = machine.elbo(EPISODE.expand(20_000, *EPISODE.shape), True).full_bound.sum(1).double()
    excess = nats.mean().item() + exact_log_likelihood(machine)
    error = nats.std().item() / len(nats) ** 0.5
    assert excess > -4 * error
    assert excess < 3.0
