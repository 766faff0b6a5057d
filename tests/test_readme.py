"""The README's usage block runs as it stands, and no page has a dead link."""

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


@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{x.name}" for x in ROOT.glob("docs/*.md"))]
)
def test_every_file_it_links_to_is_there(page: str) -> None:
    place = (ROOT / page).parent
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / page).read_text("utf-8"))
    assert all((place / link).exists() for link in links)
