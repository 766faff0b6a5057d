"""The README's usage block runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_runs(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    exec(block, names)
    assert capsys.readouterr().out.endswith("with the memory's KL\n")
    samples = names["samples"]
    assert tuple(samples.shape) == (6, 2, 12, 1, 28, 28)  # type: ignore[attr-defined]


def test_there_is_a_block() -> None:
    assert BLOCKS


def test_every_file_it_links_to_is_there() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / "README.md").read_text("utf-8"))
    assert links and all((ROOT / link).exists() for link in links)
