"""The full bound by classes in an episode: what is scored, once, and beside which images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from finished_runs import finished, tiny_data, tiny_machine, tiny_rival, tiny_vae
from torch import Tensor, nn

from km_rl.core.elbo import Elbo
from km_rl.data import Images
from km_rl.evaluate.bound import bound
from km_rl.evaluate.contents import experiments
from km_rl.evaluate.related import (
    AGAIN,
    ONCE,
    full_bound,
    in_groups,
    numbers_of_classes,
    related,
)
from km_rl.evaluate.runs import Model, Run, read_runs


def numbered(first: int, exemplars: int) -> Images:
    """6 classes, every image of one grey level that no other has."""
    labels = torch.arange(6).repeat(exemplars)
    levels = first + torch.arange(len(labels), dtype=torch.uint8)
    return Images(levels[:, None, None, None].expand(-1, 1, 28, 28), labels)


TEST, TRAIN, NONE = numbered(0, 2), numbered(100, 6), numbered(0, 0)


def levels(classes: int, T: int, beside: Images | None = TRAIN) -> list[tuple[Tensor, Tensor]]:
    """Of every episode, which images it has, train after test, and which are scored."""
    episodes = in_groups(TEST, beside, classes, T, "none", 0)
    whole = [(part.images[..., 0, 0, 0] * 255, part.scored) for part in episodes]
    return [(x.round().long(), own) for part in whole for x, own in zip(*part, strict=True)]


class FirstPixel(nn.Module):
    """A model whose bound is the first pixel, and whose memory costs as many nats as is its mean
    over the episode."""

    def __init__(self) -> None:
        super().__init__()
        self.zero = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor, sample_memory: bool) -> Elbo:
        assert sample_memory
        pixel = images[..., 0, 0, 0]
        mean = pixel.mean(1, keepdim=True).expand_as(pixel)
        return Elbo(pixel, self.zero.expand_as(pixel), self.zero.expand_as(pixel), mean)


def a_run(folder: Path, kind: str = "km", **changes: object) -> Run:
    models = {"km": tiny_machine, "dnc": lambda: tiny_rival("dnc"), "vae": tiny_vae}
    model: Model = models[kind]()
    return read_runs([finished(folder / kind, model, **changes)])[0]


@pytest.mark.parametrize(
    ("classes", "T", "episodes"), [(1, 4, 6), (2, 4, 3), (2, 3, 6), (3, 8, 2)]
)
def test_every_test_image_is_scored_once(classes: int, T: int, episodes: int) -> None:
    made = levels(classes, T)
    assert len(made) == episodes
    scored = torch.cat([x[own] for x, own in made])
    assert scored.sort().values.tolist() == list(range(12))
    for x, own in made:
        assert len(x) == T and len(x.unique()) == T
        assert (x[~own] >= 100).all()
        labels = torch.where(own, TEST.labels[x.clamp(max=11)], TRAIN.labels[(x - 100).clamp(0)])
        assert len(labels.unique()) <= classes


def test_no_image_comes_twice_where_each_comes_once() -> None:
    made = levels(1, 16)
    assert len(made) == 6
    for x, own in made:
        assert len(x.unique()) == len(x) == 8 and own.sum() == 2


def test_classes_of_unequal_size_have_episodes_as_long_as_they_are() -> None:
    fewer = Images(TRAIN.images[4:], TRAIN.labels[4:])  # two classes have all six
    made = levels(1, 16, fewer)
    assert sorted(len(x) for x, _ in made) == [7, 7, 7, 7, 8, 8]
    assert sum(own.sum() for _, own in made) == 12
    assert all(len(x) == 7 for x, _ in levels(1, 7, fewer))


@pytest.mark.parametrize(
    ("classes", "T", "times"), [(1, 4, [2, 2]), (1, 5, [2, 3]), (3, 4, [1, 1, 2, 2, 1, 1])]
)
def test_without_others_test_images_come_again(classes: int, T: int, times: list[int]) -> None:
    made = levels(classes, T, None)
    assert all(own.all() for _, own in made)
    assert all(len(x.unique()) == min(T, 2 * classes) for x, _ in made)
    group = torch.cat([x for x, _ in made[: -(-2 * classes // T)]])
    assert sorted(group.unique(return_counts=True)[1].tolist()) == sorted(times)
    assert len(torch.cat([x for x, _ in made]).unique()) == 12


def test_classes_that_fill_no_group_are_left_out() -> None:
    [(one, _), (other, _)] = levels(4, 4)
    assert len(torch.cat([one, other]).unique()) == 8


def test_what_cannot_be_filled_is_left_out(tmp_path: Path) -> None:
    assert [len(x) for x, _ in levels(1, 4, NONE)] == [2] * 6  # all there are
    assert [len(x) for x, _ in levels(4, 5, NONE)] == [5]  # and three that fill none
    assert full_bound(a_run(tmp_path), TEST, NONE, 7, 0, 99) == {}


def test_what_is_not_scored_counts_in_no_mean(tmp_path: Path) -> None:
    conditions = a_run(tmp_path).conditions._replace(binarisation="none")
    model: object = FirstPixel()
    run = a_run(tmp_path / "b")._replace(model=model, conditions=conditions)  # type: ignore[arg-type]
    found = full_bound(run, TEST, TRAIN, 1, 0, 99)
    made = levels(1, 4)
    own = torch.cat([x[own] for x, own in made]).double().mean() / 255
    memory = torch.stack([x.double().mean() for x, _ in made]).mean() / 255
    assert found["kl_memory_nats"] == pytest.approx(memory.item(), rel=1e-5)
    assert found["bound_with_kl_memory_nats"] == pytest.approx((own + memory).item(), rel=1e-5)


def test_a_model_without_memory_does_not_care(tmp_path: Path) -> None:
    run = a_run(tmp_path, "vae")
    usual = bound(run.model, TEST, episode_length=4, passes=8)["bound_nats"]
    for classes, beside in ((1, TRAIN), (1, None), (2, TRAIN)):
        found = full_bound(run, TEST, beside, classes, 0, 99)
        assert found["kl_memory_nats"] == 0
        assert found["bound_with_kl_memory_nats"] == pytest.approx(usual, rel=0.05)


def test_a_limit_is_kept_within_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("km_rl.evaluate.related.BATCH", 1)
    seen: list[int] = []
    run = a_run(tmp_path)
    run.model.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    full_bound(run, TEST, TRAIN, 1, 0, images=5)
    assert seen == [1, 1, 1]  # of two test images each


def test_powers_of_two_of_classes() -> None:
    assert numbers_of_classes(32, 1623) == [1, 2, 4, 8, 16, 32]
    assert numbers_of_classes(32, 10) == [1, 2, 4, 8] and numbers_of_classes(1, 9) == [1]


def test_the_exhibit_leaves_out_what_has_no_price(tmp_path: Path) -> None:
    runs = [a_run(tmp_path, kind)._replace(label=kind) for kind in ("km", "dnc", "vae")]
    shown = related(runs, TEST, TRAIN, 0, 8)
    assert {p.label for p in shown.points} == {"km", "vae"}
    assert {p.series for p in shown.points} == {AGAIN, ONCE}
    assert {p.x for p in shown.points if p.metric == "kl_memory_nats"} == {1, 2, 4}
    assert len(shown.figure.axes) == 4
    again = related(runs, TEST, TRAIN, 0, 8)
    assert again.points == shown.points


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_it_is_shown_where_the_memory_was_counted(
    tmp_path: Path, weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("km_rl.evaluate.importance.COUNTS", (1, 2))
    runs = [a_run(tmp_path, memory_kl_weight=weight), a_run(tmp_path, "dnc", memory_kl_weight=1.0)]
    names = [one.name for one in experiments(runs, [], tiny_data(), 0, 8)]
    assert ("related" in names) == bool(weight)
