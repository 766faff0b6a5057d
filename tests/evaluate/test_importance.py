"""The importance-weighted bound against the truth, on a machine that is linear and Gaussian."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from finished_runs import tiny_data, tiny_machine, tiny_rival, tiny_vae
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal

from km_rl.core.machine import KanervaMachine
from km_rl.errors import InputError
from km_rl.evaluate.bound import bound
from km_rl.evaluate.importance import importance, importance_bound, kl_memory, nats_of
from km_rl.evaluate.runs import Conditions, Model, Run
from km_rl.nn.mlp import GaussianHead

TEST = tiny_data().test
CONDITIONS = Conditions("strokes", "images", "dynamic", 4, None)
NOISE_VAR, STD = 0.1, 0.5
DIRECTION = torch.tensor([1.5, -1.0])
EPISODE = torch.tensor([[1.0, -0.5], [0.8, -0.6], [-1.2, 0.9]])[:, None, None, :]
"""Three images of shape (1, 1, 2)."""


class Identity(nn.Module):
    width = 2

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(-3)


class Line(nn.Module):
    """w = (y, 1): one slot that y moves, one that it does not."""

    def forward(self, y: Tensor) -> Tensor:
        return torch.cat([y, torch.ones_like(y)], -1)


class LinearDecoder(nn.Module):
    """x ~ N(direction z, std^2 I)."""

    def forward(self, codes: Tensor) -> Independent:
        return Independent(Normal((codes * DIRECTION)[..., None, None, :], STD), 3)


def linear_machine() -> KanervaMachine:
    sizes: dict[str, Any] = {"slots": 2, "code": 1, "key": 1, "noise_var": NOISE_VAR}
    machine = KanervaMachine(Identity(), LinearDecoder(), **sizes).eval()
    nn.init.ones_(machine.prior.mean)
    machine.addressing = Line()  # type: ignore[assignment]
    machine.q_y = GaussianHead(Identity.width, 1, 8)
    return machine


def truth(M: Tensor) -> Tensor:
    """-ln p(x|M) of the three images: x = direction (M_1 y + M_2 + noise) + noise."""
    M_1, M_2 = M.flatten()
    cov = (M_1**2 + NOISE_VAR) * torch.outer(DIRECTION, DIRECTION) + STD**2 * torch.eye(2)
    return -MultivariateNormal(M_2 * DIRECTION, cov).log_prob(EPISODE.flatten(1))


@torch.no_grad()
def test_it_comes_down_to_the_truth_and_never_below(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, many = linear_machine(), 100
    M = torch.tensor([[0.9], [0.2]])
    monkeypatch.setattr(machine, "_written", lambda *_: (M.expand(many, 2, 1), torch.zeros(many)))
    images = EPISODE.expand(many, *EPISODE.shape)
    weights = machine.log_weights(images, 200).double()
    exact = truth(M).double()
    gaps, errors = [], []
    for k in (1, 10, 100):
        excess = nats_of(weights, k) - exact
        gaps.append(excess.mean().item())
        errors.append(excess.mean(1).std().item() / many**0.5)
    assert all(gap > -4 * error for gap, error in zip(gaps, errors, strict=True))
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 0.3 and abs(gaps[2]) < 0.05
    likelihood = weights.exp().mean((0, 1)).log()
    torch.testing.assert_close(likelihood, -exact, atol=0.05, rtol=0)


def a_run(kind: str) -> Run:
    own: dict[str, Callable[[], Model]] = {"km": tiny_machine, "vae": tiny_vae}
    model: Model = own[kind]() if kind in own else tiny_rival(kind)
    return Run(Path("runs/a"), kind.upper(), kind, model, CONDITIONS, {}, [])


@pytest.mark.parametrize("kind", ["km", "vae", "dkm", "dnc", "lrua"])
def test_one_draw_is_about_the_bound_and_more_never_raise_it(kind: str) -> None:
    run = a_run(kind)
    found = importance_bound(run, TEST, 0, 48, counts=(1, 4, 40))
    usual = bound(run.model, TEST, episode_length=4, passes=4)["bound_nats"]
    assert found[1] == pytest.approx(usual, rel=0.1)
    assert found[1] >= found[4] >= found[40]
    assert importance_bound(run, TEST, 0, 48, counts=(1, 4, 40)) == found
    drawn = importance_bound(run, TEST, 0, 48, True, counts=(4, 40))
    assert (drawn[40] == found[40]) == (kind not in ("km", "dkm"))


@pytest.mark.parametrize("counts", [(), (0,), (3, 10)])
def test_counts_that_do_not_divide_the_largest(counts: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="divide"):
        importance_bound(a_run("vae"), TEST, 0, 48, counts=counts)


def test_what_is_counted_is_the_bound_of_a_memory_that_is_drawn_and_its_kl(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = 1, 2
    monkeypatch.setattr("km_rl.evaluate.importance.COUNTS", counts)
    run = a_run("km")
    shown = {(p.series, p.x): p.value for p in importance([run], TEST, 0, 8).points}
    mean, drawn = (importance_bound(run, TEST, 0, 8, M, counts) for M in (False, True))
    kl = kl_memory(run, TEST, 0, 8)
    assert kl > 0.1
    for k in counts:
        assert drawn[k] != mean[k]
        assert shown["M at its mean", k] == mean[k] and shown["M drawn", k] == drawn[k]
        assert shown["M drawn, with KL(M)/T", k] == drawn[k] + kl


def test_every_group_of_draws_counts() -> None:
    weights = torch.tensor([0.0, 1.0, 2.0, 4.0]).double()[:, None]
    groups = [-(weights[i : i + 2].exp().mean().log()) for i in (0, 2)]
    torch.testing.assert_close(nats_of(weights, 2)[0], (groups[0] + groups[1]) / 2)
