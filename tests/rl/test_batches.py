"""Batches of the expert's pairs are full, fair and reproducible."""

from __future__ import annotations

import numpy as np
import pytest
from imitation.data.types import Transitions

from km_rl.errors import InputError
from km_rl.rl.batches import ExpertBatches


def _pairs(n: int) -> dict[str, np.ndarray]:
    rows = np.arange(n)
    return {"obs": rows, "acts": 10 * rows, "next_obs": rows + 1, "dones": np.zeros(n, dtype=bool)}


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
    with pytest.raises(InputError, match=r"have \{'obs': 0, 'acts': 0, .*\} rows"):
        ExpertBatches(_pairs(0), 4)


def test_arrays_that_are_missing_are_named() -> None:
    given = _pairs(5)
    del given["next_obs"]
    with pytest.raises(InputError, match="A dict without next_obs was given as pairs"):
        ExpertBatches(given, 4)


def test_what_is_no_finite_number_is_refused() -> None:
    given = _pairs(5)
    given["obs"] = np.array(given["obs"], dtype=float)
    given["obs"][2] = np.nan
    with pytest.raises(
        InputError, match=r"obs hold NaN or infinity in 1 of 5 rows, first in row 2"
    ):
        ExpertBatches(given, 4)
    with pytest.raises(InputError, match=r"obs of type ndarray are no array of numbers: flatten"):
        ExpertBatches({**given, "obs": np.array([{}] * 5)}, 4)


def test_transitions_of_imitation_are_pairs() -> None:
    obs, acts = np.arange(14.0).reshape(7, 2), np.arange(7.0)[:, None]
    infos, dones = np.array([{}] * 7), np.zeros(7, dtype=bool)
    thinned = Transitions(obs, acts, infos, obs + 1, dones)[::3]
    (batch,) = ExpertBatches(thinned, 6)
    assert set(batch) == {"obs", "acts", "next_obs", "dones"}
    assert sorted(batch["acts"][:, 0]) == [0, 0, 3, 3, 6, 6]
    np.testing.assert_array_equal(batch["next_obs"], batch["obs"] + 1)


def test_trajectories_are_refused() -> None:
    with pytest.raises(InputError, match=r"A list without obs, .*flatten_trajectories"):
        ExpertBatches([1, 2], 4)
