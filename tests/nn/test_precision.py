"""No half precision where it would do harm."""

from __future__ import annotations

import torch

from km_rl.nn.precision import full_precision


def test_full_precision_turns_autocast_off() -> None:
    x = torch.randn(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16
        with full_precision(x):
            assert (x @ x).dtype == torch.float32
