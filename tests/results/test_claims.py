"""Every verdict follows from recorded rows alone, and missing ones name their command."""

from __future__ import annotations

from pathlib import Path

import pytest

from km_rl.evaluate.denoising import CORRUPTIONS
from km_rl.results.claims import CLAIMS, HOLDS, NOT, PARTLY, NotMeasured, Numbers
from km_rl.results.summary import Row
from km_rl.results.verdicts import command_for, verdicts, write_verdicts

Value = float | tuple[float, float, float]
Rows = dict[tuple[str, str, str], Value]
KL_DIP, VAE, SLOTS, SLOWER, SETTLE, DENOISE, WALK, ADDRESS, FULL = range(9)


def rows(values: Rows, experiment: str = "strokes") -> list[Row]:
    """Rows of exhibit, setting and metric; a value alone has no interval."""
    made = []
    for (exhibit, setting, metric), value in values.items():
        mean, low, high = value if isinstance(value, tuple) else (value, None, None)
        name = f"{experiment}-{exhibit}" if exhibit else experiment
        about = ("an abacus", "python x && y", "abc")
        made.append(Row(name, setting, metric, mean, low, high, 3, *about))
    return made


def repair(last: float, vae_last: float, corruptions: tuple[str, ...] = CORRUPTIONS) -> Rows:
    made: Rows = {}
    for one in CORRUPTIONS:
        at_end = last if one in corruptions else 99.0
        for model, end in (("km", at_end), ("vae", vae_last)):
            for step, error in ((0, 20.0), (1, 15.0), (12, end)):
                made["repair", f"{model}, {one}", f"error@{step}"] = error
    return made


def capacity(
    dnc: tuple[float, float],
    lrua: tuple[float, float] | None = None,
    half: float | None = None,
) -> Rows:
    """Bounds at two T, with intervals of that half length."""
    made: Rows = {}
    for model, found in {"km": (50.0, 50.0), "dnc": dnc, "lrua": lrua or dnc}.items():
        for metric, nats in zip(("bound_nats@4", "bound_nats@8"), found, strict=True):
            spread = nats if half is None else (nats, nats - half, nats + half)
            made["capacity", f"{model}, 2 classes", metric] = spread
    return made


def times(dnc: float, lrua: float) -> Rows:
    seconds = {"km": 10.0, "dnc": dnc, "lrua": lrua}
    made: Rows = {("", kind, "training_seconds"): value for kind, value in seconds.items()}
    return made | {("", kind, "images_seen"): 100.0 for kind in seconds}


def settled(*late: float, classes: tuple[int, ...] = (2, 4, 12)) -> Rows:
    each = zip(classes, late, strict=True)
    return {("convergence", f"km, {n} classes", "late_change"): share for n, share in each}


OF_ANOTHER_SIZE: Rows = {("convergence", "km, slots=2, 2 classes", "late_change"): 0.9}


def walk(w: float, jump: float, ink: bool = True) -> Rows:
    if not ink:
        return {("interpolation", "km, w", "largest_step_share"): jump}
    doubt = "added_uncertainty_nats"
    nats: Rows = {("interpolation", "km, w", doubt): w, ("interpolation", "km, pixels", doubt): 40}
    return nats | {("interpolation", "km, w", "largest_step_share"): jump}


def pair(exhibit: str, metric: str, km: Value, other: Value, setting: str) -> Rows:
    return {(exhibit, "km", metric): km, (exhibit, setting, metric): other}


def dip(km: float, vae: float) -> Rows:
    return pair("training", "kl_dip_percent", km, vae, "vae")


def slots(km: float, dnc: float) -> Rows:
    rows = pair("addresses", "effective_slots", km, dnc, "dnc")
    rows |= {("addresses", "dnc", "effective_slots_of_all"): 30.0}
    return {**rows, ("addresses", "km", "slots"): 64.0}


def covariance(full: Value, diagonal: Value) -> Rows:
    return pair("ablations", "bound_nats", full, diagonal, "km, diagonal_covariance=True")


def gap(value: Value) -> Rows:
    return {("", "km-under-vae", "bound_nats"): value}


@pytest.mark.parametrize(
    ("claim", "values", "verdict"),
    [
        (KL_DIP, dip(30, 2), HOLDS),
        (KL_DIP, dip(10.1, 9.9), HOLDS),
        (KL_DIP, dip(10.1, 10.1), PARTLY),
        (KL_DIP, dip(9.9, 2), NOT),
        (KL_DIP, dip(30, 20), PARTLY),
        (KL_DIP, dip(5, 2), NOT),
        (VAE, gap((40.0, 35.0, 45.0)), HOLDS),
        (VAE, gap((4.0, -3.0, 11.0)), PARTLY),
        (VAE, gap(4.0), PARTLY),
        (VAE, gap((-4.0, -5.0, -3.0)), NOT),
        (SLOTS, capacity((60.0, 70.0), half=4.0), HOLDS),
        (SLOTS, capacity((60.0, 70.0), half=6.0), PARTLY),
        (SLOTS, capacity((60.0, 70.0)), PARTLY),
        (SLOTS, capacity((60.0, 40.0)), NOT),
        (SLOTS, capacity((60.0, 40.0), lrua=(60.0, 70.0)), PARTLY),
        (SLOTS, capacity((30.0, 40.0)), NOT),
        (SLOWER, times(50, 20), HOLDS),
        (SLOWER, times(11.2, 11.2), HOLDS),
        (SLOWER, times(11.2, 10.8), PARTLY),
        (SLOWER, times(10.8, 20), NOT),
        (SLOWER, times(50, 9), PARTLY),
        (SLOWER, times(10, 20), NOT),
        (SETTLE, settled(0.01, 0.1, 0.1), HOLDS),
        (SETTLE, settled(0.01, 0.1, 0.3), PARTLY),
        (SETTLE, settled(0.2, 0.5, 0.3), NOT),
        (SETTLE, settled(0.2, 0.0, 0.1, classes=(2, 4, 10)), PARTLY),
        (SETTLE, {**settled(0.0, 0.0, 0.0), **OF_ANOTHER_SIZE}, HOLDS),
        (DENOISE, repair(10, 16), HOLDS),
        (DENOISE, repair(10, 16, CORRUPTIONS[:3]), PARTLY),
        (DENOISE, repair(10, 16, CORRUPTIONS[:1]), NOT),
        (DENOISE, repair(10, 14), PARTLY),
        (DENOISE, repair(18, 16), NOT),
        (WALK, walk(20, 0.2), HOLDS),
        (WALK, walk(20, 0.49), HOLDS),
        (WALK, walk(20, 0.51), PARTLY),
        (WALK, walk(20, 0.9), PARTLY),
        (WALK, walk(60, 0.9), NOT),
        (WALK, walk(0, 0.2, ink=False), HOLDS),
        (WALK, walk(0, 0.9, ink=False), NOT),
        (ADDRESS, slots(20, 1.2), HOLDS),
        (ADDRESS, slots(16.1, 1.99), HOLDS),
        (ADDRESS, slots(16.1, 2.01), PARTLY),
        (ADDRESS, slots(15.9, 2.01), NOT),
        (ADDRESS, slots(20, 5), PARTLY),
        (ADDRESS, slots(3, 1.2), PARTLY),
        (ADDRESS, slots(3, 2.5), NOT),
        (FULL, covariance((40, 39, 41), (50, 48, 52)), HOLDS),
        (FULL, covariance((40, 30, 50), (45, 35, 55)), PARTLY),
        (FULL, covariance(40, 45), PARTLY),
        (FULL, covariance(50, 45), NOT),
    ],
)
def test_verdicts(claim: int, values: Rows, verdict: str) -> None:
    numbers = Numbers(rows(values), "strokes")
    found = CLAIMS[claim].judge(numbers)
    assert found.verdict == verdict and found.numbers
    assert {row.experiment for row in numbers.used} == {row.experiment for row in rows(values)}


@pytest.mark.parametrize("claim", range(len(CLAIMS)))
def test_nothing_is_said_without_numbers(claim: int) -> None:
    with pytest.raises(NotMeasured):
        CLAIMS[claim].judge(Numbers(rows(dip(30, 2), "another"), "strokes"))


def test_what_a_lead_costs_is_told_beside_it() -> None:
    counted: Rows = {("", "km-under-vae", "bound_with_kl_memory_nats"): -300.0}
    told = CLAIMS[VAE].judge(Numbers(rows({**gap(40.0), **counted}), "strokes")).numbers
    assert told == "40.0 nats under; with KL(M)/T counted 300.0 nats over"
    assert CLAIMS[VAE].judge(Numbers(rows(gap(40.0)), "strokes")).numbers == "40.0 nats under"


def test_times_on_different_hardware_are_not_compared() -> None:
    made = rows(times(50, 20))
    other = [made[0]._replace(hardware="a slide rule"), *made[1:]]
    with pytest.raises(NotMeasured):
        CLAIMS[SLOWER].judge(Numbers(other, "strokes"))


def test_times_of_steps_taken_in_turns_go_before_those_of_trainings(tmp_path: Path) -> None:
    made = rows({**times(20, 20), **capacity((60, 60))}, "omniglot")
    ratios = ("dnc_ratio_to_machine", 3.0), ("lrua_ratio_to_machine", 1.0)
    turns = rows({("", "B=16 T=32", name): value for name, value in ratios}, "step-cost")
    numbers = Numbers([*made, *turns], "omniglot")
    assert CLAIMS[SLOWER].judge(numbers) == (
        PARTLY,
        "DNC 3.0 and LRUA 1.0 times the KM's time per image",
    )
    assert numbers.used == turns
    assert "| [a step of each](../docs/speed.md" in verdicts(tmp_path, [*made, *turns])
    assert CLAIMS[SLOWER].judge(Numbers([*made, turns[0]], "omniglot")).verdict == HOLDS


def test_the_page(tmp_path: Path) -> None:
    (tmp_path / "strokes").mkdir()
    (tmp_path / "strokes" / "training.png").touch()
    ours = rows({**dip(30, 2), **gap((40.0, 35.0, 45.0))})
    found = ours + rows({**capacity((60, 40)), ("", "km", "bound_nats"): 50.0}, "debug")
    path = write_verdicts(tmp_path, found)
    page = path.read_text()
    assert path == tmp_path / "README.md" and page == verdicts(tmp_path, found)
    glance, strokes, debug, rules = page.split("\n## ")
    line = (
        "| 1. KL dips once the machine has learned to use its memory | **holds** | "
        "KM 30%, VAE 2% | [training](strokes/training.png) | 3 |"
    )
    assert line in strokes.splitlines()
    assert f"{line} [strokes](#strokes) |  |" in glance.splitlines()
    assert "40.0 nats under (35.0 to 45.0)" in strokes and "\npython x\ny\n" in strokes
    assert "Not measured: 3, 4, 5, 6, 7, 8, 9. `python scripts/paper.py --parts" in strokes
    told = [
        f"under {who} at 1 of 2 places, 0 of them with intervals apart" for who in ("DNC", "LRUA")
    ]
    assert f"**does not hold** | {'; '.join(told)} |" in debug
    assert glance.count("| not measured |") == 6
    for one in ("omniglot-images-dynamic", "cifar10"):
        assert f"Nothing is measured yet on {one}: `python scripts/paper.py --parts" in debug
    assert rules.count(".\n") == len(CLAIMS)


def test_the_page_starts_with_what_decides_most(tmp_path: Path) -> None:
    more = rows({**dip(5, 2), **gap(40.0)}, "zebra") + rows(gap(9.0), "zebra-full-bound-b")
    some = rows({**dip(30, 2), ("", "km", "bound_nats"): 50.0}, "ant")
    page = verdicts(tmp_path, [*some, *more])
    assert "Not measured: 2, 3, 4, 5, 6, 7, 8, 9.\n" in page
    assert [part.split()[0] for part in page.split("\n## ")[1:3]] == ["zebra", "ant"]
    assert "KM 5%, VAE 2% |  | 3 | [zebra](#zebra) | holds 1 |" in page
    assert "zebra-full-bound" not in page


@pytest.mark.parametrize(
    ("experiment", "command"),
    [
        ("strokes", "python scripts/paper.py --parts ablations compared --record results"),
        (
            "debug",
            "python scripts/paper.py --parts ablations compared --preset debug --record results",
        ),
        ("cifar100", None),
        (
            "cifar10-6000-steps",
            "python scripts/paper.py --parts ablations compared "
            "--dataset cifar10 --data-dir DIR --steps 6000 "
            "--record results",
        ),
        (
            "omniglot-characters-dynamic-4000-steps",
            "python scripts/paper.py --parts ablations compared "
            "--dataset omniglot --data-dir DIR --split characters "
            "--steps 4000 --record results",
        ),
        (
            "strokes-90-steps",
            "python scripts/paper.py --parts ablations compared --steps 90 --record results",
        ),
        (
            "omniglot-images-dynamic-4000-steps",
            "python scripts/paper.py --parts ablations compared "
            "--dataset omniglot --data-dir DIR --steps 4000 "
            "--record results",
        ),
    ],
)
def test_what_measures_an_experiment(experiment: str, command: str | None) -> None:
    assert command_for(experiment) == command
