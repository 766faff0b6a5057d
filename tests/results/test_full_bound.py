"""The sweep of the full bound: every weight on every number of classes, and the VAE."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from km_rl.errors import InputError
from km_rl.evaluate.table import FULL
from km_rl.results.full_bound import CLASSES, FLAGS, NAME, WEIGHTS, Classes, full_bound
from km_rl.results.plan import Start
from km_rl.results.readme import with_tables
from km_rl.results.summary import Row

OMNIGLOT = Start("omniglot", "paper-omniglot", usual=32_000, slots=64, length=32)
DEBUG = Start("strokes", "debug", usual=20, slots=4, length=4)


def test_every_weight_and_the_vae_on_every_number_of_classes() -> None:
    plan = full_bound(OMNIGLOT)
    names = list(dict.fromkeys(one.name for one in plan))
    assert names == [
        f"omniglot-{n}-full-bound" for n in ("1class", "2classes", "4classes", "8classes", "all")
    ]
    assert all(NAME.fullmatch(name) for name in names)
    assert [one.classes for one in plan[::2]] == [1, 2, 4, 8, None]
    assert {one.steps for one in plan} == {10_000}
    runs = {training.name(one.base) for one in plan for training in one.trainings}
    assert len(runs) == len(CLASSES) * (len(WEIGHTS) + 2) * 3


def test_a_split_over_characters_is_in_the_names() -> None:
    plan = full_bound(OMNIGLOT._replace(split="characters"), classes=[2], weights=[1.0])
    assert [one.name for one in plan] == ["omniglot-characters-2classes-full-bound"]
    assert NAME.fullmatch(plan[0].name)


def test_the_machine_of_the_full_bound_is_first_and_the_vae_beside_it() -> None:
    by_weight, beside = full_bound(OMNIGLOT._replace(seeds=1), classes=[2])
    assert by_weight.variants and not by_weight.thorough
    assert not beside.variants and beside.thorough
    assert by_weight.trainings[0] == beside.trainings[0]
    assert [one.name(beside.base) for one in beside.trainings] == [
        "omniglot-2classes-full-bound-km-0",
        "omniglot-2classes-full-bound-vae-0",
    ]
    km, vae = (one.flags for one in beside.trainings)
    assert km == ("--memory-kl-weight", "1", "--sample-memory", *FLAGS)
    assert vae == ("--learning-rate", "4e-3")


def test_the_memory_is_drawn_in_training_where_its_kl_has_a_weight() -> None:
    machines = full_bound(OMNIGLOT._replace(seeds=1), classes=["all"])[0].trainings
    drawn = {one.part: "--sample-memory" in one.flags for one in machines}
    weights = {"weight0.1": True, "weight0.01": True, "weight0.001": True, "weight0": False}
    assert drawn == {"": True, "unwritten": True} | weights


def test_one_machine_differs_in_that_it_never_writes() -> None:
    first, *_, last = full_bound(OMNIGLOT._replace(seeds=1), classes=[2])[0].trainings
    assert last == first._replace(part="unwritten", flags=(*first.flags, "--unwritten"))


@pytest.mark.parametrize(
    ("weights", "parts"),
    [
        ((0.1,), ["", "weight0.1", "unwritten"]),
        ((0.0, 1.0, 0.0), ["", "weight0", "unwritten"]),
        ((1.0,), None),
    ],
)
def test_weight_one_is_always_trained(weights: Sequence[float], parts: list[str] | None) -> None:
    *by_weight, beside = full_bound(DEBUG._replace(seeds=1), [2], weights)
    assert [one.model for one in beside.trainings] == ["km", "vae"]
    assert [[one.part for one in each.trainings] for each in by_weight] == [parts] * bool(parts)


def test_debug_is_tiny_and_other_steps_are_in_the_names() -> None:
    assert {one.name for one in full_bound(DEBUG)} == {
        "debug-2classes-full-bound",
        "debug-all-full-bound",
    }
    (beside,) = full_bound(OMNIGLOT._replace(steps=300), [1], [1.0])
    assert beside.name == "omniglot-300-steps-1class-full-bound" and NAME.fullmatch(beside.name)
    assert beside.steps == 300


def test_a_shorter_run_of_the_full_bound_warms_up_sooner() -> None:
    start = OMNIGLOT._replace(seeds=1, pace={"--address-kl-warmup-steps": 2000})
    shorter, usual = (full_bound(start._replace(steps=n), [2], [1.0])[0] for n in (500, None))
    flags = [one.flags[:2] for one in shorter.trainings]
    assert flags == [("--address-kl-warmup-steps", "100")] * 2
    assert all("--address-kl-warmup-steps" not in one.flags for one in usual.trainings)


@pytest.mark.parametrize(
    ("classes", "weights", "sentence"),
    [
        ([2], [-0.1], "is -0.1: give finite"),
        ([2], [float("nan")], "is nan"),
        ([0], [1.0], "classes is 0"),
        ([5], [1.0], "at most 4 classes"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    classes: list[Classes], weights: list[float], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        full_bound(DEBUG, classes, weights)


def test_a_table_has_the_full_bounds_by_classes_in_order() -> None:
    made = (None, None, 2, "an abacus", "python x", "abc")
    rows = [
        Row(f"omniglot-{named}-full-bound", setting, metric, value, *made)
        for named, kl in (("all", 0.0), ("8classes", 1.0), ("1class", 6.0))
        for setting, metric, value in (
            ("km", FULL, 100.0 + kl),
            ("km", "kl_memory_nats", kl),
            ("vae", FULL, 110.0),
            *[("km, unwritten=True", FULL, 109.0)] * (named == "1class"),
        )
    ]
    others = "omniglot-characters-2classes-full-bound", "omniglot-2classes-full-bound-capacity"
    rows += [rows[0]._replace(experiment=name) for name in others]
    lines = with_tables("<!-- results: omniglot-by-classes --><!-- /results -->", rows).split("\n")
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    named = ["in an episode", "---", "1 class", "8 classes", "all classes"]
    assert [row[0] for row in cells] == named
    assert cells[2] == ["1 class", "106.0", "110.0", "109.0", "", "6.0", "2, 2, 2"]
    assert cells[4] == ["all classes", "100.0", "110.0", "", "", "0.0", "2, 2"]
    with pytest.raises(InputError, match="'cifar10-by-classes' has no results"):
        with_tables("<!-- results: cifar10-by-classes --><!-- /results -->", rows)


def test_a_table_has_what_is_stored_by_weight_and_the_seeds_of_each() -> None:
    made = (None, None)
    rows = [
        Row(f"omniglot-{named}-full-bound", setting, metric, value, *made, seeds, "an abacus", *of)
        for named in ("2classes", "1class")
        for setting, seeds, stored, of in (
            ("km", 3, 5.0, ("python one", "abc")),
            ("km, memory_kl_weight=0.1", 1, 30.0, ("python tenth", "def")),
            ("vae", 3, 0.0, ("python vae", "abc")),
        )
        for metric, value in (("kl_memory_nats", stored), (FULL, 100.0 + stored))
    ]
    made_of = with_tables("<!-- results: omniglot-by-weight --><!-- /results -->", rows)
    cells = [line.strip("| ").split(" | ") for line in made_of.split("\n") if line[:2] == "| "]
    assert [row[0] for row in cells] == ["in an episode", "---", "1 class", "2 classes"]
    assert dict(zip(cells[0], cells[2], strict=True)) == {
        "in an episode": "1 class",
        **{"stored at 1": "5.0", "stored at 0.1": "30.0", "stored at 0": ""},
        **{"bound at 1": "", "bound at 0.1": "", "bound at 0": ""},
        **{"counted at 1": "105.0", "counted at 0.1": "130.0", "counted at 0": ""},
        "seeds": "3, 1",
    }
    assert "python tenth" in made_of and "python vae" not in made_of
