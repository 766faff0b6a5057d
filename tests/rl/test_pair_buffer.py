"""A buffer knows its rows by their bits, keeps the newest, and gives back what it was given."""

from __future__ import annotations

import pytest
import torch

from km_rl.errors import InputError
from km_rl.rl.pair_buffer import PairBuffer, distinct


def _rows(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))


def test_the_newest_rows_take_the_place_of_the_oldest() -> None:
    buffer, rows = PairBuffer(5, 4), _rows(8)
    buffer.add(rows[:3])
    assert buffer.count == 3 and torch.equal(buffer.content, rows[:3])
    buffer.add(rows[3:])
    assert torch.equal(buffer.content, rows[3:])


def test_rows_that_are_there_are_not_put_in_again_and_others_while_there_is_room() -> None:
    buffer, rows = PairBuffer(6, 4), _rows(8)
    assert buffer.add_new(torch.cat([rows[:3], rows[1:2]])) == 3
    assert torch.equal(buffer.content, rows[:3])
    assert buffer.add_new(rows[:2]) == 0
    assert buffer.add_new(rows) == 3
    assert torch.equal(buffer.content, rows[:6])


def test_distinct_keys_are_found_where_they_come_first() -> None:
    keys = torch.tensor([7, -3, 7, 5, -3])
    first, which = distinct(keys)
    assert first.sort().values.tolist() == [0, 1, 3]
    assert torch.equal(keys[first][which], keys)


def test_removed_rows_are_gone_and_the_others_stay_in_order() -> None:
    buffer, rows = PairBuffer(8, 4), _rows(6)
    buffer.add(rows)
    assert buffer.remove(torch.cat([rows[1:3], _rows(2, seed=1)])) == 2
    assert torch.equal(buffer.content, rows[[0, 3, 4, 5]])
    assert torch.equal(buffer.held_keys, buffer.key(rows[[0, 3, 4, 5]]))
    buffer.clear()
    assert buffer.count == 0


def test_keys_tell_rows_apart_by_a_single_bit() -> None:
    buffer, rows = PairBuffer(1, 4), _rows(1000)
    nearly = rows.clone()
    nearly.view(torch.int32)[:, 2] ^= 1
    keys = torch.cat([buffer.key(rows), buffer.key(nearly)])
    assert len(keys.unique()) == 2000
    assert torch.equal(buffer.key(rows.clone()), buffer.key(rows))


def test_weights_halve_with_age_as_told() -> None:
    buffer = PairBuffer(9, 4)
    buffer.add(_rows(9))
    torch.testing.assert_close(
        buffer.weights(rate=0.75, per=4)[[8, 4, 0]], torch.tensor([1.0, 0.25, 0.0625])
    )


def test_a_buffer_is_saved_whole() -> None:
    buffer, copy = PairBuffer(5, 4), PairBuffer(5, 4)
    buffer.add(_rows(3))
    copy.load_state_dict(buffer.state_dict())
    assert torch.equal(copy.content, buffer.content)
    assert torch.equal(copy.held_keys, copy.key(copy.content))


def test_no_room_at_all_is_refused() -> None:
    with pytest.raises(InputError, match="capacity is 0"):
        PairBuffer(0, 4)
