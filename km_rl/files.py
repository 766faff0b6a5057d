"""Files and folders that are written as a whole or not at all, by one process at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from km_rl.errors import InputError


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
