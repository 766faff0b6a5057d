"""Settings: the presets are valid, the flags work, and bad ones get a sentence."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import tyro

from km_rl.baselines.vae import VAE
from km_rl.config import Config, preset, presets
from km_rl.core.episodic import EpisodicModel
from km_rl.core.machine import KanervaMachine
from km_rl.errors import InputError, NonFiniteError, exit_on_input_error
from km_rl.nn.likelihoods import GaussianLikelihood
from km_rl.train.loop import Interrupted


@pytest.mark.parametrize("name", presets)
def test_every_preset_is_valid_and_bears_its_name(name: str) -> None:
    config = preset(name)
    config.validate()
    assert config.preset == name
    assert config.folder == Path("runs") / f"{name}-km-0"


def test_the_paper_is_a_preset() -> None:
    config = presets["paper-omniglot"]
    sizes = (config.slots, config.code, config.key, config.episode_length, config.filters)
    assert sizes == (64, 100, 50, 32, 16)
    assert (config.noise_var, config.split, config.binarisation) == (0.01, "images", "dynamic")


def test_the_paper_s_colour_images_are_a_preset() -> None:
    config = presets["paper-cifar10"]
    sizes = (config.slots, config.code, config.key, config.filters)
    assert sizes == (128, 200, 50, 32)
    assert (config.episode_length, config.episodes_per_batch) == (32, 16)
    assert (config.dataset, config.binarisation) == ("cifar10", "dequantised")
    assert config.likelihood == "gaussian" and presets["paper-omniglot"].likelihood == "bernoulli"


@pytest.mark.parametrize("pixel_std", [False, True])
@pytest.mark.parametrize("model", ["km", "dkm", "dnc", "lrua", "vae"])
def test_a_model_of_dequantised_images_has_a_density(model: Any, pixel_std: bool) -> None:
    sizes: dict[str, Any] = {"filters": 2, "slots": 4, "code": 3, "key": 3}
    config = replace(presets["paper-cifar10"], model=model, pixel_std=pixel_std, **sizes)
    made = config.build_model()
    assert isinstance(made, EpisodicModel | VAE)
    kind = "pixel-gaussian" if pixel_std else "gaussian"
    assert made.kind == model and made.spec["likelihood"] == kind
    images = torch.rand(1, 2, 3, 32, 32)
    assert made(images).bound.shape == (1, 2)
    assert isinstance(made.decoder.likelihood, GaussianLikelihood)
    assert made.encoder.middle == GaussianLikelihood.middle


def test_a_std_for_each_pixel_needs_pixels_with_a_std() -> None:
    with pytest.raises(InputError, match="--binarisation dynamic, which has no std"):
        replace(presets["debug"], pixel_std=True).validate()


def test_the_model_is_built_as_the_settings_say() -> None:
    config = replace(presets["debug"], noise_var=0.5, learn_noise=True, prior_std=2.0)
    machine = config.build_model()
    assert isinstance(machine, KanervaMachine)
    assert machine.prior.noise_var.item() == pytest.approx(0.5)
    assert machine.prior.log_noise_var.requires_grad
    assert (machine.spec["slots"], machine.spec["key"]) == (4, 3)
    assert machine.prior.full and machine.prior.mean.requires_grad
    ablated = replace(config, diagonal_covariance=True, learn_prior_mean=False).build_model()
    assert isinstance(ablated, KanervaMachine)
    assert not ablated.prior.full and not ablated.prior.mean.requires_grad
    assert not machine.unwritten and not ablated.unwritten
    empty = replace(config, unwritten=True).build_model()
    assert isinstance(empty, KanervaMachine) and empty.unwritten
    vae = replace(config, model="vae").build_model()
    assert isinstance(vae, VAE)
    assert vae(torch.zeros(1, 2, 1, 28, 28)).bound.shape == (1, 2)


@pytest.mark.parametrize("kind", ["dkm", "dnc", "lrua"])
def test_rivals_have_the_machines_memory_and_nets(kind: Any) -> None:
    config = replace(presets["debug"], model=kind, slots=5, noise_var=0.5, learn_noise=True)
    model = config.build_model()
    assert isinstance(model, EpisodicModel)
    assert model.kind == kind
    own = {name: model.spec[name] for name in ("slots", "code", "filters", "noise_var")}
    assert own == {"slots": 5, "code": 3, "filters": 2, "noise_var": 0.5}
    assert model.write(torch.zeros(1, 2, 1, 28, 28))[0].shape == (1, 5, 3)
    noise = [p for name, p in model.named_parameters() if name.endswith("log_noise_var")]
    assert [p.requires_grad for p in noise] == [True]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"slots": 0}, "--slots is 0: give a number of at least 1."),
        ({"code": 0}, "--code"),
        ({"episode_length": 0}, "--episode-length is 0"),
        ({"classes": 0}, "--classes is 0"),
        ({"steps": 0}, "--steps"),
        ({"threads": 0}, "--threads"),
        ({"evaluate_images": 0}, "--evaluate-images is 0: give a number of at least 1."),
        ({"name": "a/b"}, "--name is 'a/b': give one name without a path."),
        ({"name": ".."}, "--name is '..': give one name without a path."),
        ({"seed": 2**32}, "give a whole number below 2"),
        ({"learning_rate": float("nan")}, "--learning-rate is nan"),
        ({"noise_var": 0.0}, "--noise-var is 0.0: give a finite number above 0."),
        ({"memory_kl_weight": -1.0}, "--memory-kl-weight"),
        ({"dataset": "mnist"}, "--dataset is 'mnist': give one of strokes, omniglot, cifar10."),
        ({"model": "gan"}, "--model is 'gan': give one of km, dkm, dnc, lrua, vae."),
        ({"schedule": "square"}, "--schedule"),
        ({"cosines": True}, "--cosines was given with --binarisation dynamic, which has no grey"),
        (
            {"cosines": True, "binarisation": "dequantised", "model": "dnc"},
            "--cosines was given with --model dnc",
        ),
        (
            {"memory_kl_weight": 1.0, "sample_memory": True, "model": "lrua"},
            "--memory-kl-weight was given with --model lrua, whose memory has no KL",
        ),
        ({"preset": "none"}, "There is no preset 'none'"),
    ],
)
def test_what_no_run_can_have_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        replace(Config(), **changes).validate()
    assert sentence in str(caught.value)


def test_nothing_is_left_to_choose_in_what_is_saved() -> None:
    config = Config(seed=3).resolved()
    assert config.name == "strokes-km-3"
    assert config.precision in ("no", "bf16")
    assert config.resolved() == config
    assert json.loads(json.dumps(asdict(config), default=str))["run_dir"] == "runs"


def test_flags_override_a_preset() -> None:
    config = tyro.cli(Config, args=["--slots", "8", "--learn-noise"], default=preset("debug"))
    assert config == replace(presets["debug"], slots=8, learn_noise=True)


def test_every_setting_is_explained_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tyro.cli(Config, args=["--help"])
    text = capsys.readouterr().out
    for field in fields(Config):
        assert f"--{field.name.replace('_', '-')}" in text
    told = " ".join(re.sub(r"[^\w'.;,]", " ", text).split())
    for words in (
        "the rows of the memory",
        "Adam's step size",
        "a mean over these steps",
        "run's folder",
    ):
        assert words in told


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("bad zip"), 2, "bad zip\n"),
        (NonFiniteError("NaN at 3"), 2, "NaN at 3\n"),
        (Interrupted("saved"), 130, "saved\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
    ],
)
def test_expected_failures_are_one_sentence_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    @exit_on_input_error()
    def script() -> None:
        raise error

    for _ in range(2):
        with pytest.raises(SystemExit) as caught:
            script()
        assert caught.value.code == code
        assert capsys.readouterr().err == said


def test_other_failures_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError), exit_on_input_error():
        _ = 1 / 0
