"""Training to recall: what the loss is, and that it falls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_runs import DATA
from torch import Tensor
from torch.distributions import Bernoulli
from torch.testing import assert_close

from km_rl.data import Images
from km_rl.train.recall import TINY, Recall, spoilt, trained

IMAGES = Images(DATA.images, DATA.labels)


@pytest.mark.parametrize("model", TINY)
def test_the_loss_is_that_of_the_clean_images(model: str) -> None:
    machine = TINY[model].build_machine().eval()
    images = (torch.rand(1, 6, 1, 28, 28) < 0.1).float()
    torch.manual_seed(1)
    elbo = Recall(machine).eval()(images)
    torch.manual_seed(1)
    memory = machine.write(images)
    pictures = machine.read(memory, spoilt(images))
    assert_close(elbo.distortion, -Bernoulli(pictures).log_prob(images).sum((-3, -2, -1)))
    assert_close(elbo.bound, elbo.distortion)
    assert_close(elbo.full_bound, elbo.distortion)


def test_half_of_the_queries_are_flipped_and_half_lack_a_block() -> None:
    images = torch.ones(1, 40, 1, 28, 28)
    missing = (spoilt(images) == 0).float().mean((0, 2, 3, 4))
    assert_close(missing[20:], torch.full((20,), 14 * 14 / 784))
    assert 0 <= missing[:20].min() and missing[:20].max() < 0.45


def test_up_to_two_fifths_of_a_query_are_flipped(monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []

    def noted(images: Tensor, share: float, _: torch.Generator) -> Tensor:
        shares.append(share)
        return images

    monkeypatch.setattr("km_rl.train.recall.flip", noted)
    for _ in range(300):
        spoilt(torch.ones(1, 2, 1, 28, 28))
    assert 0 <= min(shares) < 0.02 and 0.38 < max(shares) <= 0.4


@pytest.mark.parametrize("model", TINY)
def test_it_trains_every_part_of_the_machine(model: str) -> None:
    recall = Recall(TINY[model].build_machine()).train()
    recall((torch.rand(1, 8, 1, 28, 28) < 0.1).float()).loss().backward()
    for name, parameter in recall.named_parameters():
        if name == "machine.log_address_std":  # of draws, where recall is at solutions
            assert parameter.grad is None
        elif parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_a_machine_is_trained_once_and_comes_back(tmp_path: Path) -> None:
    recipes = {model: replace(TINY[model], steps=4, slots=20) for model in ("km", "lrua")}
    first = trained(recipes, IMAGES, "strokes", tmp_path, "mine")(3)
    metrics = tmp_path / "retrieval-mine-strokes-lrua-3" / "metrics.jsonl"
    before = metrics.read_bytes()
    again = trained(recipes, IMAGES, "strokes", tmp_path, "mine")(3)
    assert metrics.read_bytes() == before
    for model in recipes:
        for one, other in zip(first[model].parameters(), again[model].parameters(), strict=True):
            assert torch.equal(one, other)


def test_a_memory_of_words_is_read_with_more_words_than_it_was_trained_with(
    tmp_path: Path,
) -> None:
    recipe = replace(TINY["dnc"], steps=1, slots=20)
    machine = trained({"dnc": recipe}, IMAGES, "strokes", tmp_path, "mine")(0)["dnc"]
    with torch.no_grad():
        assert machine.write(torch.zeros(1, 3, 1, 28, 28)).memory.shape == (1, 20, recipe.code)
