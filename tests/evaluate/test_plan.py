from __future__ import annotations

from km_rl.evaluate.plan import ablations, by_seed, names, rivals


def test_three_seeds_of_every_model_and_six_of_the_dnc() -> None:
    plan = rivals("strokes")
    seeds = {kind: [one.seed for one in plan if one.model == kind] for kind in ("km", "vae")}
    assert seeds == {"km": [0, 1, 2], "vae": [0, 1, 2]}
    assert [one.seed for one in plan if one.model == "dnc"] == list(range(6))
    assert len(plan) == 15 and all(not one.flags for one in plan)
    together = by_seed(plan)
    assert [one.model for one in together[0]] == ["km", "vae", "lrua", "dnc"]
    assert [one.model for one in together[5]] == ["dnc"]


def test_every_part_is_left_out_once_for_each_seed() -> None:
    plan = ablations(64)
    assert len(plan) == 18 and {one.model for one in plan} == {"km"}
    named = {one.name("strokes") for one in plan}
    assert {"strokes-km-diagonal-0", "strokes-km-k16-1", "strokes-km-k128-2"} <= named
    assert len(named) == 18


def test_an_unusual_number_of_steps_is_in_the_names() -> None:
    assert names("debug", 20, 20) == ("debug", "debug")
    assert names("paper-omniglot", 9, 9) == ("paper-omniglot", "omniglot-images-dynamic")
    runs, results = names("paper-omniglot", 32_000, 4000)
    assert runs == "paper-omniglot-4000-steps"
    assert results == "omniglot-images-dynamic-4000-steps"
