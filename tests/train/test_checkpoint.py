"""Checkpoints: whole or not at all, refused when they do not fit, and never unpickled."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import TINY, go, new_model

from km_rl.baselines.vae import VAE
from km_rl.core.machine import KanervaMachine
from km_rl.errors import InputError
from km_rl.train.checkpoint import (
    Progress,
    load_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
)

CPU = torch.device("cpu")


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    go(tmp_path, steps=2)
    return tmp_path


def load(folder: Path, processes: int = 1, **changes: object) -> None:
    model = new_model(replace(TINY, **changes))  # type: ignore[arg-type]
    load_checkpoint(folder, model, torch.optim.Adam(model.parameters()), processes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": "vae"}, "kind 'km' where this one is 'vae'"),
        ({"slots": 5}, "this model has"),
        ({"processes": 2}, "written by 1 processes where 2 run now"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    finished: Path, changes: dict[str, int], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        load(finished, **changes)


@pytest.mark.parametrize("keep", [0, 10, 5000, -1])
def test_a_cut_off_checkpoint_is_refused(finished: Path, keep: int) -> None:
    path = finished / "training.pt"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="not a whole save of a training"):
        load(finished)


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("1/0",)


def test_a_checkpoint_cannot_run_code(finished: Path) -> None:
    (finished / "training.pt").write_bytes(pickle.dumps(Trap(), protocol=2))
    with pytest.raises(InputError, match="not a whole save of a training"):
        load(finished)
    torch.save({"kind": Trap()}, finished / "training.pt")
    with pytest.raises(InputError, match="not a whole save of a training"):
        load(finished)


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], {"weights": torch.zeros(3)}])
def test_a_save_of_something_else_is_refused(finished: Path, content: object) -> None:
    torch.save(content, finished / "training.pt")
    with pytest.raises(InputError, match="a save of something else than a training"):
        load(finished)


def test_there_may_be_no_checkpoint(tmp_path: Path) -> None:
    model = new_model(TINY)
    assert load_checkpoint(tmp_path, model, torch.optim.Adam(model.parameters())) is None


@pytest.mark.parametrize("fails", ["pathlib.Path.write_bytes", "km_rl.nn.weights.save_file"])
def test_a_failed_save_leaves_the_old_checkpoint_and_no_partial_file(
    finished: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    before = {path: path.read_bytes() for path in finished.iterdir() if path.is_file()}

    def fail(*given: object, **_: object) -> None:
        beside = next(one for one in given if isinstance(one, Path))
        with beside.open("wb") as file:
            file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(fails, fail)
    model = new_model(TINY)
    with pytest.raises(InputError, match="disk full"):
        save_checkpoint(finished, model, torch.optim.Adam(model.parameters()), Progress(), [])
    after = {path: path.read_bytes() for path in finished.iterdir() if path.is_file()}
    assert after.keys() == before.keys()
    assert after[finished / "training.pt"] == before[finished / "training.pt"]


def test_random_streams_continue_where_they_were_saved() -> None:
    generator = torch.Generator().manual_seed(1)
    state = random_state(generator.get_state(), CPU)
    first = torch.rand(3), torch.rand(3, generator=generator)
    restore_random_state(state, generator, CPU)
    assert torch.equal(first[0], torch.rand(3))
    assert torch.equal(first[1], torch.rand(3, generator=generator))


def test_the_exported_weights_load_by_themselves(tmp_path: Path) -> None:
    go(tmp_path / "km", steps=1)
    go(tmp_path / "vae", steps=1, model="vae")
    assert KanervaMachine.from_run(tmp_path / "km").spec["slots"] == TINY.slots
    assert VAE.from_run(tmp_path / "vae").spec["code"] == TINY.code


def test_damaged_weights_are_written_again_from_the_state(tmp_path: Path) -> None:
    go(tmp_path)
    path = tmp_path / "model.safetensors"
    whole = {name: x.clone() for name, x in load_file(path).items()}
    before = path.read_bytes()
    go(tmp_path)
    assert path.read_bytes() == before
    path.write_bytes(before[:50])
    go(tmp_path)
    assert all(torch.equal(x, whole[name]) for name, x in load_file(path).items())
