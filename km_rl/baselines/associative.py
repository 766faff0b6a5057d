"""What every associative memory has in common: patterns in, completed patterns out.

A pattern is D numbers, each +1 or -1. A memory is a value: writing gives a new one and leaves the
old as it was. Beside each other, memories are compared at equal ``stored_numbers``: whatever
writing changes, counted once (of a symmetric matrix its lower triangle). What is fixed or learned
before anything is written, such as random addresses or the nets of a machine, is not counted.

Axes: ``N`` patterns, ``D`` units of a pattern.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from km_rl.errors import InputError

if TYPE_CHECKING:
    from typing_extensions import Self


class AssociativeMemory(Protocol):
    """Write patterns, read them back from queries that are not quite them."""

    @property
    def stored_numbers(self) -> int:
        """How many numbers hold what was written, at most."""

    def write(self, patterns: Tensor) -> Self:
        """The memory that holds these patterns too, ``[N, D]``."""

    def read(self, queries: Tensor, steps: int = 1) -> Tensor:
        """The patterns found from ``[N, D]`` queries in so many steps; +1 or -1, ``[N, D]``."""


def checked(patterns: Tensor, size: int | None = None) -> Tensor:
    """The patterns, or queries, if they are what a memory can take.

    Raises:
        InputError: none are given, they are of another size, or hold anything but +1 and -1.
    """
    shape = tuple(patterns.shape)
    if len(shape) != 2 or (size is not None and shape[1] != size):
        expected = f"(N, {size})" if size is not None else "(N, D)"
        raise InputError(f"Patterns of shape {shape} were given: shape {expected} is expected.")
    if 0 in shape:
        raise InputError(f"Patterns of shape {shape} were given: give at least one, not empty.")
    if patterns.dtype == torch.bool:
        raise InputError(
            "Patterns of torch.bool were given: +1 and -1 are expected; bits are turned into them "
            "by from_bits."
        )
    if not (patterns.abs() == 1).all():
        found = patterns[patterns.abs() != 1][0].item()
        raise InputError(
            f"A pattern holds {found:g}: +1 and -1 are expected; bits are turned into them by "
            f"from_bits."
        )
    return patterns.float()


def from_bits(bits: Tensor) -> Tensor:
    """0 and 1 to -1 and +1, float32, of the same shape.

    Raises:
        InputError: something is neither 0 nor 1.
    """
    if not ((bits == 0) | (bits == 1)).all():
        found = bits[(bits != 0) & (bits != 1)][0].item()
        raise InputError(f"Bits hold {found:g}: 0 and 1 are expected; binarise grey values first.")
    return 2 * bits.float() - 1


def to_bits(patterns: Tensor) -> Tensor:
    """-1 and +1 to 0 and 1, float32, of the same shape."""
    return (patterns > 0).float()


def signs(fields: Tensor, otherwise: Tensor) -> Tensor:
    """+1 or -1 by the sign of each field, and where it is 0 what ``otherwise`` says."""
    return torch.where(fields == 0, otherwise, fields.sign())
