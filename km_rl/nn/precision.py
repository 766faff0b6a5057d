"""Where numbers need all their digits, also while a net is trained in half of them."""

from __future__ import annotations

import torch
from torch import Tensor


def full_precision(like: Tensor) -> torch.autocast:
    """A context in which mixed precision is off on the device of ``like``."""
    return torch.autocast(like.device.type, enabled=False)


def at_least_single(x: Tensor) -> Tensor:
    """x in float32, or as it is if it has more digits."""
    return x if x.dtype == torch.float64 else x.float()
