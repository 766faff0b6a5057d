"""Addresses and codes of pairs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from km_rl.errors import InputError
from km_rl.rl.channel import Channel, Features, Mode, RandomAddress

STATE, REST, SLOTS, CODE = 3, 2, 8, 4


def _channel(mode: Mode, features: Features) -> Channel:
    torch.manual_seed(0)
    return Channel(mode, features, STATE, REST, SLOTS, CODE, hidden=16)


def _look(channel: Channel, x: Tensor) -> tuple[Tensor, Tensor]:
    return channel.where(x), channel.what(x)


@pytest.mark.parametrize("features", ["learned", "random"])
def test_the_address_of_mode_h_sees_the_state_alone(features: Features) -> None:
    x = torch.randn(6, STATE + REST)
    other = x.clone()
    other[:, STATE:] += 1
    (w, z), (w_other, z_other) = (_look(_channel("h", features), rows) for rows in (x, other))
    assert torch.equal(w, w_other) and not torch.equal(z, z_other)
    (w, _), (w_other, _) = (_look(_channel("a", features), rows) for rows in (x, other))
    assert not torch.equal(w, w_other)


@pytest.mark.parametrize("mode", ["h", "a"])
def test_learned_addresses_have_length_1_and_codes_are_bounded(mode: Mode) -> None:
    w, z = _look(_channel(mode, "learned"), 100 * torch.randn(6, STATE + REST))
    torch.testing.assert_close(w.norm(dim=-1), torch.ones(6))
    assert z.shape == (6, CODE) and z.abs().max() <= 1


def test_random_codes_are_the_action_and_the_pair() -> None:
    x = torch.randn(6, STATE + REST)
    assert torch.equal(_channel("h", "random").what(x), x[:, STATE:])
    assert torch.equal(_channel("a", "random").what(x), x)
    assert not list(_channel("a", "random").parameters())


def test_random_addresses_approximate_their_kernel() -> None:
    torch.manual_seed(0)
    x = torch.randn(20, 3)
    w = RandomAddress(3, 100_000)(x)
    quadratic = (1 + torch.cdist(x, x).square() / 3).rsqrt()
    torch.testing.assert_close(w @ w.mT, (quadratic + x @ x.mT / 3 + 1) / 3, atol=0.01, rtol=0)


def test_too_few_slots_for_random_features_are_refused() -> None:
    with pytest.raises(
        InputError, match="slots is 4 where pairs have 3 entries: give more than 4"
    ):
        RandomAddress(3, 4)
