"""The variational auto-encoder: the machine's bound with N(0, I) where it has a memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.testing import assert_close

from km_rl.baselines.vae import VAE
from km_rl.core.machine import KanervaMachine
from km_rl.errors import InputError

B, T, C = 2, 5, 4
SHAPE = (1, 28, 28)


@pytest.fixture
def vae() -> VAE:
    return VAE.build(SHAPE, filters=2, code=C).eval()


@pytest.fixture
def images() -> Tensor:
    return (torch.rand(B, T, *SHAPE) > 0.7).float()


@pytest.mark.parametrize("sample_memory", [False, True])
def test_its_terms_are_those_of_torch(vae: VAE, images: Tensor, sample_memory: bool) -> None:
    torch.manual_seed(1)
    elbo = vae(images, sample_memory)
    torch.manual_seed(1)
    q_z = vae.q_z(vae.encoder(images))
    logits = vae.decoder(q_z.rsample()).base_dist.logits
    assert_close(elbo.distortion, -Bernoulli(logits=logits).log_prob(images).sum((-3, -2, -1)))
    assert_close(elbo.rate_z, kl_divergence(q_z.base_dist, Normal(0.0, 1.0)).sum(-1))
    assert elbo.distortion.shape == elbo.rate_z.shape == (B, T)


def test_it_pays_for_no_address_and_no_memory(vae: VAE, images: Tensor) -> None:
    elbo = vae(images)
    assert torch.equal(elbo.rate_y, torch.zeros(B, T))
    assert torch.equal(elbo.rate_memory, torch.zeros(B, T))
    assert torch.equal(elbo.bound, elbo.full_bound)


def test_its_bound_is_no_better_than_a_free_code(vae: VAE, images: Tensor) -> None:
    elbo = vae(images)
    assert (elbo.rate_z >= 0).all()
    assert (elbo.bound >= elbo.distortion).all()


def test_its_pictures(vae: VAE, images: Tensor) -> None:
    first, second = vae.iterate(images, steps=2)
    assert first.shape == images.shape
    assert_close(vae.iterate(first)[0], second)
    with pytest.raises(InputError, match="steps is 0"):
        vae.iterate(images, steps=0)
    with pytest.raises(InputError, match="samples is 0"):
        vae.log_weights(images, 0)
    samples = vae.generate(6)
    assert samples.shape == (6, *SHAPE)
    for pictures in (first, second, samples):
        assert 0 <= pictures.min() <= pictures.max() <= 1


def test_the_loss_trains_every_parameter(images: Tensor) -> None:
    vae = VAE.build(SHAPE, filters=8, code=C)
    vae(images).loss().backward()
    for name, parameter in vae.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_mixed_precision_keeps_the_bound_in_float32(vae: VAE, images: Tensor) -> None:
    torch.manual_seed(1)
    plain = vae(images)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = vae(images)
    assert all(term.dtype == torch.float32 for term in mixed)
    assert_close(mixed.bound.mean(), plain.bound.mean(), rtol=0.05, atol=0.0)


def test_it_comes_back_as_it_was(vae: VAE, images: Tensor, tmp_path: Path) -> None:
    vae.save(tmp_path / "model.safetensors")
    back = VAE.from_run(tmp_path)
    assert back.spec == vae.spec
    assert torch.equal(back.iterate(images), vae.iterate(images))


def test_a_machine_is_no_auto_encoder(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    KanervaMachine.build(SHAPE, filters=2, slots=3, code=C, key=2).save(path)
    with pytest.raises(InputError, match="kind 'km' where 'vae' is expected"):
        VAE.load(path)


def test_both_models_have_the_same_nets() -> None:
    machine = KanervaMachine.build(SHAPE, filters=2, slots=3, code=C, key=2)
    vae = VAE.build(SHAPE, filters=2, code=C)
    for own, other in ((vae.encoder, machine.encoder), (vae.decoder, machine.decoder)):
        shapes = lambda net: {name: x.shape for name, x in net.state_dict().items()}
        assert shapes(own) == shapes(other)


@pytest.mark.parametrize("size", ["code", "filters"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_size_below_one_is_refused(size: str, value: int) -> None:
    sizes: dict[str, Any] = {"filters": 2, "code": C} | {size: value}
    with pytest.raises(InputError, match=f"{size} is {value}"):
        VAE.build(SHAPE, **sizes)
