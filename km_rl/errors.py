"""Bad input, told in a sentence, and how scripts end with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class InputError(ValueError):
    """Bad input, told in one sentence: what was given, what is expected, what to do.

    Scripts print the sentence and end with exit code 2.
    """


def at_least_one(**sizes: int) -> None:
    """Refuse sizes below 1.

    Raises:
        InputError: names the first such size.
    """
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"{name} is {size}: a whole number of at least 1 is expected.")


def above_zero(**values: float) -> None:
    """Refuse values that are not positive and finite.

    Raises:
        InputError: names the first such value.
    """
    for name, value in values.items():
        if not 0 < value < float("inf"):
            raise InputError(f"{name} is {value}: a positive number is expected.")


def not_below_zero(**values: float) -> None:
    """Refuse values that are negative, or not finite.

    Raises:
        InputError: names the first such value.
    """
    for name, value in values.items():
        if not 0 <= value < float("inf"):
            raise InputError(f"{name} is {value}: a finite number of at least 0 is expected.")


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse seeds of which there are none, or one is there twice or cannot be one.

    Raises:
        InputError: what was given, and what can be.
    """
    possible = all(0 <= seed < 2**32 for seed in seeds)
    if not seeds or len(set(seeds)) < len(seeds) or not possible:
        raise InputError(
            f"The seeds are {', '.join(map(str, seeds)) or 'none'}: give at least one, each once, "
            f"whole numbers from 0 to below 2**32."
        )


class NonFiniteError(ArithmeticError):
    """Numbers ran away to NaN or infinity, or to what no factor has: says where, if it can."""


@contextmanager
def exit_on_input_error() -> Iterator[None]:
    """What every script runs in: an expected failure is one sentence on stderr, no traceback.

    Exit code 2 for `InputError` and `NonFiniteError`, 130 for Ctrl-C; it decorates functions too.
    """
    try:
        yield
    except (InputError, NonFiniteError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error
    except KeyboardInterrupt as interrupt:
        print(str(interrupt) or "Interrupted.", file=sys.stderr)
        raise SystemExit(130) from interrupt
