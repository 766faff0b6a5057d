"""The objective weighs the terms as the recipe says, and a GPU's graphs give its very numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import TINY, draw, go, new_model
from torch import Tensor, nn

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
def test_graphs_train_as_steps_that_are_started_kernel_by_kernel(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    for graphs in (False, True):
        go(tmp_path / f"{graphs}", cuda_graphs=graphs, steps=12, **options)
    one, other = (_bounds(tmp_path / name) for name in ("False", "True"))
    assert one == pytest.approx(other, rel=1e-3)


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
    with pytest.raises(InputError, match=r"of a asker .* add --no-cuda-graphs"):
        record(Objective(Asks().cuda(), TINY), images, torch.tensor(1.0, device="cuda"))


def _bounds(folder: Path) -> list[float]:
    lines = (json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
    return [line["train/bound"] for line in lines if "train/bound" in line]
