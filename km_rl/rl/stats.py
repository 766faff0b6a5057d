"""The scale of rows: their mean and variance, learned as they come, then frozen and saved."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from km_rl.errors import InputError


class RunningStats(nn.Module):
    """Mean and variance of all rows seen so far, and rows normalised by them.

    Batches are merged exactly (Chan, Golub & LeVeque 1979). All four buffers are saved in
    ``state_dict``, so statistics that were frozen are frozen when they are read back.

    Attributes:
        mean, var: float32 with shape (D,); 0 and 1 before the first row.
        count: int64, the rows seen.
        frozen: bool, whether `update` is without effect.
    """

    EPS = 1e-5  # added to the variance, as one number may never have changed
    LIMIT = 10.0  # standard deviations: values further out are told no further apart

    mean: Tensor
    var: Tensor
    count: Tensor
    frozen: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("var", torch.ones(width))
        self.register_buffer("count", torch.tensor(0))
        self.register_buffer("frozen", torch.tensor(False))

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Take in ``x``, with shape (..., D), unless frozen.

        Raises:
            InputError: NaN, infinity, or numbers whose squares are too large for float32.
        """
        rows = x.reshape(-1, x.shape[-1]).double()
        if self.frozen or not len(rows):
            return
        mean, var = rows.mean(0), rows.var(0, correction=0)
        if not var.isfinite().all():
            raise InputError("Running statistics were given NaN or infinity: leave such rows out.")
        share = len(rows) / (self.count + len(rows)).double()
        shift = mean - self.mean
        merged = self.var.double().lerp(var, share) + share * (1 - share) * shift**2
        if not merged.float().isfinite().all():
            raise InputError(
                f"Running statistics were given numbers up to {float(rows.abs().max()):.1e}, with "
                f"squares too large for float32: leave such rows out, or rescale them."
            )
        self.var.copy_(merged)
        self.mean += share * shift
        self.count += len(rows)

    def restart(self, x: Tensor) -> None:
        """Know the rows ``x`` and no others, unless frozen; errors as `update`."""
        if self.frozen:
            return
        self.count.zero_()
        self.mean.zero_()
        self.var.fill_(1.0)
        self.update(x)

    def freeze(self) -> None:
        """From now on `update` changes nothing."""
        self.frozen.fill_(True)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` in standard deviations from the mean, at most `LIMIT`; of the same shape."""
        return ((x - self.mean) * (self.var + self.EPS).rsqrt()).clamp(-self.LIMIT, self.LIMIT)
