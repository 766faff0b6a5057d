"""The imitation benchmark, tiny: its plan, its runs and what it records."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from given import demonstrations

from agents.benchmark import ABLATIONS, SETTINGS, Benchmark, run
from agents.cloning import Cloning
from agents.config import GailConfig
from km_rl.errors import InputError
from km_rl.results.summary import read

script = import_module("scripts.gail_benchmark")


def test_every_setting_is_a_run_of_its_own() -> None:
    benchmark = Benchmark(settings=(*SETTINGS, *ABLATIONS), seeds=(0, 1))
    benchmark.validate()
    configs = benchmark.configs
    assert len({config.folder for config in configs}) == len(configs)
    made = {repr({**vars(config), "name": None, "seed": None}) for config in configs}
    assert len(made) == len(SETTINGS) + len(ABLATIONS)


@pytest.mark.parametrize("env", ["HalfCheetah", "HalfCheetah-v4", "seals/HalfCheetah-v1"])
def test_an_experiment_is_named_after_environment_and_demonstrations(env: str) -> None:
    given = Benchmark(env=env, trajectories=10, demos=Path("expert.npz"))
    assert given.experiment == "gail-halfcheetah-10demo"
    assert replace(given, demos=None).experiment == "gail-halfcheetah-10demo-shipped"


def test_an_experiment_of_another_length_is_another_one() -> None:
    usual = Benchmark(demos=Path("expert.npz"))
    assert replace(usual, steps=500).experiment == "gail-halfcheetah-1demo-500steps"
    annealed = replace(usual, anneal=True, settings=(*SETTINGS, *ABLATIONS))
    assert annealed.experiment == "gail-halfcheetah-1demo-anneal"
    annealed.validate()  # of each run, too: what has no PPO is not annealed
    assert {c.generator for c in annealed.configs if c.anneal} == {"ppo"}


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"settings": ("mpl",)}, "names 'mpl': give some of .*kanerva"),
        ({"seeds": ()}, "The seeds are none"),
        ({"seeds": (1, 1)}, "The seeds are 1, 1"),
        ({"settings": ()}, "nothing to run"),
        ({"settings": ("bc", "knn", "bc")}, "are bc, knn, bc: name each once"),
        ({"workers": 0}, "--workers is 0"),
    ],
)
def test_what_cannot_be_run_is_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Benchmark(**given).validate()


def test_what_only_an_adversary_refuses_is_refused_before_any_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(config: GailConfig) -> None:
        if config.algorithm != "bc":
            raise InputError("episodes of other lengths")

    monkeypatch.setattr("agents.benchmark.load_task", refuse)
    settings = ("bc", "mlp")
    with pytest.raises(InputError, match="other lengths"):
        run(Benchmark(settings=settings, seeds=(0,), run_dir=tmp_path))
    assert not any(tmp_path.iterdir())


def test_the_script_runs_what_is_missing_and_records_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = f"--env Pendulum --demos {demonstrations(tmp_path)} --settings bc --seeds 3"
    flags += f" --steps {Cloning.round_steps} --run-dir {tmp_path} --record {tmp_path / 'results'}"
    experiment = f"gail-pendulum-1demo-{Cloning.round_steps}steps"
    for _ in range(2):  # the second time nothing is missing
        script.main(flags.split())
        folder = tmp_path / experiment / "bc-3"
        assert f"1 of 1: {folder}" in capsys.readouterr().out
    rows = {row.metric: row for row in read(tmp_path / "results")}
    assert (rows["return"].experiment, rows["return"].setting) == (experiment, "bc")
    assert rows["return"].command.startswith("python scripts/gail.py --env Pendulum")
