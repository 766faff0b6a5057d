"""The machine: what it returns, what each term of its bound is, and what it may not depend on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.testing import assert_close

from km_rl.core.elbo import Elbo
from km_rl.core.machine import KanervaMachine
from km_rl.core.memory import Memory
from km_rl.errors import InputError

B, T, K, C, S = 2, 5, 6, 4, 3
SHAPE = (1, 28, 28)


@pytest.fixture
def machine() -> KanervaMachine:
    return KanervaMachine.build(SHAPE, filters=2, slots=K, code=C, key=S).eval()


@pytest.fixture
def images() -> Tensor:
    return (torch.rand(B, T, *SHAPE) > 0.7).float()


@pytest.fixture
def no_sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Gaussian draw is its mean."""
    mean = lambda self, sample_shape=(): self.mean.expand(*sample_shape, *self.mean.shape)
    monkeypatch.setattr(Normal, "rsample", mean)


@pytest.mark.parametrize("sample_memory", [False, True])
def test_elbo_has_four_terms_per_image_and_rates_are_not_negative(
    machine: KanervaMachine, images: Tensor, sample_memory: bool
) -> None:
    elbo = machine(images, sample_memory)
    assert isinstance(elbo, Elbo)
    for term in elbo:
        assert term.shape == (B, T)
        assert term.isfinite().all()
        assert (term >= 0).all()


def test_what_each_method_returns(machine: KanervaMachine, images: Tensor) -> None:
    memory = machine.write(images)
    assert memory.mean.shape == (B, K, C)
    assert memory.cov.shape == (B, K, K)
    assert machine.address_weights(images).shape == (B, T, K)
    pictures = {
        (3, B, T): machine.iterate(memory, images, steps=3),
        (B, T): machine.read(memory, images, steps=2),
        (8, B, T): machine.denoise(images, images),
        (2, B, 7): machine.generate(memory, n=7, steps=2),
        (1, B, 7): machine.generate(memory, n=7),
        (B, 9): machine.interpolate(memory, images[:, 0], images[:, 1], n=9),
    }
    for axes, picture in pictures.items():
        assert picture.shape == (*axes, *SHAPE)
        assert 0 <= picture.min() <= picture.max() <= 1


def test_reading_feeds_each_pass_to_the_next(machine: KanervaMachine, images: Tensor) -> None:
    memory = machine.write(images)
    first, second = machine.iterate(memory, images, steps=2)
    assert_close(machine.read(memory, images), first)
    assert_close(machine.read(memory, first), second)
    assert_close(machine.read(memory, images, steps=2), second)


def test_interpolation_ends_at_its_two_images(machine: KanervaMachine, images: Tensor) -> None:
    memory = machine.write(images)
    row = machine.interpolate(memory, images[:, 0], images[:, 1], n=4)
    ends = machine.decode(memory, machine.address_weights(images[:, :2]))
    assert_close(row[:, [0, -1]], ends)
    row = machine.interpolate_codes(memory, images[:, 0], images[:, 1], n=4)
    assert_close(row[:, [0, -1]], machine.read(memory, images[:, :2]))


def test_writing_draws_an_address_and_a_code(machine: KanervaMachine, images: Tensor) -> None:
    first, second = machine.write(images), machine.write(images)
    assert not torch.equal(first.cov, second.cov)
    constant = machine.addressing.key[-1]
    assert isinstance(constant, nn.Linear)
    nn.init.zeros_(constant.weight)
    nn.init.ones_(constant.bias)
    first, second = machine.write(images), machine.write(images)
    assert torch.equal(first.cov, second.cov)
    assert not torch.equal(first.mean, second.mean)


@pytest.mark.usefixtures("no_sampling")
def test_the_written_memory_is_exchangeable(machine: KanervaMachine, images: Tensor) -> None:
    shuffled = machine.write(images[:, torch.randperm(T)])
    assert_close(shuffled, machine.write(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sample_memory", [False, True])
@pytest.mark.parametrize("diagonal_covariance", [False, True])
def test_a_machine_that_never_writes_keeps_its_prior(
    images: Tensor, sample_memory: bool, diagonal_covariance: bool
) -> None:
    """Its bound is that of the same machine when it writes an episode no times, and M is free."""
    options: dict[str, Any] = {"filters": 2, "slots": 4, "code": 3, "key": 3}
    options["diagonal_covariance"] = diagonal_covariance
    machine = KanervaMachine.build(**options, unwritten=True).eval()
    writing = KanervaMachine.build(**options).eval()
    writing.load_state_dict(machine.state_dict())
    bounds = []
    for model, writes in ((machine, 1), (writing, 0), (writing, 1)):
        torch.manual_seed(0)
        bounds.append(model.elbo(images, sample_memory, writes))
    ours, nothing, written = bounds
    for term, same in zip(ours, nothing, strict=True):
        assert_close(term, same)
    assert not ours.rate_memory.any() and (written.rate_memory > 0).all()
    memory = machine.write(images, torch.ones(B, T, dtype=torch.bool))
    for moment, prior in zip(memory, machine.prior(), strict=True):
        assert torch.equal(moment, prior.expand_as(moment))


@pytest.mark.usefixtures("no_sampling")
def test_masked_images_are_not_written(machine: KanervaMachine, images: Tensor) -> None:
    mask = torch.tensor([True, True, False, True, False]).expand(B, T)
    dirty = torch.where(mask[..., None, None, None], images, torch.nan)
    assert_close(machine.write(dirty, mask), machine.write(images[:, mask[0]]))


@pytest.mark.parametrize(
    "mask", [torch.ones(B, T), torch.ones(B, T - 1, dtype=torch.bool), torch.ones(T).bool()]
)
def test_a_mask_is_true_or_false_for_each_image(
    machine: KanervaMachine, images: Tensor, mask: Tensor
) -> None:
    with pytest.raises(InputError, match=r"torch\.bool and shape \(2, 5\) is expected"):
        machine.write(images, mask)


@pytest.mark.usefixtures("no_sampling")
def test_no_episode_sees_another(machine: KanervaMachine, images: Tensor) -> None:
    together, alone = machine.elbo(images), machine.elbo(images[:1])
    for term, own in zip(together, alone, strict=True):
        assert_close(term[:1], own)


@pytest.mark.usefixtures("no_sampling")
def test_each_rate_is_the_kl_it_claims_to_be(machine: KanervaMachine, images: Tensor) -> None:
    with torch.no_grad():
        elbo, memory = machine.elbo(images), machine.write(images)
        embeddings = machine.encoder(images)
        q_y = machine.q_y(embeddings)
        read_out = machine.addressing(q_y.mean) @ memory.mean
        q_z = machine.q_z_read(torch.cat([embeddings, read_out], -1))
    _assert_kl(elbo.rate_y, q_y.base_dist, Normal(torch.zeros(S), torch.ones(S)))
    _assert_kl(elbo.rate_z, q_z.base_dist, Normal(read_out, machine.prior.noise_var.sqrt()))
    kl_memory = memory.kl(machine.prior())
    assert_close(elbo.rate_memory, kl_memory[:, None].expand(B, T) / T)
    assert_close(elbo.distortion, -machine.decoder(q_z.mean).log_prob(images))


def _assert_kl(claimed: Tensor, q: Normal, p: Normal, draws: int = 40_000) -> None:
    """``claimed`` is KL(q || p), summed over the last axis, to five standard errors."""
    sample = q.mean + q.stddev * torch.randn(draws, *q.mean.shape)
    ratios = (q.log_prob(sample) - p.log_prob(sample)).sum(-1)
    error = ratios.std(0) / draws**0.5
    assert ((ratios.mean(0) - claimed).abs() < 5 * error + 1e-4).all()


@pytest.mark.usefixtures("no_sampling")
def test_a_sampled_memory_differs_from_its_mean(machine: KanervaMachine, images: Tensor) -> None:
    mean, sampled = machine.elbo(images), machine.elbo(images, sample_memory=True)
    assert torch.equal(mean.rate_memory, sampled.rate_memory)
    assert not torch.equal(mean.rate_z, sampled.rate_z)


def test_the_address_is_noisy_in_training_only(machine: KanervaMachine, images: Tensor) -> None:
    rate = lambda: machine.elbo(images).rate_y
    assert torch.equal(rate(), rate())
    machine.train()
    assert not torch.equal(rate(), rate())
    assert torch.equal(machine.address_weights(images), machine.address_weights(images))
    machine.address_noise_std = 0.0
    assert torch.equal(rate(), rate())


def test_the_loss_trains_every_parameter(images: Tensor) -> None:
    machine = KanervaMachine.build(SHAPE, 8, slots=K, code=C, key=S, learn_noise=True)
    machine(images).loss().backward()
    for name, parameter in machine.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_the_noise_is_fixed_unless_asked_for(images: Tensor) -> None:
    machine = KanervaMachine.build(SHAPE, 2, slots=K, code=C, key=S, noise_var=0.5)
    machine(images).loss().backward()
    assert machine.prior.noise_var.item() == pytest.approx(0.5)
    assert machine.prior.log_noise_var.grad is None


@pytest.mark.usefixtures("no_sampling")
def test_mixed_precision_keeps_bound_and_memory_in_float32(
    machine: KanervaMachine, images: Tensor
) -> None:
    plain, plain_memory = machine.elbo(images), machine.write(images)
    with torch.autocast("cpu", torch.bfloat16):
        mixed, memory = machine.elbo(images), machine.write(images)
        weights = machine.address_weights(images)
        prior = machine.prior()
        pictures = machine.denoise(images, images, steps=2)
    for term, expected in zip(mixed, plain, strict=True):
        assert term.dtype == torch.float32
        assert_close(term, expected, rtol=0.05, atol=0.05)
    for part, expected in zip(memory, plain_memory, strict=True):
        assert part.dtype == torch.float32
        assert_close(part, expected, rtol=0.05, atol=0.05)
    assert {x.dtype for x in (weights, *prior)} == {torch.float32}
    assert pictures.isfinite().all()


def test_any_encoder_and_decoder_may_be_injected() -> None:
    encoder, decoder = nn.Flatten(-3), _Decoder()
    encoder.width = 4  # type: ignore[assignment]
    machine = KanervaMachine(encoder, decoder, slots=3, code=2, key=2)
    images = torch.rand(2, 3, 1, 2, 2)
    assert machine(images).bound.shape == (2, 3)
    assert machine.generate(machine.write(images), 5).shape == (1, 2, 5, 1, 2, 2)


class _Decoder(nn.Module):
    def forward(self, codes: Tensor) -> torch.distributions.Independent:
        mean = codes.repeat_interleave(2, -1).unflatten(-1, (1, 2, 2))
        return torch.distributions.Independent(Normal(mean, 1.0), 3)


@pytest.mark.parametrize("size", ["slots", "code", "key", "filters"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_size_below_one_is_refused(size: str, value: int) -> None:
    sizes: dict[str, Any] = {"filters": 2, "slots": 3, "code": 2, "key": 2} | {size: value}
    with pytest.raises(InputError, match=f"{size} is {value}"):
        KanervaMachine.build(SHAPE, **sizes)


@pytest.mark.parametrize("value", [-0.1, float("inf")])
def test_noise_that_is_negative_or_infinite_is_refused(value: float) -> None:
    with pytest.raises(InputError, match=f"address_noise_std is {value}"):
        KanervaMachine.build(SHAPE, 2, slots=3, code=2, address_noise_std=value)


@pytest.mark.parametrize("name", ["noise_var", "prior_std"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_a_spread_that_is_not_positive_is_refused(name: str, value: float) -> None:
    spread: dict[str, Any] = {name: value}
    with pytest.raises(InputError, match=f"{name} is {value}"):
        KanervaMachine.build(SHAPE, 2, slots=K, code=C, key=S, **spread)


def test_a_memory_written_elsewhere_can_be_read(machine: KanervaMachine, images: Tensor) -> None:
    blank = Memory(torch.zeros(B, K, C), torch.eye(K).expand(B, K, K))
    assert machine.read(blank, images).shape == images.shape


def test_a_forgotten_episode_axis_is_told(machine: KanervaMachine, images: Tensor) -> None:
    with pytest.raises(InputError, match=r"one episode is images\[None\]"):
        machine.elbo(images[0])


def test_items_are_what_is_written(
    machine: KanervaMachine, images: Tensor, no_sampling: None
) -> None:
    machine.eval()
    w, z = machine.items(images)
    expected = machine.prior().write(w, z, machine.prior.noise_var)
    for mine, written in zip(machine.write(images), expected, strict=True):
        assert_close(mine, written)
