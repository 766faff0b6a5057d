"""The objective weighs the terms as the recipe says; a GPU's graphs give the same gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_runs import TINY, draw, new_model
from torch import Tensor, nn

from km_rl.config import Config
from km_rl.core.elbo import Elbo
from km_rl.errors import InputError
from km_rl.train.objective import Objective, record
from km_rl.train.recipe import Recipe


class Fixed(nn.Module):
    """A model whose terms are known."""

    def forward(self, images: Tensor, sample_memory: bool) -> Elbo:
        one = torch.ones(images.shape[:2])
        return Elbo(2 * one, 3 * one, 5 * one, (7 + 4 * sample_memory) * one)


def test_the_loss_weighs_the_terms_and_the_terms_are_told_as_they_are() -> None:
    recipe = Recipe(sample_memory=True, memory_kl_weight=0.5)
    loss, terms = Objective(Fixed(), recipe)(torch.zeros(2, 3, 1, 8, 8), torch.tensor(0.25))
    assert terms.tolist() == [2, 3, 5, 11]
    assert loss.item() == 2 + 0.25 * 3 + 5 + 0.5 * 11


@pytest.mark.cuda
@pytest.mark.parametrize(
    "options",
    [
        *({"model": kind} for kind in ("km", "dkm", "dnc", "lrua", "vae")),
        {"sample_memory": True, "memory_kl_weight": 1.0},
        {"diagonal_covariance": True},
    ],
)
def test_recorded_steps_have_the_losses_and_gradients_of_others(options: dict[str, Any]) -> None:
    one, other = (_two_steps(replace(TINY, **options), recorded) for recorded in (False, True))
    assert one.keys() == other.keys()
    for name, expected in one.items():
        torch.testing.assert_close(other[name], expected, rtol=1e-3, atol=1e-5, msg=name)


def _two_steps(config: Config, recorded: bool) -> dict[str, Tensor]:
    """The losses of two steps on other images, and the gradients of every parameter."""
    objective = Objective(new_model(config).cuda(), config)
    weight, stream = torch.tensor(0.5, device="cuda"), torch.Generator()
    if recorded:
        record(objective, draw(stream).cuda(), weight)
    torch.cuda.manual_seed(1)
    found: dict[str, Tensor] = {}
    for step in range(2):
        loss, _ = objective(draw(stream.manual_seed(step)).cuda(), weight)
        loss.backward()
        found[f"loss {step}"] = loss.detach().clone()
        for name, parameter in objective.named_parameters():
            if parameter.grad is not None:
                found[f"{name} {step}"] = parameter.grad.clone()
        objective.zero_grad()
    return found


@pytest.mark.cuda
def test_what_asks_for_a_number_cannot_be_recorded_and_says_the_way_out() -> None:
    class Asks(nn.Module):
        kind = "asker"

        def __init__(self) -> None:
            super().__init__()
            self.inner = new_model(TINY)

        def forward(self, images: Tensor, sample_memory: bool) -> Elbo:
            if images.sum().item() < 0:
                raise AssertionError
            return self.inner(images, sample_memory=sample_memory)

    images = draw(torch.Generator()).cuda()
    with pytest.raises(InputError, match=r"of a asker .* leave out --cuda-graphs"):
        record(Objective(Asks().cuda(), TINY), images, torch.tensor(1.0, device="cuda"))
