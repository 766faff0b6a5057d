"""The experiment on forgetting: what is kept, what is made again, and what is recorded."""

from __future__ import annotations

import csv
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from finished_imitations import FACTS, finished
from given import demonstrations

import agents.forgetting_benchmark as benchmark
from agents.config import GailConfig
from agents.forgetting import ARMS
from agents.gail import Build
from km_rl.results.summary import read

script = import_module("scripts.forgetting")
NAME = "gail-forgetting-pendulum-2good-4096steps"
MADE = {**FACTS, "hardware": "a machine", "commit": "0" * 40}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The runs that are made: no agent learns in them."""
    made: list[tuple[str, int]] = []

    def imitate(config: GailConfig, build: Build) -> Path:
        if not config.folder.exists():
            arm = config.folder.name.rpartition("-")[0]
            made.append((arm, config.seed))
            returns = -1.5, len(arm) + config.seed
            finished(config.folder, *returns, facts=MADE, seed=config.seed, steps=config.steps)
        return config.folder

    monkeypatch.setattr(benchmark, "imitate", imitate)
    monkeypatch.setattr(
        "km_rl.side_by_side.ProcessPoolExecutor", lambda n, *_, **__: ThreadPoolExecutor(n)
    )
    return made


@pytest.fixture
def flags(tmp_path: Path) -> list[str]:
    demos = ["--env", "Pendulum", "--demos", str(demonstrations(tmp_path)), "--good", "2"]
    where = ["--run-dir", str(tmp_path / "runs"), "--record", str(tmp_path / "results")]
    return [*demos, "--steps", "4096", *where]


def test_what_has_ended_is_not_made_again_and_all_is_recorded(
    made: list[tuple[str, int]],
    flags: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script.main([*flags, "--seeds", "0"])
    assert sorted(made) == sorted((arm, 0) for arm in ARMS)
    script.main([*flags, "--seeds", "0", "2"])
    assert sorted(made[len(ARMS) :]) == sorted((arm, 2) for arm in ARMS)
    assert "planted     seed 2         9\n" in capsys.readouterr().out
    rows = {row[1:3]: row for row in read(tmp_path / "results") if row.experiment == NAME}
    for arm in ARMS:
        assert rows[arm, "return"].value == rows[arm, "late_return"].value == len(arm) + 1
        with (tmp_path / "results" / NAME / f"{arm}.csv").open() as file:
            lines = list(csv.DictReader(file))
        assert [(line["step"], line["seed"]) for line in lines] == [
            ("0", "0"),
            ("100", "0"),
            ("0", "2"),
            ("100", "2"),
        ]
    assert rows["clean", "return"].seeds == 2
    assert rows["clean", "return"].command.startswith(
        "python scripts/forgetting.py --env Pendulum"
    )
    for folder in (f"runs/{NAME}", f"results/{NAME}"):
        assert (tmp_path / folder / "returns.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "changed, sentence",
    [
        (["--good", "0"], "--good is 0"),
        (["--good", "3"], "holds 2"),
        (["--steps", "4000"], "at least two rounds, 4096 steps"),
        (["--steps", "4000", "--env", "pendulum"], "at least two rounds, 4096 steps"),
        (["--seeds", "0", "0"], "The seeds are 0, 0"),
    ],
)
def test_other_settings_are_refused_before_anything_is_made(
    changed: list[str],
    sentence: str,
    made: list[tuple[str, int]],
    flags: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    script.main([*flags, "--seeds", "0"])
    before = list(made)
    with pytest.raises(SystemExit) as stopped:
        script.main([*flags, "--seeds", "0", *changed])
    told = capsys.readouterr().err
    assert stopped.value.code == 2 and len(told.splitlines()) == 1 and made == before
    assert re.search(sentence, told)


def test_the_usual_experiment_has_the_short_name() -> None:
    given = benchmark.Forgetting(demos=Path("expert.npz"))
    assert given.experiment == "gail-forgetting"
    assert replace(given, env="HalfCheetah-v4").experiment == "gail-forgetting"
    assert replace(given, env="Hopper-v4", bad=1).experiment == "gail-forgetting-hopper-1bad"
    assert benchmark.Forgetting().experiment == "gail-forgetting-shipped"


def test_fewer_seeds_take_no_curves_place(
    made: list[tuple[str, int]],
    flags: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script.main([*flags, "--seeds", "0", "1"])
    kept = {path: path.read_bytes() for path in (tmp_path / "results").rglob("*.*")}
    with pytest.raises(SystemExit) as stopped:
        script.main([*flags, "--seeds", "2"])
    told = capsys.readouterr().err
    assert stopped.value.code == 2 and "holds 2 seeds" in told and "where 1 would take" in told
    assert {path: path.read_bytes() for path in (tmp_path / "results").rglob("*.*")} == kept
