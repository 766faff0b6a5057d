from __future__ import annotations

from pathlib import Path

import pytest
from finished_runs import finished, tiny_machine, tiny_rival, tiny_vae

from km_rl.errors import InputError
from km_rl.evaluate.runs import read_runs
from km_rl.nn.weights import save_weights


def test_machines_come_first(tmp_path: Path) -> None:
    vae, km = finished(tmp_path / "v", tiny_vae()), finished(tmp_path / "k", tiny_machine())
    runs = read_runs([vae, str(km)])
    assert [run.folder for run in runs] == [km, vae]
    assert [run.label for run in runs] == ["KM", "VAE"]
    assert runs[0].machine is runs[0].model and runs[1].machine is None
    assert not runs[0].model.training


def test_every_kind_has_a_place_and_a_name(tmp_path: Path) -> None:
    models = [tiny_vae(), *map(tiny_rival, ("lrua", "dkm", "dnc")), tiny_machine()]
    runs = read_runs([finished(tmp_path / model.kind, model) for model in models])
    assert [run.label for run in runs] == ["KM", "DKM", "DNC", "LRUA", "VAE"]
    assert [run.episodic is run.model for run in runs] == [True] * 4 + [False]
    assert [run.machine is run.model for run in runs] == [True] + [False] * 4
    assert [run.prices_memory for run in runs] == [True, True, False, False, True]


def test_two_of_a_kind_are_called_by_their_folders(tmp_path: Path) -> None:
    runs = read_runs([finished(tmp_path / name, tiny_vae()) for name in ("seed-0", "seed-1")])
    assert [run.label for run in runs] == ["seed-0", "seed-1"]
    same_name = finished(tmp_path / "elsewhere" / "seed-1", tiny_vae())
    runs = read_runs([tmp_path / "seed-0", tmp_path / "seed-1", same_name])
    assert [run.label for run in runs] == ["seed-0", str(tmp_path / "seed-1"), str(same_name)]


def test_metrics_that_were_cut_off(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run", tiny_vae())
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('5\n{"step": 60, "ima')
    (run,) = read_runs([folder])
    assert run.last("step") == 50
    assert run.last("train/bound") == 2.0
    assert run.last("nothing") is None


def test_a_run_without_metrics(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run", tiny_vae())
    (folder / "metrics.jsonl").unlink()
    (run,) = read_runs([folder])
    assert run.last("images") is None


def test_no_run() -> None:
    with pytest.raises(InputError, match="No run was given"):
        read_runs([])


def test_a_run_given_twice(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run", tiny_vae())
    with pytest.raises(InputError, match="given twice"):
        read_runs([folder, folder / ".." / "run"])


def test_not_a_run_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run folder"):
        read_runs([tmp_path])


def test_no_weights_yet(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run", tiny_vae())
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no weights"):
        read_runs([folder])


@pytest.mark.parametrize("text", ["{", "[]", '{"dataset": "strokes"}'])
def test_a_config_that_is_none(tmp_path: Path, text: str) -> None:
    folder = finished(tmp_path / "run", tiny_vae())
    (folder / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json"):
        read_runs([folder])


def test_a_model_that_is_not_known(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run", tiny_vae())
    save_weights(folder / "model.safetensors", "rbm", {}, tiny_vae())
    with pytest.raises(InputError, match="kind 'rbm'"):
        read_runs([folder])


@pytest.mark.parametrize("other", [{"dataset": "omniglot"}, {"episode_length": 8}])
def test_runs_under_other_conditions(tmp_path: Path, other: dict[str, str | int]) -> None:
    folders = [
        finished(tmp_path / "a", tiny_machine()),
        finished(tmp_path / "b", tiny_vae(), **other),
    ]
    with pytest.raises(InputError, match=f"{next(iter(other))}=.*same conditions"):
        read_runs(folders)
