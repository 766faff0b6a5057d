"""The scripts as a user runs them, each in a process of its own, or for speed in this one."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(script: str, *arguments: object) -> str:
    """What the script printed."""
    command = [sys.executable, str(ROOT / "scripts" / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_here(script: str, *arguments: object) -> str:
    """What it printed; it is imported once and never ends this process."""
    place = str(ROOT / "scripts")
    sys.path.insert(0, place)
    try:
        with redirect_stdout(io.StringIO()) as told:
            import_module(Path(script).stem).main([*map(str, arguments)])
    finally:
        sys.path.remove(place)
    return told.getvalue()
