"""Saving and loading, and the sentence that each unusable file gets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import km_rl
from km_rl import VAE, InputError, KanervaMachine
from km_rl.nn.weights import save_weights

SIZES: dict[str, Any] = {"filters": 2, "slots": 5, "code": 4, "key": 3}


@pytest.fixture
def machine() -> KanervaMachine:
    return KanervaMachine.build(**SIZES, noise_var=0.5, learn_noise=True, address_noise_std=0.1)


def test_a_machine_comes_back_as_it_was(machine: KanervaMachine, tmp_path: Path) -> None:
    machine.save(tmp_path / "model.safetensors")
    back = KanervaMachine.from_run(tmp_path)
    assert back.spec == machine.spec
    assert back.address_noise_std == 0.1
    assert back.prior.log_noise_var.requires_grad
    assert not back.training
    for name, tensor in machine.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor), name
    images = (torch.rand(1, 3, 1, 28, 28) > 0.5).float()
    assert torch.equal(machine.eval().address_weights(images), back.address_weights(images))


def test_saving_leaves_one_file(machine: KanervaMachine, tmp_path: Path) -> None:
    for _ in range(2):
        machine.save(tmp_path / "model.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    VAE.build(filters=2, code=4).save(path)
    with pytest.raises(InputError, match=r"kind 'vae' where 'km' is expected"):
        KanervaMachine.load(path)


@pytest.mark.parametrize("size", [0, 7, 1000])
def test_a_truncated_file_is_refused(machine: KanervaMachine, tmp_path: Path, size: int) -> None:
    path = tmp_path / "model.safetensors"
    machine.save(path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match="not a complete weights file"):
        KanervaMachine.load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no weights at"):
        KanervaMachine.from_run(tmp_path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        KanervaMachine.load(tmp_path)


def test_weights_of_another_shape_are_refused(machine: KanervaMachine, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(path, "km", machine.spec | {"slots": 6}, machine)
    with pytest.raises(InputError, match=r"holds \(5, 3\) .* has \(6, 3\)"):
        KanervaMachine.load(path)


def test_a_description_of_another_version_is_refused(
    machine: KanervaMachine, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(path, "km", machine.spec | {"colour": "blue"}, machine)
    with pytest.raises(InputError, match="colour"):
        KanervaMachine.load(path)


def test_a_folder_that_is_not_there_is_refused(machine: KanervaMachine, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        machine.save(tmp_path / "nowhere" / "model.safetensors")


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, km_rl\n"
        "heavy = {'torch', 'numpy', 'scipy', 'PIL', 'jaxtyping', 'safetensors', 'accelerate'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert 'KanervaMachine' in dir(km_rl)\n"
    )
    root = Path(km_rl.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_few_shot_learning_needs_no_progress_bar() -> None:
    code = (
        "import sys; sys.modules['tqdm'] = sys.modules['tqdm.auto'] = None; import km_rl.rl.meta"
    )
    root = Path(km_rl.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


@pytest.mark.parametrize("name", km_rl.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(km_rl, name) is not None


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"'KanervaMachin'.*KanervaMachine"):
        km_rl.KanervaMachin  # noqa: B018


def test_a_machine_of_foreign_nets_cannot_say_how_to_build_itself(
    machine: KanervaMachine, tmp_path: Path
) -> None:
    parts = KanervaMachine(machine.encoder, machine.decoder, slots=4, code=3, key=2)
    with pytest.raises(InputError, match="nets of your own"):
        parts.save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())
