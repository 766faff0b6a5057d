"""KL(M) and a draw of M from the T x T side are those of the posterior itself."""

from __future__ import annotations

import pytest
import torch
from laws import SIZES, Size, close, draw_case

from km_rl.core.memory import Memory, condition, kl_written, sample_written


@pytest.mark.parametrize("batch", [(), (2, 3)], ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_kl_written_is_the_kl_of_what_was_written(size: Size, batch: tuple[int, ...]) -> None:
    case = draw_case(size, batch)
    prior, written = Memory(*case.prior), (case.w, case.z, case.noise_var)
    kls = kl_written(prior, *written), prior.write(*written).kl(prior)
    close(*kls, tolerance=1e-8)
    leaves = (case.mean, case.factor, *written)
    gradients = [torch.autograd.grad(kl.sum(), leaves, retain_graph=True) for kl in kls]
    for mine, expected in zip(*gradients, strict=True):
        close(mine, expected, tolerance=1e-7)


@pytest.mark.parametrize("scale", [1, 10, 30])
def test_kl_written_holds_where_float32_finds_the_posterior_singular(scale: float) -> None:
    w, z = scale * torch.randn(1, 16, 6) @ torch.randn(1, 6, 8), torch.randn(1, 16, 3)
    prior = Memory(torch.zeros(8, 3), torch.eye(8))
    exact = Memory(*(x.double() for x in prior))
    kl = exact.write(w.double(), z.double(), 0.01).kl(exact)
    assert kl_written(prior, w, z, 0.01).item() == pytest.approx(kl.item(), rel=1e-5)


def test_draws_have_the_mean_and_covariance_of_the_posterior() -> None:
    case = draw_case(Size(slots=3, code=2, items=4))
    prior = Memory(*(x.detach() for x in case.prior))
    many = [x.detach().expand(40_000, *x.shape) for x in (case.w, case.z)]
    draws = sample_written(prior, many[0], many[1], case.noise_var.detach())
    R, U = condition(*prior, case.w.detach(), case.z.detach(), case.noise_var.detach())
    close(draws.mean(0), R, tolerance=0.03)
    for column in (draws - R).unbind(-1):
        close(column.mT @ column / len(draws), U, tolerance=0.03)


def test_episodes_that_share_their_addresses_have_draws_of_their_own() -> None:
    torch.manual_seed(0)
    prior = Memory(torch.zeros(4, 3), torch.eye(4))
    w, z = torch.randn(1, 4), torch.zeros(200, 1, 3)
    M = sample_written(prior, w, z, 1.0)
    assert M.shape == (200, 4, 3)
    one, other = M[::2].flatten(), M[1::2].flatten()
    assert abs(torch.corrcoef(torch.stack([one, other]))[0, 1]) < 0.15
