"""The loop: it learns, resumes bit by bit, saves on a signal and stops at NaN."""

from __future__ import annotations

import json
import math
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_runs import TINY, Signals, Stop, StopsAt, draw, go, new_model, untimed, weights
from torch import Tensor, nn

from km_rl.core.elbo import Elbo
from km_rl.core.machine import KanervaMachine
from km_rl.errors import InputError, NonFiniteError
from km_rl.train.loop import Interrupted, stream_seeds, train
from km_rl.train.run import Run

LOGGED = {
    "step",
    "images",
    "seconds",
    "train/bound",
    "train/full_bound",
    "train/distortion",
    "train/rate_y",
    "train/rate_z",
    "train/rate_memory",
    "train/grad_norm",
    "train/learning_rate",
    "images_per_second",
    "test/bound_nats",
}


def test_training_lowers_the_bound_and_logs_every_documented_key(tmp_path: Path) -> None:
    result = go(tmp_path, steps=40, learning_rate=1e-2, log_every=10, evaluate_every=40)
    curve = [line["train/bound"] for line in untimed(tmp_path) if "train/bound" in line]
    assert curve[-1] < curve[0]
    assert result.keys() == LOGGED
    assert (result["step"], result["images"]) == (40, 40 * 8)
    parts = ("train/distortion", "train/rate_y", "train/rate_z")
    assert result["train/bound"] == pytest.approx(sum(result[name] for name in parts))
    recipe = replace(TINY, steps=40, learning_rate=1e-2)
    assert result["train/learning_rate"] == pytest.approx(recipe.learning_rate_at(39))
    full = result["train/bound"] + result["train/rate_memory"]
    assert result["train/full_bound"] == pytest.approx(full)


def test_a_density_is_logged_in_bits_per_dimension_too(tmp_path: Path) -> None:
    config, run = TINY, Run(tmp_path, TINY)
    result = train(new_model(config), draw, config, run, dimensions=28 * 28)
    assert result.keys() == LOGGED - {"test/bound_nats"} | {"train/bits_per_dim"}
    by_hand = result["train/bound"] / (28 * 28 * math.log(2)) + 8
    assert result["train/bits_per_dim"] == pytest.approx(by_hand)


@pytest.mark.parametrize("model", ["km", "vae"])
@pytest.mark.parametrize("call", [4, 5, 6])
def test_a_resumed_run_repeats_the_uninterrupted_one_bit_by_bit(
    tmp_path: Path, model: str, call: int
) -> None:
    go(tmp_path / "whole", model=model)
    with pytest.raises(Stop):
        go(tmp_path / "cut", StopsAt(call), model=model)
    go(tmp_path / "cut", model=model)
    assert untimed(tmp_path / "cut") == untimed(tmp_path / "whole")
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


def test_how_often_to_look_does_not_change_what_is_learned(tmp_path: Path) -> None:
    go(tmp_path / "often", evaluate_every=1, log_every=1, checkpoint_every=1)
    go(tmp_path / "seldom", evaluate_every=6, log_every=6, checkpoint_every=6)
    assert weights(tmp_path / "often") == weights(tmp_path / "seldom")


def test_the_seed_decides_everything(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        go(tmp_path / name, seed=seed)
    assert untimed(tmp_path / "a") == untimed(tmp_path / "b") != untimed(tmp_path / "c")
    seeds = [s for seed in (0, 1) for process in (0, 1) for s in stream_seeds(seed, process)]
    assert len(set(seeds)) == 8


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_says_so_and_the_same_command_goes_on(tmp_path: Path, number: int) -> None:
    go(tmp_path / "whole", checkpoint_every=100)
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=r"step 3: a checkpoint is saved .* same command"):
        go(tmp_path / "cut", Signals(number, 3), checkpoint_every=100)
    assert signal.getsignal(number) == before
    go(tmp_path / "cut", checkpoint_every=100)
    assert untimed(tmp_path / "cut") == untimed(tmp_path / "whole")


def test_a_signal_in_the_last_evaluation_is_heard(tmp_path: Path) -> None:
    def evaluate(model: nn.Module) -> dict[str, float]:
        signal.raise_signal(signal.SIGTERM)
        return {"bound_nats": 1.0}

    config = replace(TINY, evaluate_every=TINY.steps)
    with pytest.raises(Interrupted, match=r"in the last evaluation: .* is trained"):
        train(new_model(config), draw, config, Run(tmp_path, config), evaluate)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["test/bound_nats"] == 1.0


def test_a_finished_run_is_left_as_it_is_and_its_figures_are_returned(tmp_path: Path) -> None:
    first = go(tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text()
    assert go(tmp_path) == pytest.approx(first, abs=1e-3)
    assert (tmp_path / "metrics.jsonl").read_text() == lines


def test_a_finished_run_without_its_weights_has_them_again(tmp_path: Path) -> None:
    go(tmp_path)
    before = weights(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    go(tmp_path)
    assert weights(tmp_path) == before


def test_an_evaluation_that_was_cut_off_is_made_up_for(tmp_path: Path) -> None:
    go(tmp_path / "whole", evaluate_every=2)
    config = replace(TINY, evaluate_every=2)
    for _ in range(2):
        with pytest.raises(Stop):
            train(new_model(config), draw, config, Run(tmp_path / "cut", config), stops)
    go(tmp_path / "cut", evaluate_every=2)
    assert untimed(tmp_path / "cut") == untimed(tmp_path / "whole")


def stops(model: nn.Module) -> dict[str, float]:
    """An evaluation that a power cut ends."""
    raise Stop


class Spoilt(nn.Module):
    """A model one of whose terms turns NaN at a step."""

    def __init__(self, model: nn.Module, term: str, step: int) -> None:
        super().__init__()
        self.model, self.term, self.left = model, term, step

    def forward(self, images: Tensor, sample_memory: bool = False) -> Elbo:
        elbo = self.model(images, sample_memory)
        self.left -= 1
        bad = getattr(elbo, self.term) * float("nan")
        return elbo._replace(**{self.term: bad}) if self.left == 0 else elbo


@pytest.mark.parametrize("term", Elbo._fields)
def test_a_term_that_is_not_finite_stops_the_run_and_is_named(tmp_path: Path, term: str) -> None:
    model = Spoilt(new_model(TINY), term, step=4)
    with pytest.raises(NonFiniteError, match=rf"step 4: {term} is NaN .* step 2 .* is good"):
        train(model, draw, TINY, Run(tmp_path, TINY))
    assert torch.load(tmp_path / "training.pt", weights_only=True)["progress"]["step"] == 2


def test_a_gradient_that_is_not_finite_stops_the_run_before_it_is_applied(tmp_path: Path) -> None:
    model = new_model(TINY)
    weight = next(model.parameters())
    weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(NonFiniteError, match=r"step 1: the gradient .* no checkpoint yet"):
        train(model, draw, TINY, Run(tmp_path, TINY))
    assert weight.isfinite().all()


def test_weights_that_are_not_finite_are_told_by_the_memory_or_the_terms(tmp_path: Path) -> None:
    model = new_model(TINY)
    assert isinstance(model, KanervaMachine)
    model.addressing.addresses.data.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match=r"step 1: "):
        train(model, draw, TINY, Run(tmp_path, TINY))


@pytest.mark.parametrize("model", ["km", "vae"])
def test_images_that_are_not_finite_are_bad_input(tmp_path: Path, model: str) -> None:
    with pytest.raises(InputError, match="step 1 hold NaN"):
        go(tmp_path, lambda generator: draw(generator) * float("nan"), model=model)


def test_bf16_trains_and_the_model_itself_stays_in_full_precision(tmp_path: Path) -> None:
    model = new_model(TINY)
    config = replace(TINY, precision="bf16")
    train(model, draw, config, Run(tmp_path, config))
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert "forward" not in vars(model)
    assert model(draw(torch.Generator())).bound.dtype == torch.float32


def test_long_gradients_are_clipped(tmp_path: Path) -> None:
    go(tmp_path / "clipped", steps=1, clip_norm=1e-12, warmup_steps=0)
    go(tmp_path / "free", steps=1, clip_norm=1e12, warmup_steps=0)
    norms = [untimed(tmp_path / name)[0]["train/grad_norm"] for name in ("clipped", "free")]
    assert norms[0] == norms[1] > 1
    clipped, free = (
        torch.load(tmp_path / name / "training.pt", weights_only=True)
        for name in ("clipped", "free")
    )
    largest = [
        max(s["exp_avg"].abs().max() for s in saved["optimiser"]["state"].values())
        for saved in (clipped, free)
    ]
    assert largest[0] < 1e-11 < largest[1]


def test_the_tensorboard_events_hold_the_same_numbers(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    with pytest.raises(Stop):
        go(tmp_path, StopsAt(6))
    go(tmp_path)
    board = events.EventAccumulator(str(tmp_path / "tb"))
    board.Reload()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    wanted = {x["step"]: x["train/bound"] for x in lines if "train/bound" in x}
    found = {event.step: event.value for event in board.Scalars("train/bound")}
    assert found == pytest.approx(wanted)
    assert len(board.Scalars("train/bound")) == len(wanted)
