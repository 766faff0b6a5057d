"""The clockwork of the benchmarks: what is timed, never how long it takes."""

from __future__ import annotations

import pytest

from km_rl.evaluate.speed import medians, step_speed, write_speed


def test_calls_are_taken_in_turns_and_their_warm_up_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []
    clock = [0.0]
    monkeypatch.setattr("km_rl.evaluate.speed.time.perf_counter", lambda: clock[0])

    def slow_at_first() -> None:
        calls.append("a")
        clock[0] += 9.0 if len(calls) < 6 else 2.0

    def quick() -> None:
        calls.append("b")
        clock[0] += 1.0

    assert medians(4, slow_at_first, quick) == [2.0, 1.0]
    assert "".join(calls) == 7 * "ab"


def test_every_part_of_a_write_is_timed() -> None:
    assert all(seconds > 0 for seconds in write_speed(2, 3, 4, 5, repeats=1))


def test_every_model_takes_a_step() -> None:
    speed = step_speed(1, 2, repeats=1)
    assert list(speed) == ["km", "dkm", "dnc", "lrua", "vae"]
    assert all(seconds > 0 for seconds in speed.values())
