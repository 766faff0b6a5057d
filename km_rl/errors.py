"""What every floor shares: how bad input is refused, and how files are written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


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


def make_folder(path: Path) -> None:
    """Make a folder, and those it lies in, where it is not there.

    Raises:
        InputError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"'{path}' cannot be made ({error.strerror}): give another folder."
        ) from error


def locked(folder: Path, wait: float = 0.0) -> FileLock:
    """The lock of a folder, taken for as long as it is written to; ends with the process too.

    Args:
        wait: seconds to wait for another process.

    Raises:
        InputError: another process holds it, or the folder cannot be written.
    """
    lock = FileLock(path := folder / ".lock")
    try:
        lock.acquire(timeout=wait)
    except Timeout as error:
        raise InputError(
            f"Another process writes to '{folder}': wait until it has ended, or give another "
            f"folder."
        ) from error
    except OSError as error:
        raise _unwritable(path, error) from error
    return lock


@contextmanager
def written_beside(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it only when the block succeeds.

    An interrupted or failed write leaves the old file as it was and no half-written one.

    Raises:
        InputError: the folder cannot be written.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield beside
        beside.chmod(0o666 & ~_umask())
        os.replace(beside, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError):  # what went wrong before is told, not this
            beside.unlink(missing_ok=True)


def check_place(path: Path) -> None:
    """Refuse, before long work, a file that could not be written after it; makes its folder.

    Raises:
        InputError: it is a folder, or its own cannot be made or written.
    """
    make_folder(path.parent)
    if path.is_dir():
        raise InputError(
            f"'{path}' is a folder where a file is to be written: give a file's path."
        )
    probe = path.with_name(f".{path.name}.{os.getpid()}.probe")
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"'{path}' cannot be written ({error.strerror or error}): "
        f"give a folder that exists, is yours to write to and has space."
    )


def _umask() -> int:
    """The permissions that new files go without; some writers are stricter than asked."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
