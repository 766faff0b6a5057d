"""What holds for every auto-encoder with a memory, the Kanerva Machine among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Normal
from torch.func import functional_call
from torch.testing import assert_close

from km_rl.baselines.dkm import DKM
from km_rl.baselines.dnc import DNC, LRUA
from km_rl.baselines.vae import VAE
from km_rl.config import Config
from km_rl.core.elbo import Elbo
from km_rl.core.episodic import EpisodicModel
from km_rl.core.machine import KanervaMachine
from km_rl.data import draw_episodes
from km_rl.data.strokes import strokes
from km_rl.errors import InputError
from km_rl.nn.flat import FlatDecoder, FlatEncoder
from km_rl.nn.likelihoods import GaussianLikelihood

B, T, K, C = 2, 5, 6, 4
SHAPE = (1, 28, 28)
MODELS: dict[str, tuple[type[EpisodicModel[Any]], dict[str, Any]]] = {
    "km": (KanervaMachine, {"key": 3}),
    "dkm": (DKM, {}),
    "dnc": (DNC, {"key": 3, "heads": 2}),
    "lrua": (LRUA, {"key": 3, "heads": 2}),
}


@pytest.fixture(params=MODELS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def build(kind: str, filters: int = 2, **options: Any) -> EpisodicModel[Any]:
    model, own = MODELS[kind]
    return model.build(SHAPE, filters, slots=K, code=C, **own, **options)


@pytest.fixture
def model(kind: str) -> EpisodicModel[Any]:
    return build(kind).eval()


@pytest.fixture
def images() -> Tensor:
    return (torch.rand(B, T, *SHAPE) > 0.7).float()


@pytest.fixture
def no_sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Gaussian draw is its mean."""
    mean = lambda self, sample_shape=(): self.mean.expand(*sample_shape, *self.mean.shape)
    monkeypatch.setattr(Normal, "rsample", mean)


@pytest.mark.parametrize("sample_memory", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_a_bound_has_four_terms_per_image(
    model: EpisodicModel[Any], images: Tensor, sample_memory: bool, training: bool
) -> None:
    elbo = model.train(training)(images, sample_memory)
    assert isinstance(elbo, Elbo) and len(elbo) == 4
    for term in elbo:
        assert term.shape == (B, T) and term.dtype == torch.float32
        assert term.isfinite().all() and (term >= 0).all()
    assert elbo.loss(1.0, 0.5).shape == ()


def test_only_a_memory_with_a_posterior_has_a_price(
    model: EpisodicModel[Any], images: Tensor
) -> None:
    assert (model(images).rate_memory > 0).all() == model.prices_memory
    assert model.prices_memory == isinstance(model, KanervaMachine | DKM)


def test_what_each_verb_returns(model: EpisodicModel[Any], images: Tensor) -> None:
    memory = model.write(images)
    assert memory[0].shape == (B, K, C)
    heads = (model.sizes[2],) if isinstance(model, DNC) else ()
    assert model.address_weights(images).shape == (B, T, *heads, K)
    pictures = {
        (3, B, T): model.iterate(memory, images, steps=3),
        (B, T): model.read(memory, images, steps=2),
        (8, B, T): model.denoise(images, images),
        (2, B, 7): model.generate(memory, n=7, steps=2),
        (1, B, 7): model.generate(memory, n=7),
    }
    for axes, picture in pictures.items():
        assert picture.shape == (*axes, *SHAPE)
        assert 0 <= picture.min() <= picture.max() <= 1


def test_reading_feeds_each_pass_to_the_next(model: EpisodicModel[Any], images: Tensor) -> None:
    memory = model.write(images)
    first, second = model.iterate(memory, images, steps=2)
    assert_close(model.read(memory, images), first)
    assert_close(model.read(memory, first), second)
    assert not torch.equal(first, second)


def test_dreams_are_read_from_the_memory(model: EpisodicModel[Any], images: Tensor) -> None:
    memory = model.write(images)
    empty = memory._replace(**{memory._fields[0]: torch.zeros_like(memory[0])})
    torch.manual_seed(1)
    dreams = model.dream(memory, 3)
    torch.manual_seed(1)
    assert_close(model.dream(memory, 3), dreams)
    assert not torch.equal(dreams[:, 0], dreams[:, 1])
    blank = model.dream(empty, 3)
    assert_close(blank, blank[:1, :1].expand_as(blank))


@pytest.mark.usefixtures("no_sampling")
def test_no_episode_sees_another(model: EpisodicModel[Any], images: Tensor) -> None:
    together, alone = model.elbo(images), model.elbo(images[:1])
    for term, own in zip(together, alone, strict=True):
        assert_close(term[:1], own, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("no_sampling")
def test_every_item_is_read_from_what_all_have_written(
    model: EpisodicModel[Any], images: Tensor
) -> None:
    """An item's own bound depends on the last image, by way of the memory alone."""
    other = images.clone()
    other[:, -1] = 1 - other[:, -1]
    before, after = model.elbo(images), model.elbo(other)
    assert not torch.equal(before.distortion[:, 0], after.distortion[:, 0])
    if model.kind != "dkm":
        assert torch.equal(before.rate_y[:, 0], after.rate_y[:, 0])


def test_distortions_are_those_of_torch(model: EpisodicModel[Any], images: Tensor) -> None:
    heard: list[Tensor] = []
    model.decoder.register_forward_hook(
        lambda net, inputs, output: heard.append(output.base_dist.logits)
    )
    elbo = model.elbo(images)
    expected = -Bernoulli(logits=heard[-1]).log_prob(images).sum((-3, -2, -1))
    assert_close(elbo.distortion, expected)


def test_the_loss_trains_every_parameter(kind: str, images: Tensor) -> None:
    model = build(kind, filters=8, learn_noise=True)
    model(images).loss().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.usefixtures("no_sampling")
def test_mixed_precision_keeps_bound_and_memory_in_float32(
    model: EpisodicModel[Any], images: Tensor
) -> None:
    plain, plain_memory = model.elbo(images), model.write(images)
    with torch.autocast("cpu", torch.bfloat16):
        mixed, memory = model.elbo(images), model.write(images)
        assert model.address_weights(images).dtype == torch.float32
        assert model.denoise(images, images, steps=2).isfinite().all()
    for term, expected in zip(mixed, plain, strict=True):
        assert term.dtype == torch.float32
        assert_close(term.mean(), expected.mean(), rtol=0.05, atol=0.05)
    assert all(part.dtype == torch.float32 for part in memory)
    assert_close(memory[0], plain_memory[0], rtol=0.1, atol=0.1)


def test_it_comes_back_as_it_was(
    model: EpisodicModel[Any], images: Tensor, tmp_path: Path
) -> None:
    model.save(tmp_path / "model.safetensors")
    back = type(model).from_run(tmp_path)
    assert back.spec == model.spec and back.kind == model.kind
    for name, tensor in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor), name
    torch.manual_seed(1)
    bound = model.elbo(images).bound
    torch.manual_seed(1)
    assert torch.equal(back.elbo(images).bound, bound)


def test_another_kind_is_refused(model: EpisodicModel[Any], tmp_path: Path) -> None:
    model.save(tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=f"kind '{model.kind}' where 'vae' is expected"):
        VAE.from_run(tmp_path)


def test_all_have_the_same_nets_and_words(model: EpisodicModel[Any]) -> None:
    vae = VAE.build(SHAPE, filters=2, code=C)
    shapes = lambda net: {name: x.shape for name, x in net.state_dict().items()}
    assert shapes(model.encoder) == shapes(vae.encoder)
    assert shapes(model.decoder) == shapes(vae.decoder)


def test_pixels_with_a_density(kind: str, tmp_path: Path) -> None:
    made, own = MODELS[kind]
    photos = torch.rand(B, T, 3, 32, 32)
    model = made.build((3, 32, 32), 2, "gaussian", slots=K, code=C, **own)
    model(photos).loss().backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert all(grad.isfinite().all() for grad in grads.values())
    assert grads["decoder.likelihood.log_std"].abs() > 0
    model.save(tmp_path / "model.safetensors")
    back = made.from_run(tmp_path)
    assert back.encoder.middle == model.encoder.middle == GaussianLikelihood.middle
    assert back.generate(back.write(photos), n=2, steps=2).shape == (2, B, 2, 3, 32, 32)


def test_a_size_below_one_is_refused(kind: str) -> None:
    model, own = MODELS[kind]
    sizes = {"filters": 2, "slots": K, "code": C, **own}
    for size in sizes:
        with pytest.raises(InputError, match=f"{size} is 0"):
            model.build(SHAPE, **{**sizes, size: 0})


def test_a_noise_variance_that_is_not_positive_is_refused(kind: str) -> None:
    with pytest.raises(InputError, match=r"noise_var is 0\.0"):
        build(kind, noise_var=0.0)


def test_a_forgotten_episode_axis_is_told(model: EpisodicModel[Any], images: Tensor) -> None:
    for verb in (model.elbo, model.write, model.address_weights):
        with pytest.raises(InputError, match=r"one episode is images\[None\]"):
            verb(images[0])
    with pytest.raises(InputError, match="samples is 0"):
        model.log_weights(images, 0)


@pytest.mark.parametrize("kind", [DNC, LRUA])
def test_a_memory_of_words_may_get_more_of_them(
    kind: type[DNC], images: Tensor, tmp_path: Path
) -> None:
    model = kind.build(SHAPE, filters=2, slots=K, code=C).eval()
    model.resize(2 * K)
    memory = model.write(images)
    assert memory.memory.shape == (B, 2 * K, C)
    assert model.read(memory, images).shape == images.shape
    model.save(tmp_path / "w")
    assert kind.load(tmp_path / "w").sizes == model.sizes
    with pytest.raises(InputError, match="slots is 0"):
        model.resize(0)


@pytest.mark.parametrize("counts", [{"n": 0}, {"n": 1, "steps": 0}])
def test_no_dreams_and_no_steps_are_refused(
    model: EpisodicModel[Any], images: Tensor, counts: dict[str, int]
) -> None:
    with pytest.raises(InputError, match="is 0"):
        model.generate(model.write(images), **counts)


def test_one_image_and_one_slot(kind: str) -> None:
    model, own = MODELS[kind]
    images = torch.rand(1, 1, *SHAPE).round()
    smallest = model.build(SHAPE, 2, slots=1, code=1, **own)
    smallest(images).loss().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in smallest.parameters())


def falls(
    model: EpisodicModel[Any], steps: int, episodes: int, length: int
) -> tuple[float, float]:
    """The bound over the first and the last fifth of a training on strokes, in nats per image."""
    data = strokes(classes=20, exemplars=20)
    optimiser = torch.optim.Adam(model.parameters(), Config().learning_rate)
    generator = torch.Generator().manual_seed(0)
    bounds: list[float] = []
    for _ in range(steps):
        elbo = model(draw_episodes(data.train, episodes, length, generator=generator), True)
        optimiser.zero_grad()
        elbo.loss(address_kl_weight=0.5).backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), Config().clip_norm)
        assert norm.isfinite()
        optimiser.step()
        bounds.append(elbo.bound.mean().item())
    share = max(1, steps // 5)
    return sum(bounds[:share]) / share, sum(bounds[-share:]) / share


def test_training_lowers_the_bound(kind: str) -> None:
    model = build(kind, noise_var=Config().noise_var)
    first, last = falls(model, steps=40, episodes=2, length=3)
    assert last < first - 10


@pytest.mark.slow
def test_a_long_training_stays_finite(kind: str) -> None:
    """With nets without convolutions, which are nine tenths of a step; what may explode is not."""
    model, own = MODELS[kind]
    encoder, decoder = FlatEncoder(SHAPE, width=16), FlatDecoder(C, SHAPE, width=16)
    small = model(encoder, decoder, slots=K, code=C, noise_var=Config().noise_var, **own)  # type: ignore[call-arg]
    first, last = falls(small, steps=20_000, episodes=2, length=6)
    assert last < first - 10


class _Decoder(nn.Module):
    def forward(self, codes: Tensor) -> Independent:
        return Independent(Normal(codes.repeat_interleave(2, -1).unflatten(-1, (1, 2, 2)), 1.0), 3)


def test_any_encoder_and_decoder_may_be_injected(kind: str) -> None:
    encoder = nn.Flatten(-3)
    encoder.width = 4  # type: ignore[assignment]
    model, own = MODELS[kind]
    made: Any = model(encoder, _Decoder(), slots=3, code=2, **own)  # type: ignore[call-arg]
    assert made(torch.rand(2, 3, 1, 2, 2)).bound.shape == (2, 3)


@pytest.mark.parametrize("shape", [(0, T), (B, 0)])
def test_no_images_are_refused(model: EpisodicModel[Any], shape: tuple[int, int]) -> None:
    nothing = torch.zeros(*shape, *SHAPE)
    for asked in (model.elbo, model.write, lambda x: model.log_weights(x, 2)):
        with pytest.raises(InputError, match="at least one episode of at least one image"):
            asked(nothing)


def test_images_in_float64_are_taken(
    model: EpisodicModel[Any], images: Tensor, no_sampling: None
) -> None:
    assert_close(model.elbo(images.double()).bound.float(), model.elbo(images).bound)


@pytest.mark.usefixtures("no_sampling")
def test_a_model_in_float64_stays_there(model: EpisodicModel[Any], images: Tensor) -> None:
    single = model.elbo(images)
    model, images = model.double(), images.double()
    for term, expected in zip(model.elbo(images), single, strict=True):
        assert term.dtype == torch.float64
        assert_close(term.float(), expected, rtol=1e-3, atol=1e-3)
    memory = model.write(images)
    told = model.read(memory, images), model.generate(memory, 3), model.log_weights(images, 2)
    assert {x.dtype for x in told} == {torch.float64}


@pytest.mark.parametrize("sample_memory", [False, True])
def test_gradients_of_the_bound_are_those_of_finite_differences(
    kind: str, images: Tensor, sample_memory: bool
) -> None:
    """In float64, with the same draws, along a random direction of all weights together."""
    made, own = MODELS[kind]
    encoder, decoder = FlatEncoder(SHAPE, width=5), FlatDecoder(C, SHAPE, width=5)
    model = made(encoder, decoder, slots=K, code=C, **own).double()  # type: ignore[call-arg]
    weights = {n: w for n, w in model.named_parameters() if w.requires_grad}

    def loss(step: float) -> Tensor:
        torch.manual_seed(1)
        moved = {name: w + step * way[name] for name, w in weights.items()}
        elbo: Elbo = functional_call(model, moved, (images.double(), sample_memory))
        return elbo.full_bound.mean()

    way = {name: torch.randn_like(w) for name, w in weights.items()}
    grads = torch.autograd.grad(loss(0.0), list(weights.values()), allow_unused=True)
    slope = sum((g * d).sum() for g, d in zip(grads, way.values(), strict=True) if g is not None)
    assert_close(slope, (loss(1e-6) - loss(-1e-6)) / 2e-6, rtol=1e-5, atol=0.0)
