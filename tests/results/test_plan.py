from __future__ import annotations

from km_rl.results.plan import Start, ablated, ablations, by_seed, compared, names, rivals


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
    assert names("debug", "images", 20, 20) == ("debug", "debug")
    assert names("paper-omniglot", "images", 9, 9) == ("paper-omniglot", "omniglot-images-dynamic")
    runs, results = names("paper-omniglot", "images", 32_000, 4000)
    assert runs == "paper-omniglot-4000-steps"
    assert results == "omniglot-images-dynamic-4000-steps"
    assert names("paper-cifar10", "images", 9, 9) == ("paper-cifar10", "cifar10")


def test_a_shorter_run_warms_up_and_is_looked_at_as_much_sooner() -> None:
    pace = {"--warmup-steps": 1500, "--evaluate-every": 2000}
    start = Start("omniglot", "paper-omniglot", usual=32_000, slots=64, length=32, pace=pace)
    sooner = ("--warmup-steps", "187", "--evaluate-every", "250")
    runs = [*compared(start).trainings, *ablated(start).trainings]
    assert all(one.flags[:4] == sooner for one in runs)
    assert ("--learning-rate", "4e-3") in {one.flags[4:] for one in runs if one.model == "vae"}
    whole = compared(start._replace(steps=32_000))
    assert all("--warmup-steps" not in one.flags for one in whole.trainings)


def test_a_split_over_characters_is_in_the_names() -> None:
    start = Start("omniglot", "paper-omniglot", usual=9, slots=64, length=32, steps=9)
    beside = compared(start._replace(split="characters"))
    assert beside.base == "paper-omniglot-characters"
    assert beside.name == "omniglot-characters-dynamic"


def test_ablations_are_compared_with_the_machine_among_its_rivals() -> None:
    start = Start("cifar10", "paper-cifar10", usual=32_000, slots=128, length=32, seeds=2)
    whole, parts = compared(start, dnc_seeds=1), ablated(start)
    assert (whole.base, whole.name) == ("paper-cifar10-6000-steps", "cifar10-6000-steps")
    assert (parts.base, parts.name) == (whole.base, "cifar10-6000-steps-ablations")
    assert len(whole.trainings) == 7 and len(parts.trainings) == 2 + 12
    assert [one for one in whole.trainings if one.model == "km"] == parts.trainings[:2]
    assert all(one.flags[:2] == ("--episodes-per-batch", "4") for one in whole.trainings)
    assert parts.variants and not whole.variants
