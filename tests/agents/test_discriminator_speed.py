"""What a discriminator costs: that everything is timed, never how long it takes."""

from __future__ import annotations

from agents.speed import discriminator_speed


def test_every_cost_of_a_discriminator_is_timed() -> None:
    told = discriminator_speed(repeats=1)
    assert len(told) == 9 and all(value > 0 for value in told.values())
    assert told["update_ratio_to_mlp"] == (
        told["update_us_per_pair"] / told["mlp_update_us_per_pair"]
    )
