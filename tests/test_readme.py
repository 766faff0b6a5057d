"""The pages' blocks of Python run as they stand, and no page has a dead link."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
MACHINE, IMITATION, OWN_IMAGES, FEW_SHOT = (
    block
    for page in ("README.md", "docs/generative.md", "docs/few-shot.md")
    for block in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
)


def test_the_machine_runs_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    exec(MACHINE, names)
    assert capsys.readouterr().out.endswith("with the memory's KL\n")
    samples = names["samples"]
    assert tuple(samples.shape) == (6, 2, 12, 1, 28, 28)  # type: ignore[attr-defined]


def test_own_images_are_trained_on_and_the_same_lines_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    short = OWN_IMAGES.replace("steps=2000", "steps=2, warmup_steps=1, address_kl_warmup_steps=1")
    assert short != OWN_IMAGES
    for _ in range(2):
        names: dict[str, Any] = {}
        exec(short, names)
        assert names["machine"].kind == "km"
    last = (tmp_path / "runs" / "mine" / "metrics.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["step"] == 2


def test_the_imitation_runs_but_shorter_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for rounds in (1, 2, 2):
        short = IMITATION.replace("ROUNDS = 366", f"ROUNDS = {rounds}")
        assert short != IMITATION
        names: dict[str, Any] = {}
        exec(short, names)
        assert names["ppo"].num_timesteps == rounds * 4096
    assert names["net"].memory_state.expert_pairs == 50
    assert (tmp_path / "discriminator.safetensors").exists()


def test_a_new_expert_is_imitated_but_for_a_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    short = FEW_SHOT.replace("steps=500", "steps=2").replace("57_344", "2_048")
    assert "500" not in short and "344" not in short
    names: dict[str, Any] = {}
    exec(short.replace("train=64", "train=4"), names)
    assert names["ppo"].num_timesteps == 2048
    assert (tmp_path / "meta.safetensors").exists()


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "results/README.md",
        *(f"docs/{x.name}" for x in sorted(ROOT.glob("docs/*.md"))),
    ],
)
def test_all_that_it_links_to_is_there(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for file, heading in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
        place = (ROOT / page).parent / file if file else ROOT / page
        assert place.exists(), file
        if heading:
            told = re.findall(r"^#+ (.*)$", place.read_text("utf-8"), re.MULTILINE)
            names = [re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in told]
            assert heading in names
