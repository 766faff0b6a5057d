"""Experts: what a run leaves behind, going on after Ctrl-C, and bad input."""

from __future__ import annotations

import json
import signal
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO, SAC

from agents.expert import ExpertConfig, acting, checkpoint, learner, resume, train_expert
from envs.demos import check, load
from envs.make import make_vec
from km_rl.errors import InputError, NonFiniteError
from km_rl.nn.weights import load_weights, save_weights
from km_rl.rl.ring import Ring

script = import_module("scripts.train_expert")


def _config(folder: Path, **changed: Any) -> ExpertConfig:
    usual = {"env": "Pendulum", "steps": 120, "evaluate_every": 50, "trajectories": 2}
    return ExpertConfig(run_dir=folder, evaluate_episodes=1, **{**usual, **changed})


def _lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def _evaluations(folder: Path) -> dict[float, float]:
    """Return by step."""
    lines = _lines(folder)
    return {line["step"]: line["return/mean"] for line in lines if "return/mean" in line}


def _at_update(number: int, does: Any, monkeypatch: pytest.MonkeyPatch, kind: type = SAC) -> None:
    """Call ``does`` before the learner's so-manieth stretch of gradient steps."""
    real, updates = kind.train, [0]  # type: ignore[attr-defined]

    def train(self: Any, *args: Any, **kwargs: Any) -> None:
        updates[0] += 1
        if updates[0] == number:
            does(self)
        real(self, *args, **kwargs)

    monkeypatch.setattr(kind, "train", train)


def test_a_run_goes_on_after_ctrl_c_and_ends_with_demonstrations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _at_update(60, lambda _: signal.raise_signal(signal.SIGINT), monkeypatch)
    config = _config(tmp_path)
    with pytest.raises(KeyboardInterrupt, match="Interrupted after 73 steps: all is saved"):
        train_expert(config)
    assert list(_evaluations(config.folder)) == [50]
    before = _lines(config.folder)

    path = train_expert(config)
    assert _lines(config.folder)[: len(before)] == before
    assert list(_evaluations(config.folder)) == [50, 100, 120]
    seconds = [line["seconds"] for line in _lines(config.folder)]
    assert seconds == sorted(seconds) and seconds[0] > 0

    found, venv = load(path), make_vec("Pendulum", 1, 0)
    check(found, venv.observation_space, venv.action_space)
    assert [(len(t), t.terminal) for t in found] == [(200, False)] * 2
    with np.load(path, allow_pickle=False) as file:
        meta = json.loads(str(file["meta"]))
    assert meta["env"] == "Pendulum-v1" and meta["command"]
    np.testing.assert_allclose(meta["returns"], [t.rews.sum() for t in found], rtol=1e-4)


def test_ppo_goes_on_after_ctrl_c_and_is_measured_after_whole_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _at_update(1, lambda _: signal.raise_signal(signal.SIGINT), monkeypatch, PPO)
    changed: dict[str, Any] = {"env": "CartPole", "algorithm": "ppo", "steps": 5000}
    config = _config(tmp_path, evaluate_every=3000, **changed)
    assert config.folder.name == "CartPole-ppo-expert-0"
    with pytest.raises(KeyboardInterrupt, match="Interrupted after 2048 steps: all is saved"):
        train_expert(config)  # in the second round, which is done again

    found = load(train_expert(config))
    returns = _evaluations(config.folder)
    assert [*returns] == [2 * 2048, 3 * 2048]
    assert len(found) == 2 and all(0 < t.rews.sum() <= 500 for t in found)
    spec, state = load_weights(config.folder / "policy.safetensors", "PpoPolicy")
    assert spec["return"] == max(returns.values())
    model = learner(config)
    acting(model).load_state_dict(state)
    for t in found:
        acts = model.predict(np.asarray(t.obs)[:-1], deterministic=True)[0]
        np.testing.assert_array_equal(acts, t.acts)


def test_a_run_is_not_made_longer_where_rates_depend_on_its_steps(tmp_path: Path) -> None:
    config = _config(tmp_path, steps=60, trajectories=1)
    train_expert(config)
    before = (config.folder / "config.json").read_text()
    with pytest.raises(InputError, match="holds a run with steps = 60 where"):
        train_expert(_config(tmp_path, steps=120, trajectories=1))
    assert (config.folder / "config.json").read_text() == before


def test_a_trained_expert_is_asked_for_more_demonstrations(tmp_path: Path) -> None:
    (first,) = load(train_expert(_config(tmp_path, trajectories=1)))
    lines = _lines(_config(tmp_path).folder)
    more = load(train_expert(_config(tmp_path, trajectories=3)))
    assert len(more) == 3 and _lines(_config(tmp_path).folder) == lines
    assert [np.array_equal(t.acts, first.acts) for t in more].count(True) == 1


def test_an_expert_that_goes_on_begins_episodes_that_no_other_has(tmp_path: Path) -> None:
    starts: list[np.ndarray] = []
    for seed in (0, 1):
        model: Any = learner(_config(tmp_path, algorithm="ppo", seed=seed))
        starts.append(model.env.reset())
        model.num_timesteps = 4096
        checkpoint(model, tmp_path / "training.pt")
        resume(model, tmp_path / "training.pt", seed)
        starts.append(model.env.reset())
    every = np.concatenate(starts)
    assert len(np.unique(every, axis=0)) == len(every)


def test_demonstrations_are_of_the_policy_that_did_best(tmp_path: Path) -> None:
    config = _config(tmp_path, evaluate_every=30, trajectories=1)
    (found,) = load(train_expert(config))
    spec, state = load_weights(config.folder / "policy.safetensors", "SacActor")
    returns = _evaluations(config.folder)
    best = max(returns, key=lambda step: returns[step])
    assert (spec["step"], spec["return"]) == (best, returns[best])
    model = learner(config)
    acting(model).load_state_dict(state)
    seen = np.asarray(found.obs)[:-1]
    np.testing.assert_allclose(model.predict(seen, deterministic=True)[0], found.acts, atol=1e-5)


def test_a_better_policy_stays_though_its_evaluation_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill between an evaluation and the next checkpoint."""
    _at_update(60, lambda _: signal.raise_signal(signal.SIGINT), monkeypatch)
    config = _config(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train_expert(config)
    path = config.folder / "policy.safetensors"
    save_weights(path, "SacActor", {"env": "x", "step": 9, "return": 1.0}, acting(learner(config)))
    train_expert(config)
    assert load_weights(path, "SacActor")[0]["step"] == 9
    assert max(_evaluations(config.folder).values()) < 1.0


def test_everything_that_learns_is_back_after_a_checkpoint(tmp_path: Path) -> None:
    model, copy = (learner(_config(tmp_path, seed=seed)) for seed in (0, 1))
    assert isinstance(model, SAC) and isinstance(copy, SAC)
    model.learn(60)
    checkpoint(model, tmp_path / "training.pt")
    resume(copy, tmp_path / "training.pt", 0)
    torch.testing.assert_close(copy.get_parameters(), model.get_parameters(), rtol=0, atol=0)
    assert copy.log_ent_coef is not None and model.log_ent_coef is not None
    assert float(copy.log_ent_coef.detach()) == float(model.log_ent_coef.detach()) != 0
    assert copy.num_timesteps == 60 and copy._n_updates == model._n_updates == 48
    states = [Ring.of_generator(m.replay_buffer).state() for m in (model, copy)]
    torch.testing.assert_close(states[1], states[0], rtol=0, atol=0)
    assert states[1]["count"] == 60 and states[1]["arrays"]["observations"].any()


def test_all_of_ppo_is_back_after_a_checkpoint(tmp_path: Path) -> None:
    config = _config(tmp_path, algorithm="ppo")
    model, copy = learner(config), learner(_config(tmp_path, algorithm="ppo", seed=1))
    model.learn(60)
    checkpoint(model, tmp_path / "training.pt")
    resume(copy, tmp_path / "training.pt", 0)
    torch.testing.assert_close(copy.get_parameters(), model.get_parameters(), rtol=0, atol=0)
    assert model.get_parameters()["policy.optimizer"]["state"]
    assert copy.num_timesteps == model.num_timesteps == 2048
    with pytest.raises(InputError, match="something else than an expert's training"):
        resume(learner(_config(tmp_path)), tmp_path / "training.pt", 0)


def test_training_stops_where_a_weight_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(model: SAC) -> None:
        assert model.replay_buffer is not None
        model.replay_buffer.rewards[:] = np.nan

    _at_update(45, spoil, monkeypatch)
    config = _config(tmp_path)
    with pytest.raises(NonFiniteError, match=r"Stopped after 5\d steps.*--name NEW"):
        train_expert(config)
    assert (
        torch.load(config.folder / "training.pt", weights_only=True)["counters"]["num_timesteps"]
        == 50
    )


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"env": "CartPole"}, r"environment's actions are Discrete\(2\) where SAC"),
        ({"env": "Pendulun"}, "did you mean 'Pendulum'"),
        ({"steps": 0}, "--steps is 0"),
        ({"trajectories": 0}, "--trajectories is 0"),
        ({"seed": 2**31}, "--seed is 2147483648"),
        ({"name": "a/b"}, "--name is 'a/b'"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing_behind(
    changed: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=sentence):
        train_expert(_config(tmp_path, **changed))
    assert not list(tmp_path.iterdir())


def test_a_damaged_or_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "training.pt"
    model = learner(_config(tmp_path))
    checkpoint(model, path)
    with pytest.raises(InputError, match=r"buffer of 120 rows where it has 90"):
        resume(learner(_config(tmp_path, steps=90)), path, 0)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"training\.pt' is not a whole save of an expert's"):
        resume(model, path, 0)


def test_the_script_says_how_good_the_demonstrations_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = "--env Pendulum --steps 20 --trajectories 1 --evaluate-episodes 1 --name one"
    script.main(f"{flags} --run-dir {tmp_path}".split())
    told, where = capsys.readouterr().out.splitlines()
    (found,) = load(where)
    assert told.startswith(f"1 demonstrations of return {found.rews.sum():,.0f}")
    with pytest.raises(SystemExit) as ended:
        script.main(["--env", "CartPole", "--run-dir", str(tmp_path)])
    assert ended.value.code == 2
    assert "where SAC needs" in capsys.readouterr().err
