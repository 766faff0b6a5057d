"""Where data sets lie: the folder that is given or the environment's, else the user's cache."""

from __future__ import annotations

import os
from pathlib import Path

from km_rl.errors import InputError


def candidates(data_dir: str | Path | None, name: str) -> list[Path]:
    """Where to look: the folder given, or that in ``KM_RL_DATA``, then ``name`` in it."""
    given = data_dir or os.environ.get("KM_RL_DATA")
    return [Path(given).expanduser(), Path(given).expanduser() / name] if given else []


def named(folders: list[Path]) -> str:
    """The folders that were looked in, for a sentence that says that nothing was found."""
    return " and ".join(f"'{one}'" for one in folders) or "no folder, as no folder was given"


def user_cache() -> Path:
    """The folder that downloads go to."""
    import pooch

    return Path(pooch.os_cache("km_rl"))


def fetched(url: str, md5: str, looked: str, ways_out: str) -> Path:
    """A file in the user's cache folder, downloaded if it is missing there, and checked.

    Args:
        looked: where the data were looked for before, as the start of a sentence.
        ways_out: what else a user can do, as the end of one.

    Raises:
        InputError: it cannot be downloaded, or is not what ``md5`` says.
    """
    import pooch

    try:
        path = pooch.retrieve(
            url,
            known_hash=f"md5:{md5}",
            fname=url.rsplit("/", 1)[-1],
            path=user_cache(),
            progressbar=True,
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"{looked}; {url} could not be downloaded to '{user_cache()}' either "
            f"({type(error).__name__}: {error}): try again, {ways_out}."
        ) from error
    return Path(path)
