from __future__ import annotations

from typing import Any

import pytest
import torch
from finished_runs import tiny_data, tiny_machine, tiny_vae
from torch import Tensor, nn

from km_rl.core.elbo import Elbo
from km_rl.data import Images, all_episodes
from km_rl.errors import InputError
from km_rl.evaluate.bound import bound

TEST = tiny_data().test  # 12 images


class PixelSum(nn.Module):
    """Its distortion is the number of pixels that are ink, its other terms 1, 2 and 3."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(()))
        self.seen: list[int] = []

    def forward(self, images: Tensor, sample_memory: bool = False) -> Elbo:
        self.seen.append(images.shape[:2].numel())
        ink = images.sum((-3, -2, -1)) + self.nothing
        one = torch.ones_like(ink)
        return Elbo(ink, one, 2 * one, 3 * one)


def test_every_image_counts_once_in_each_pass() -> None:
    model = PixelSum()
    usual: Any = {"episode_length": 4, "binarisation": "none", "passes": 3}
    result = bound(model, TEST, **usual, sample_memory=True)
    ink = float(TEST.images.double().sum() / 255 / len(TEST.images))
    assert result == pytest.approx(
        {
            "bound_nats": ink + 3,
            "bound_with_kl_memory_nats": ink + 6,
            "reconstruction_nats": ink,
            "kl_y_nats": 1,
            "kl_z_nats": 2,
            "kl_memory_nats": 3,
        }
    )
    assert sum(model.seen) == 3 * len(TEST.images)
    del result["bound_with_kl_memory_nats"]  # read from the mean of a memory it bounds nothing
    assert bound(model, TEST, **usual) == pytest.approx(result)


def test_limit_keeps_to_so_many_images() -> None:
    model = PixelSum()
    once = bound(model, TEST, episode_length=4, binarisation="none", limit=8)
    assert sum(model.seen) == 8
    assert once == bound(model, TEST, episode_length=4, binarisation="none", limit=8)
    bound(model, TEST, episode_length=4, binarisation="none", limit=7, passes=2)
    assert sum(model.seen) == 8 + 8 + 2 * 4
    assert bound(model, TEST, episode_length=4, limit=10**6) == bound(
        model, TEST, episode_length=4
    )


def test_limit_leaves_classes_their_images() -> None:
    """Few images of all would leave a class one or two, that come again and again."""
    labels = torch.arange(60) // 20
    numbers = torch.arange(60, dtype=torch.uint8).view(60, 1, 1, 1).expand(60, 1, 4, 4)
    seen: list[torch.Tensor] = []

    class Keep(PixelSum):
        def forward(self, images: torch.Tensor, sample_memory: bool = False) -> Elbo:
            seen.append(images)
            return super().forward(images, sample_memory)

    test = Images(numbers.contiguous(), labels)
    bound(Keep(), test, episode_length=20, classes=1, binarisation="none", limit=20)
    assert len(torch.cat(seen).unique()) == 20


@pytest.mark.parametrize("sample_memory", [False, True])
def test_equals_a_loop_by_hand(sample_memory: bool) -> None:
    machine = tiny_machine()
    result = bound(machine, TEST, episode_length=4, seed=3, sample_memory=sample_memory)
    machine.eval()
    torch.manual_seed(3)
    with torch.no_grad():
        elbos = [machine(x, sample_memory) for x in all_episodes(TEST, 4, seed=3)]
    full = {"bound_with_kl_memory_nats": "full_bound"} if sample_memory else {}
    for key, name in {"bound_nats": "bound", **full}.items():
        by_hand = torch.cat([getattr(elbo, name) for elbo in elbos]).mean()
        assert result[key] == pytest.approx(float(by_hand), rel=1e-6)


def test_leaves_everything_as_it_was_and_repeats_itself() -> None:
    vae = tiny_vae().train()
    before = torch.get_rng_state()
    first = bound(vae, TEST, episode_length=4, passes=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert vae.training and torch.is_grad_enabled()
    torch.rand(7)
    assert bound(vae, TEST, episode_length=4, passes=2) == first
    assert bound(vae, TEST, episode_length=4, passes=2, seed=1) != first


def test_mixed_precision_around_it_changes_nothing() -> None:
    vae = tiny_vae()
    outside = bound(vae, TEST, episode_length=4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert bound(vae, TEST, episode_length=4) == outside


def test_a_model_that_fails_leaves_everything_as_it_was() -> None:
    class Broken(PixelSum):
        def forward(self, images: Tensor, sample_memory: bool = False) -> Elbo:
            raise RuntimeError("broken")

    model, before = Broken(), torch.get_rng_state()
    with pytest.raises(RuntimeError, match="broken"):
        bound(model, TEST, episode_length=4)
    assert model.training and torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "bad",
    [{"passes": 0}, {"limit": 0}, {"limit": 3}, {"episode_length": 13}, {"classes": 7}],
)
def test_bad_input(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"give"):
        bound(tiny_vae(), TEST, **{"episode_length": 4, **bad})


def test_a_remainder_that_fills_no_episode_is_left_out() -> None:
    model = PixelSum()
    bound(model, Images(*(x[:10] for x in TEST)), episode_length=4)
    assert sum(model.seen) == 8


@pytest.mark.cuda
def test_leaves_the_random_streams_of_the_gpu_as_they_were() -> None:
    machine = tiny_machine().cuda()
    before = torch.cuda.get_rng_state()
    first = bound(machine, TEST, episode_length=4, sample_memory=True)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert bound(machine, TEST, episode_length=4, sample_memory=True) == pytest.approx(first)


def test_every_pass_of_every_seed_has_episodes_of_its_own() -> None:
    model, batches = PixelSum(), []
    model.register_forward_pre_hook(lambda _, given: batches.append(given[0]))
    for seed in (0, 1, 2):
        bound(model, TEST, episode_length=12, passes=2, seed=seed)
    assert len(batches) == 6
    assert len(torch.stack(batches).unique(dim=0)) == 6
