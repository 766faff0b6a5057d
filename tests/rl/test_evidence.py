"""What a memory says about a pair, against brute force: really leaving out, really writing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from km_rl.core.memory import Memory
from km_rl.core.natural import NaturalMemory
from km_rl.rl.evidence import consult

N, K, C = 9, 5, 3
NOISE_VAR = torch.tensor(0.3, dtype=torch.float64)


@pytest.fixture
def items() -> tuple[Tensor, Tensor, Tensor]:
    """Addresses (N, K), codes (N, C) and weights (N,), one of them 0."""
    generator = torch.Generator().manual_seed(0)
    w, z = (torch.randn(N, n, generator=generator, dtype=torch.float64) for n in (K, C))
    weight = 2 * torch.rand(N, generator=generator, dtype=torch.float64)
    weight[3] = 0
    return w, z, weight


def _memory(w: Tensor, z: Tensor, weight: Tensor | None = None) -> Memory:
    eye = torch.eye(K, dtype=torch.float64)
    prior = NaturalMemory.prior(torch.zeros(K, C, dtype=torch.float64), eye)
    return prior.write(w, z, NOISE_VAR, weight).moments()


def test_a_pair_that_is_held_is_scored_as_if_it_had_been_left_out(
    items: tuple[Tensor, Tensor, Tensor],
) -> None:
    w, z, weight = items
    told = consult(_memory(w, z, weight), w, z, NOISE_VAR, held=weight)
    for i in range(N):
        without = weight.clone()
        without[i] = 0
        alone = consult(_memory(w, z, without), w[i : i + 1], z[i : i + 1], NOISE_VAR)
        for name in ("read", "residual", "log_var", "log_prob", "gain", "distance"):
            ours, theirs = getattr(told, name)[i], getattr(alone, name)[0]
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_log_prob_is_that_of_the_code_with_the_memory_integrated_out(
    items: tuple[Tensor, Tensor, Tensor],
) -> None:
    w, z, weight = items
    memory = _memory(w, z, weight)
    new_w, new_z = w + 1, z - 1
    told = consult(memory, new_w, new_z, NOISE_VAR)
    for i in range(N):
        var = new_w[i] @ memory.cov @ new_w[i] + NOISE_VAR
        eye = torch.eye(C, dtype=torch.float64)
        law = MultivariateNormal(new_w[i] @ memory.mean, var * eye)
        torch.testing.assert_close(told.log_prob[i], law.log_prob(new_z[i]))


def test_gain_is_the_divergence_that_a_write_makes(items: tuple[Tensor, Tensor, Tensor]) -> None:
    w, z, weight = items
    memory = _memory(w, z, weight)
    new_w, new_z = w + 1, z - 1
    told = consult(memory, new_w, new_z, NOISE_VAR)
    for i in range(N):
        after = memory.write(new_w[i : i + 1], new_z[i : i + 1], NOISE_VAR)
        torch.testing.assert_close(told.gain[i], after.kl(memory), rtol=1e-8, atol=1e-10)
    assert (told.gain > 0).all()


def test_gradients_agree_with_finite_differences(items: tuple[Tensor, Tensor, Tensor]) -> None:
    w, z, weight = items

    def total(w: Tensor, z: Tensor) -> Tensor:
        told = consult(_memory(w, z, weight), w, z, NOISE_VAR, held=weight)
        return told.log_prob.sum() + told.gain.sum()

    assert torch.autograd.gradcheck(total, (w.requires_grad_(), z.requires_grad_()))


def test_a_stack_of_memories_is_consulted_at_once(items: tuple[Tensor, Tensor, Tensor]) -> None:
    w, z, weight = items
    both = [_memory(w, z), _memory(w, z, weight)]
    stack = Memory(*(torch.stack(x) for x in zip(*both, strict=True)))
    told = consult(stack, w, z, NOISE_VAR)
    assert told.residual.shape == (2, N, C)
    for i, memory in enumerate(both):
        torch.testing.assert_close(told.log_prob[i], consult(memory, w, z, NOISE_VAR).log_prob)
