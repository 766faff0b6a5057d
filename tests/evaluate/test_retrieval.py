"""The retrieval experiment: what is written, asked and counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from km_rl.baselines.hopfield import Hopfield
from km_rl.baselines.key_value import KeyValueStore
from km_rl.data import Images
from km_rl.errors import InputError
from km_rl.evaluate.retrieval import (
    BLOCK,
    BUDGET,
    DEBUG,
    SIZE,
    Contestant,
    cells,
    corrupted,
    costs,
    draw,
    failing_load,
    information,
    lineup,
    measured,
)
from km_rl.results.retrieval import early, experiment_of, rows, side_by_side, write_files
from km_rl.results.summary import Row, before_recording, record
from km_rl.train.recall import RECIPES

BENCH = replace(DEBUG, loads=(4, 12), load=12, queries=8, rbm_updates=3)
INK = torch.rand(300, 1, 28, 28, generator=torch.Generator().manual_seed(0)) < 0.13
TESTS = {"strokes": Images(255 * INK.byte(), torch.zeros(300).long())}
"""As much ink as drawings have, so that Hebb's rule fails as early on them."""


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_no_memory_has_more_numbers_than_the_hopfield_net_and_none_much_less() -> None:
    entries = lineup(1)
    numbers = {name: entry.empty().stored_numbers for name, entry in entries.items()}
    assert numbers["hebbian"] == BUDGET
    for name in ("modern", "key-value", "sdm", "rbm", "natural"):
        assert 0.99 * BUDGET < numbers[name] <= BUDGET, name
    assert numbers["pseudo-inverse"] == BUDGET + SIZE  # its diagonal


@pytest.mark.parametrize("model", RECIPES)
def test_the_trained_machines_have_no_more_either(model: str) -> None:
    recipe = replace(RECIPES[model], width=4)  # the nets are not counted
    entry = lineup(1, {model: recipe.build_machine()})[model]
    assert 0.5 * BUDGET < entry.empty().stored_numbers <= BUDGET


def test_a_store_that_is_timed_holds_all() -> None:
    patterns = draw("random", {}, 600, rng())
    memory = lineup(1, slots=600)["key-value"].filled(patterns)
    assert torch.equal(memory.read(patterns[:5]), patterns[:5])


@pytest.mark.parametrize("share", [0.0, 0.2, 0.4])
def test_information_is_what_a_noisy_channel_carries(share: float) -> None:
    coins = draw("random", {}, 400, rng())
    noisy = corrupted(coins, str(share), rng())
    p = torch.tensor([share, 1 - share])
    expected = 1 + float((p * p.log2()).nan_to_num(0.0).sum())
    assert information(coins, noisy) == pytest.approx(expected, abs=0.005)


def test_patterns_that_are_lost_do_not_dim_those_that_are_kept() -> None:
    coins = draw("random", {}, 400, rng())
    half = torch.cat([coins[:200], draw("random", {}, 200, torch.Generator().manual_seed(9))])
    assert information(coins, half) == pytest.approx(0.5, abs=0.005)


def test_queries_are_flipped_or_blanked() -> None:
    ink = torch.ones(6, SIZE)
    assert (corrupted(ink, BLOCK, rng()) == -1).sum(1).tolist() == [14 * 14] * 6
    assert abs((corrupted(ink, "0.3", rng()) == -1).float().mean() - 0.3) < 0.03


def test_every_memory_is_asked_the_same() -> None:
    heard: list[torch.Tensor] = []

    class Listening:
        stored_numbers = 1

        def write(self, patterns: torch.Tensor) -> Listening:
            return self

        def read(self, queries: torch.Tensor, steps: int = 1) -> torch.Tensor:
            heard.append(queries)
            return queries

    for name in ("a", "b"):
        error, bits = measured(BENCH, name, Contestant(Listening), {}, 0, "random", 12, "0.2")
        assert error.value == pytest.approx(20, abs=3) and bits.value == 0
    assert torch.equal(*heard)


def test_a_perfect_store_gains_what_the_flips_took() -> None:
    entry = Contestant(lambda: KeyValueStore.empty(SIZE, 12))
    error, bits = measured(BENCH, "key-value", entry, {}, 0, "random", 12, "0.2")
    assert error.value == 0
    assert bits.value == pytest.approx(0.722, abs=0.03)  # H(0.2) for each unit and number


def test_a_memory_that_does_not_write_stays_empty() -> None:
    patterns = draw("random", {}, 3, rng())
    entry = Contestant(lambda: Hopfield.empty(SIZE), writes=False)
    assert torch.equal(entry.filled(patterns).read(patterns), patterns)


def test_the_curves_meet_in_one_point() -> None:
    places = cells(BENCH, TESTS)
    assert len(places) == len(set(places)) == 2 * (2 + 1)
    assert ("strokes", 12, BLOCK) in places


def test_the_failing_load_is_the_first() -> None:
    patterns = draw("random", {}, 60, rng())[:, :100]
    net = Hopfield.empty(100, update="synchronous")
    load = failing_load(net, patterns)
    lost = [(net.write(patterns[:n]).read(patterns[:n], 5) != patterns[:n]) for n in range(1, 41)]
    assert load == next(n for n, x in enumerate(lost, 1) if x.float().mean() > 0.05)
    assert failing_load(net._replace(rule="pseudo-inverse"), patterns[:20]) == 20


def test_both_costs_are_counted() -> None:
    entry = Contestant(lambda: Hopfield.empty(SIZE), steps=2)
    assert all(us > 0 for us in costs(entry, 20, 5, seed=0))


def test_more_drawings_than_there_are_is_refused() -> None:
    with pytest.raises(InputError, match="301"):
        draw("strokes", TESTS, 301, rng())


def test_rows_curves_and_figure(tmp_path: Path) -> None:
    entries = {k: v for k, v in lineup(3).items() if k in ("hebbian", "key-value")}
    found = [
        point
        for seed in (0, 1)
        for name, entry in entries.items()
        for place in cells(BENCH, TESTS)
        for point in measured(BENCH, name, entry, TESTS, seed, *place)
    ]
    told = [*side_by_side(BENCH, entries, found[: len(found) // 2])]
    told += early(BENCH, entries, TESTS, 0)
    metrics = {metric for name, metric, _ in told if name == "hebbian"}
    assert metrics == {
        "stored_numbers",
        "bits_per_number",
        "failing_load_strokes",
        *(f"error_percent_{kind}" for kind in ("random", "random_block", "strokes")),
        *(f"error_percent_strokes_{kind}" for kind in ("block", "early")),
    }
    values = {("retrieval", *one[:2]): [one[2], one[2] + 1] for one in told}
    row = rows(values, "an abacus", "python x", "abc")[0]
    assert row.seeds == 2 and row.low is not None and row.low < row.value
    table, picture = write_files(BENCH, found, tmp_path, ["strokes"])
    assert len(table.read_text().splitlines()) == len(found) + 1
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert write_files(BENCH, [], tmp_path / "none", ["strokes"]) == []


def test_fewer_seeds_than_are_recorded_are_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("km_rl.results.summary.commit_to_record", lambda: "abc")
    row = Row("retrieval-cost", "hebbian", "write_us@2", 1.0, None, None, 5, "an abacus", "x", "a")
    record([row], tmp_path)
    mine = [experiment_of(part, "retrieval") for part in ("facts", "errors")]
    before_recording(tmp_path, 2, lambda row: row.experiment in mine)
    costs = experiment_of("costs", "retrieval")
    before_recording(tmp_path, 5, lambda row: row.experiment == costs)
    with pytest.raises(InputError, match="holds 5 seeds of retrieval-cost, hebbian where 2 would"):
        before_recording(tmp_path, 2, lambda row: row.experiment == costs)
