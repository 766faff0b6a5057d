"""Points are read from the summary, and drawn for every number of classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from km_rl.evaluate.rate_distortion import FULL, Place, places, write_rate_distortion
from km_rl.evaluate.results import Row
from km_rl.evaluate.table import DISTORTION

NAME = "strokes-2classes-full-bound"


def of(setting: str, distortion: float, full: float, experiment: str = NAME) -> list[Row]:
    made = (None, None, 1, "an abacus", "python x", "abc")
    values = {DISTORTION: distortion, FULL: full, "kl_y_nats": 3.0}
    return [Row(experiment, setting, metric, value, *made) for metric, value in values.items()]


ROWS = [
    *of("km, memory_kl_weight=0", 20.0, 520.0),
    *of("km", 80.0, 100.0),
    *of("vae", 90.0, 110.0),
    *of("km", 70.0, 105.0, "strokes-all-full-bound"),
    *of("km", 1.0, 2.0, "strokes"),
]


def test_the_rate_is_what_the_full_bound_has_beyond_the_distortion() -> None:
    assert places(ROWS, NAME) == [
        Place("km", 20.0, 80.0),
        Place("vae", 20.0, 90.0),
        Place("0", 500.0, 20.0),
    ]


def test_a_model_without_a_full_bound_has_no_place() -> None:
    assert [p.label for p in places([*ROWS, of("dnc", 5.0, 6.0)[0]], NAME)] == ["km", "vae", "0"]


@pytest.mark.parametrize("rows, written", [(ROWS, 1), (ROWS[-3:], 0)])
def test_there_is_a_figure_for_each_data_set(
    rows: list[Row], written: int, tmp_path: Path
) -> None:
    paths = write_rate_distortion(tmp_path, rows)
    assert paths == [tmp_path / "strokes-rate-distortion.png"][:written]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
