"""Points are read from the summary, and drawn for every number of classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from km_rl.evaluate.table import DISTORTION, FULL
from km_rl.results.rate_distortion import Place, figure, places, write_rate_distortion
from km_rl.results.summary import Row

NAME = "strokes-2classes-full-bound"


def of(setting: str, distortion: float, full: float, experiment: str = NAME) -> list[Row]:
    made = (None, None, 1, "an abacus", "python x", "abc")
    values = {DISTORTION: distortion, FULL: full, "kl_y_nats": 3.0}
    return [Row(experiment, setting, metric, value, *made) for metric, value in values.items()]


ROWS = [
    *of("km, memory_kl_weight=0.0, sample_memory=False", 20.0, 520.0),
    *of("km", 80.0, 100.0),
    *of("vae", 90.0, 110.0),
    *of("km", 70.0, 105.0, "strokes-all-full-bound"),
    *of("km", 1.0, 2.0, "strokes"),
]


def test_the_rate_is_what_the_full_bound_has_beyond_the_distortion() -> None:
    assert places(ROWS, NAME) == [
        Place("km", 1.0, 20.0, 80.0),
        Place("km", 0.0, 500.0, 20.0),
        Place("vae", None, 20.0, 90.0),
    ]


def test_a_model_without_a_full_bound_has_no_place() -> None:
    found = places([*ROWS, of("dnc", 5.0, 6.0)[0]], NAME)
    assert [place.kind for place in found] == ["km", "km", "vae"]


def test_a_machine_that_never_writes_has_a_place_of_its_own() -> None:
    *_, found, _ = places([*ROWS, *of("km, unwritten=True", 60.0, 100.0)], NAME)
    assert found == Place("unwritten", None, 40.0, 60.0)
    (axes,) = figure({"2 classes": [Place("km", 1.0, 20.0, 80.0), found]}).axes
    assert {*axes.get_legend_handles_labels()[1]} == {
        "KM, by the weight of KL(M)",
        "KM that never writes",
    }


def test_a_place_has_half_the_interval_of_the_full_bound() -> None:
    distortion, full, _ = of("km, memory_kl_weight=0.1", 70.0, 105.0)
    several = full._replace(low=103.0, high=107.0, seeds=3)
    assert places([distortion, several], NAME) == [Place("km", 0.1, 35.0, 70.0, 2.0)]


def test_the_lead_is_the_recorded_gap_which_is_paired_by_seed() -> None:
    gap = of("km-under-vae", 0.0, 7.5)[1]
    assert [place.lead for place in places([*ROWS, gap], NAME)] == [7.5, None, None]


def test_panels_are_in_order_and_the_rivals_line_is_where_its_sum_is() -> None:
    km, vae = Place("km", 1.0, 20.0, 80.0, 5.0, 9.5), Place("vae", None, 20.0, 90.0, 30.0)
    other = Place("km", 0.1, 200.0, 60.0, 50.0)
    panels = {f"{n} classes": [km, other, vae] for n in ("all", "12", "2")} | {"1 class": [vae]}
    drawn = figure(panels).axes
    assert [axes.get_title(loc="left") for axes in drawn] == [
        "1 class",
        "2 classes",
        "12 classes",
        "all classes",
    ]
    line = next(one for one in drawn[1].lines if one.get_label() == "the VAE's full bound")
    rates, distortions = map(np.asarray, line.get_data())
    np.testing.assert_allclose(rates + distortions, 110.0)
    assert rates.min() < 20.0 < rates.max() and distortions.min() == pytest.approx(60.0)
    told = [one.get_text() for one in drawn[1].texts]
    assert told == ["1", "0.1", "weight 1: 9.5 nats under the VAE"]


@pytest.mark.parametrize("rows, written", [(ROWS, 1), (ROWS[-3:], 0)])
def test_there_is_a_figure_for_each_data_set(
    rows: list[Row], written: int, tmp_path: Path
) -> None:
    paths = write_rate_distortion(tmp_path, rows)
    assert paths == [tmp_path / "strokes-rate-distortion.png"][:written]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
