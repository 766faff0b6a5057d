"""The schedule and the choice of precision."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from km_rl.errors import InputError
from km_rl.train.recipe import Recipe, resolve_precision

RECIPE = Recipe(steps=110, warmup_steps=10, learning_rate=0.1, final_share=0.2)


def test_the_step_size_rises_then_falls_to_its_share() -> None:
    rates = [RECIPE.learning_rate_at(step) for step in range(111)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[9] == rates[10] == pytest.approx(0.1)
    assert rates[60] == pytest.approx(0.06)
    assert rates[110] == pytest.approx(0.02)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_the_step_size_can_stay() -> None:
    recipe = replace(RECIPE, schedule="constant")
    assert {recipe.learning_rate_at(step) for step in range(10, 110)} == {0.1}


def test_a_run_may_be_all_warm_up() -> None:
    recipe = replace(RECIPE, warmup_steps=200)
    assert recipe.learning_rate_at(109) == pytest.approx(0.055)


def test_auto_is_bf16_only_where_the_cpu_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert resolve_precision("auto") == "no"
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert resolve_precision("auto") == "bf16"
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert resolve_precision("auto") == "no"
    assert resolve_precision("bf16") == "bf16"
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_precision("auto") == "no"


def test_the_address_is_cheap_at_first_and_counts_in_full_after_the_warm_up() -> None:
    recipe = Recipe(steps=10, address_kl_warmup_steps=4)
    weights = [recipe.address_kl_weight_at(step) for step in (0, 2, 4, 9)]
    assert weights == pytest.approx([0.1, 0.55, 1.0, 1.0])
    assert Recipe(address_kl_warmup_steps=0).address_kl_weight_at(0) == 1.0


def test_counting_the_memory_asks_for_a_draw_of_it() -> None:
    Recipe(memory_kl_weight=1.0, sample_memory=True).validate()
    with pytest.raises(InputError, match="add --sample-memory"):
        Recipe(memory_kl_weight=1.0).validate()


@pytest.mark.parametrize(
    "given", [{"memory_kl_weight": math.inf}, {"learning_rate": math.inf}, {"clip_norm": 1e-50}]
)
def test_numbers_that_float32_does_not_have_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"is (inf|1e-50): give a"):
        Recipe(sample_memory=True, **given).validate()  # type: ignore[arg-type]
