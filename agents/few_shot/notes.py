"""What was measured, kept in a file, so that the same command goes on where another one stood.

A line of JSON for each thing: under ``of`` all that it depends on, under ``commit`` the code that
had a part in it (joined by a plus), under ``hardware`` where it was measured, and what was found.
Results hold such a file too, so that a comparison may be made on several machines.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from km_rl.errors import InputError

Line = dict[str, Any]


class Notes:
    """The lines of a file, to which more are appended.

    Args:
        path: of the file; its folder is made when the first line is.
        others: other such files, whose lines are copied when they are asked for; the first
            file that has one is asked.
    """

    def __init__(self, path: Path, *others: Path) -> None:
        self.path = path
        self._lines = {_name(line["of"]): line for line in _read(path)}
        elsewhere = [line for other in reversed(others) for line in _read(other)]
        self._elsewhere = {_name(line["of"]): line for line in elsewhere}

    @property
    def lines(self) -> list[Line]:
        """All that the file has by now."""
        return list(self._lines.values())

    def of(self, what: Mapping[str, Any]) -> Line | None:
        """The line of exactly this; None where there is none.

        Raises:
            InputError: as `add`, where it is to be copied.
        """
        name = _name(what)
        if name not in self._lines and name in self._elsewhere:
            self._append(self._elsewhere[name])
        return self._lines.get(name)

    def add(self, what: Mapping[str, Any], found: Mapping[str, Any]) -> Line:
        """Append a line, and return it as it is read back.

        Raises:
            InputError: the file cannot be written.
        """
        line = json.loads(json.dumps({"of": what, **found}))
        self._append(line)
        return line

    def _append(self, line: Line) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                file.seek(0)
                whole = not (held := file.read()) or held.endswith(b"\n")
                file.write(("" if whole else "\n").encode() + json.dumps(line).encode() + b"\n")
        except OSError as error:
            raise InputError(
                f"'{self.path}' cannot be written ({error.strerror}): give another --run-dir."
            ) from error
        self._lines[_name(line["of"])] = line


def _name(what: Mapping[str, Any]) -> str:
    return json.dumps(what, sort_keys=True)


def _read(path: Path) -> list[Line]:
    """All lines but those that were cut off."""
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(
            f"'{path}' cannot be read ({error.strerror}): give another --run-dir."
        ) from error
    lines = []
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except json.JSONDecodeError:
            continue
        lines += [found] if isinstance(found, dict) and "of" in found else []
    return lines
