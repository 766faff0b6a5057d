"""Reading, sampling and KL(M), and what float32 keeps of a long stream of writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import oracles
import pytest
import torch
from jaxtyping import TypeCheckError
from laws import SIZES, Size, close, draw_case
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence
from torch.nn.functional import normalize

from km_rl.core.linalg import NotPositiveDefiniteError
from km_rl.core.memory import Memory, condition
from km_rl.core.natural import NaturalMemory


def random_memory(size: Size, batch: tuple[int, ...] = (), seed: int = 0) -> Memory:
    return Memory(*draw_case(size, batch, seed).prior)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_columns_of_a_written_memory_are_independent_and_share_u(size: Size) -> None:
    case = draw_case(size)
    _, cov = oracles.full_posterior(*case.prior, case.w, case.z, case.noise_var)
    U = condition(*case.prior, case.w, case.z, case.noise_var)[1]
    close(cov, torch.einsum("ij,cd->icjd", U, torch.eye(size.code).double()))


@pytest.mark.parametrize("size", SIZES[:5], ids=str)
def test_predictive_densities_multiply_to_the_joint_density_of_the_codes(size: Size) -> None:
    R, U, w, z, noise_var = (x.detach() for x in (*draw_case(size).prior, *draw_case(size)[2:]))
    memory, log_joint = Memory(R, U), 0.0
    for w_t, z_t in zip(w.split(1), z.split(1), strict=True):
        mean, var = memory.read(w_t, noise_var)
        log_joint += (
            torch.distributions.Normal(mean, var.sqrt()[:, None]).log_prob(z_t).sum().item()
        )
        memory = memory.write(w_t, z_t, noise_var)
    assert log_joint == pytest.approx(oracles.log_marginal(R, U, w, z, noise_var.item()), abs=1e-9)


@pytest.mark.parametrize("size", SIZES[:5], ids=str)
def test_the_posterior_density_obeys_bayes_rule(size: Size) -> None:
    case = draw_case(size)
    R, U = case.prior
    noise_var, M = case.noise_var.item(), torch.randn_like(R)
    after = condition(R, U, case.w, case.z, noise_var)
    joint = oracles.log_matrix_normal(M, R, U) + oracles.log_likelihood(
        M, case.w, case.z, noise_var
    )
    marginal = oracles.log_marginal(R, U, case.w, case.z, noise_var)
    assert oracles.log_matrix_normal(M, *after) == pytest.approx(joint - marginal, abs=1e-8)


def test_samples_have_the_mean_and_covariance_of_the_memory() -> None:
    memory = random_memory(Size(1, 4, 3))
    many = Memory(memory.mean.expand(100_000, 4, 3), memory.cov)
    deviation = many.sample() - memory.mean
    close(deviation.mean(0), torch.zeros(4, 3).double(), 0.02)
    cov = torch.einsum("nkc,nld->kcld", deviation, deviation) / len(deviation)
    close(cov, torch.einsum("kl,cd->kcld", memory.cov, torch.eye(3).double()), 0.05)


def test_sampling_is_repeated_by_its_generator() -> None:
    memory = random_memory(Size(1, 4, 3), (2,))
    first, second = (memory.sample(torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("batch", [(), (3,)], ids=str)
@pytest.mark.parametrize("size", SIZES[:6], ids=str)
def test_kl_is_the_sum_over_columns_of_the_kl_of_torch(size: Size, batch: tuple[int, ...]) -> None:
    case = draw_case(size, batch)
    prior = Memory(*case.prior)
    posterior = prior.write(case.w, case.z, case.noise_var)
    kls = [
        kl_divergence(
            MultivariateNormal(posterior.mean[..., c], posterior.cov),
            MultivariateNormal(prior.mean[..., c], prior.cov),
        )
        for c in range(size.code)
    ]
    expected, actual = torch.stack(kls).sum(0), posterior.kl(prior)
    close(actual, expected)
    assert (actual >= 0).all()
    wanted = list(case)
    close(
        torch.autograd.grad(actual.sum(), wanted, retain_graph=True),
        torch.autograd.grad(expected.sum(), wanted),
        1e-8,
    )


def test_kl_of_a_memory_to_itself_is_nothing() -> None:
    memory = random_memory(Size(1, 6, 3), (2,))
    close(memory.kl(memory), torch.zeros(2).double(), 1e-12)


def test_kl_to_a_shared_prior_is_per_episode() -> None:
    prior, posterior = random_memory(Size(1, 4, 3)), random_memory(Size(1, 4, 3), (2,), seed=1)
    expected = torch.stack([Memory(*one).kl(prior) for one in zip(*posterior, strict=True)])
    close(posterior.kl(prior), expected)


def test_mixed_precision_does_not_reach_the_update() -> None:
    R, U, w, z, _ = (
        x.detach().float() for x in (*draw_case(SIZES[0]).prior, *draw_case(SIZES[0])[2:])
    )
    plain = condition(R, U, w, z, 0.3)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = condition(R, U, w, z, 0.3)
        rounded = condition(R, U, w.bfloat16(), z.bfloat16(), 0.3)
    assert all(torch.equal(a, b) for a, b in zip(plain, mixed, strict=True))
    assert all(x.dtype == torch.float32 for x in rounded)


def test_mixed_precision_does_not_reach_reading_sampling_or_kl() -> None:
    memory = Memory(*(x.detach().float() for x in random_memory(SIZES[0])))
    w = draw_case(SIZES[0]).w.detach().float()
    prior = Memory(torch.zeros_like(memory.mean), torch.eye(len(memory.cov)))

    def everything() -> list[Tensor]:
        return [*memory.read(w, 0.3), memory.sample(torch.Generator()), memory.kl(prior)]

    plain = everything()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = everything()
    assert all(torch.equal(a, b) for a, b in zip(plain, mixed, strict=True))


def test_wrong_shapes_are_refused_under_test() -> None:
    R, U = torch.zeros(4, 3), torch.eye(4)
    with pytest.raises(TypeCheckError):
        condition(R, U, torch.zeros(5, 4), torch.zeros(5, 2), 1.0)
    with pytest.raises(TypeCheckError):
        Memory(R, U).write(torch.zeros(5, 3), torch.zeros(5, 3), 1.0)


class Stream(NamedTuple):
    """100 calls of 1000 float32 items: addresses w = A b of rank S < K, codes w M plus noise."""

    key: int
    slots: int = 64
    code: int = 8
    noise_std: float = 0.1
    calls: int = 100

    @property
    def prior(self) -> Memory:
        return Memory(torch.zeros(self.slots, self.code), torch.eye(self.slots))

    def items(self) -> Iterator[tuple[Tensor, Tensor, float]]:
        generator = torch.Generator().manual_seed(0)
        randn = lambda *shape: torch.randn(*shape, generator=generator)
        A = normalize(randn(self.slots, self.key), dim=-1)
        M = randn(self.slots, self.code)
        for _ in range(self.calls):
            w = randn(1000, self.key) @ A.mT
            yield w, w @ M + self.noise_std * randn(1000, self.code), self.noise_std**2

    def written(self, dtype: torch.dtype) -> Memory:
        memory = Memory(*(x.to(dtype) for x in self.prior))
        for item in self.items():
            memory = memory.write(*item)
        return memory

    def written_naturally(self) -> Memory:
        memory = NaturalMemory.prior(*self.prior)
        for item in self.items():
            memory = memory.write(*item)
        return memory.moments()


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return ((actual.double() - expected).norm() / expected.norm()).item()


NEAR_FULL_RANK = pytest.mark.xfail(
    raises=NotPositiveDefiniteError,
    strict=True,
    reason="with few unwritten directions float32 loses them after 2e4 writes; it says so",
)


@pytest.mark.parametrize("key", [8, 16, 32, pytest.param(50, marks=NEAR_FULL_RANK)])
def test_float32_survives_1e5_writes_of_correlated_addresses(key: int) -> None:
    single, double = Stream(key).written(torch.float32), Stream(key).written(torch.float64)
    assert torch.equal(single.cov, single.cov.mT)
    assert torch.linalg.eigvalsh(single.cov.double()).min() > 0
    assert relative_error(single.cov, double.cov) < 1e-4
    assert relative_error(single.mean, double.mean) < 2e-3


@pytest.mark.parametrize("T", [32, 64, 128])
def test_float32_items_of_a_trained_machine_s_size_are_written_exactly(T: int) -> None:
    """Addresses of length 25 in few directions, codes of 20 times their noise."""
    generator = torch.Generator().manual_seed(T)
    K, C, S, noise_var = 64, 20, 20, 0.01
    map_, y = (torch.randn(*shape, generator=generator) for shape in ((S, K), (T, S)))
    w = 25 * torch.nn.functional.normalize(y @ map_, dim=-1)
    z = 2 * torch.randn(T, C, generator=generator)
    R, U = torch.zeros(K, C), torch.eye(K)
    single = Memory(*condition(R, U, w, z, noise_var))
    double = Memory(*condition(R.double(), U.double(), w.double(), z.double(), noise_var))
    assert single.mean.dtype == single.cov.dtype == torch.float32
    off = (w.double() @ (single.mean - double.mean)).abs().max()
    assert off < 1e-3 * noise_var**0.5


@pytest.mark.parametrize("key", [16, 50])
def test_float64_memories_of_a_float32_stream_agree(key: int) -> None:
    moment, natural = Stream(key).written(torch.float64), Stream(key).written_naturally()
    assert torch.linalg.eigvalsh(moment.cov).min() > 0
    assert relative_error(moment.cov, natural.cov) < 1e-6
    assert relative_error(moment.mean, natural.mean) < 1e-6
