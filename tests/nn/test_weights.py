"""Weights files that describe their own model, and errors that name what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from km_rl.core.machine import KanervaMachine
from km_rl.errors import InputError
from km_rl.nn.weights import fill, load_weights, read_weights, save_weights


def test_kind_spec_and_tensors_come_back(tmp_path: Path) -> None:
    model, spec = nn.Linear(3, 2), {"inputs": 3, "shape": (1, 2), "name": "x", "flag": True}
    save_weights(tmp_path / "w", "linear", spec, model)
    kind, found, state = read_weights(tmp_path / "w")
    assert (kind, found) == ("linear", spec)
    assert state.keys() == model.state_dict().keys()
    other = nn.Linear(3, 2)
    fill(other, load_weights(tmp_path / "w", "linear")[1], "w")
    assert torch.equal(other.weight, model.weight)


def test_another_kind_is_refused(tmp_path: Path) -> None:
    save_weights(tmp_path / "w", "linear", {}, nn.Linear(3, 2))
    with pytest.raises(InputError, match="'linear' where 'km' is expected"):
        load_weights(tmp_path / "w", "km")


def test_a_folder_is_refused_by_what_there_is_in_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a folder .* load a run folder by \.from_run"):
        read_weights(tmp_path)
    with pytest.raises(InputError, match=r"There are no weights at .* give a file of weights"):
        read_weights(tmp_path / "w")


def test_a_safetensors_file_of_others_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "w")
    with pytest.raises(InputError, match="not a complete weights file"):
        read_weights(tmp_path / "w")


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save(nn.Linear(3, 2).state_dict(), tmp_path / "w")
    with pytest.raises(InputError, match="not a complete weights file"):
        read_weights(tmp_path / "w")


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"weight": torch.zeros(2, 4), "bias": torch.zeros(2)}, r"\(2, 4\) for 'weight'"),
        ({"weight": torch.zeros(2, 3)}, "nothing for 'bias'"),
        (nn.Linear(3, 2).state_dict() | {"extra": torch.zeros(1)}, "has nothing"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_whole(state: dict, told: str) -> None:
    model = nn.Linear(3, 2)
    before = model.weight.clone()
    with pytest.raises(InputError, match=told):
        fill(model, state, "w")
    assert torch.equal(model.weight, before)


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "w"
    save_weights(path, "linear", {}, nn.Linear(3, 2))
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save_weights(path, "linear", {"not json": object()}, nn.Linear(3, 2))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("spec", ["[]", "null", '{"image_shape": [1, 28]}', '{"slots": 0}'])
def test_a_spec_that_builds_nothing_is_refused(tmp_path: Path, spec: str) -> None:
    path = tmp_path / "odd.safetensors"
    save_file({"x": torch.zeros(1)}, path, metadata={"kind": "km", "spec": spec})
    with pytest.raises(InputError):
        KanervaMachine.load(path)
