"""Batches of the expert's pairs are full, fair and reproducible."""

from __future__ import annotations

import numpy as np
import pytest

from agents.batches import ExpertBatches
from km_rl.errors import InputError


def _pairs(n: int) -> dict[str, np.ndarray]:
    return {"obs": np.arange(n), "acts": 10 * np.arange(n)}


def test_few_pairs_are_tiled_to_full_batches_and_appear_equally_often() -> None:
    batches = ExpertBatches(_pairs(5), 12)
    assert len(batches) == 1
    (batch,) = batches
    assert len(batch["obs"]) == 12
    assert set(np.bincount(batch["obs"])) == {2, 3}
    np.testing.assert_array_equal(batch["acts"], 10 * batch["obs"])


def test_an_epoch_deals_each_pair_at_most_once() -> None:
    batches = ExpertBatches(_pairs(10), 4)
    dealt = np.concatenate([batch["obs"] for batch in batches])
    assert len(dealt) == 8 == len(set(dealt))
    again = np.concatenate([batch["obs"] for batch in batches])
    assert dealt.tolist() != again.tolist()
    assert set(np.concatenate([dealt, again])) == set(range(10))


def test_the_seed_sets_the_order() -> None:
    first, same, other = (
        [batch["obs"].tolist() for batch in ExpertBatches(_pairs(50), 10, seed)]
        for seed in (3, 3, 4)
    )
    assert first == same != other


def test_no_pairs_are_refused() -> None:
    with pytest.raises(InputError, match=r"have \{'obs': 0, 'acts': 0\} rows"):
        ExpertBatches(_pairs(0), 4)
