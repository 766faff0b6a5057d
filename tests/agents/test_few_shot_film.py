"""Film strips: policies that come back, and what happens where nothing can be rendered."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from agents.few_shot import film
from agents.few_shot.film import NoFilm, keep, kept, strip
from agents.generator import ppo
from envs.make import make_vec

script = import_module("scripts.few_shot")
OF = {"agent": "kanerva", "seed": 0}


class Stage:
    """An environment that shows in grey a third of how far it is."""

    def __init__(self) -> None:
        self.steps, self.done = 0, False

    def reset(self, seed: int | None = None) -> tuple[np.ndarray, dict]:
        return np.zeros(3, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        assert action.shape == (1,)
        self.steps += 1
        return np.zeros(3, np.float32), 0.0, False, False, {}

    def render(self) -> np.ndarray:
        return np.full((4, 4, 3), self.steps // 3, np.uint8)

    def close(self) -> None:
        self.done = True


@pytest.fixture(scope="module")
def agent() -> PPO:
    return ppo(make_vec("Pendulum", 1, 0), 0)


def test_a_policy_comes_back_if_it_is_of_the_same(agent: PPO, tmp_path: Path) -> None:
    path = tmp_path / "policies" / "one.pt"
    keep(path, OF, agent)
    back = kept(path, OF, "Pendulum")
    assert back is not None
    obs = np.array([1.0, 0.0, -2.0], np.float32)
    one, other = (a.predict(obs, deterministic=True)[0] for a in (agent, back))
    assert np.array_equal(one, other)
    assert kept(path, {**OF, "seed": 1}, "Pendulum") is None
    assert kept(tmp_path / "none.pt", OF, "Pendulum") is None
    path.write_bytes(b"broken")
    assert kept(path, OF, "Pendulum") is None


def test_frames_are_those_of_the_steps_that_are_named(
    agent: PPO, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage()
    monkeypatch.setattr(film, "made", lambda env: stage)
    drawn = strip("Pendulum", {"kanerva": agent})
    shown = [axes.images[0].get_array() for axes in drawn.axes]
    assert [int(x.flat[0]) for x in shown if x is not None] == list(range(166, 174))
    assert drawn.axes[0].get_ylabel() == "kanerva" and stage.done


def test_where_nothing_can_be_rendered_a_sentence_is_told(
    agent: PPO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(env: str) -> Any:
        raise OSError("no EGL\n here.")

    monkeypatch.setattr(film, "made", broken)
    agents: dict[str, PPO] = {"kanerva": agent}
    comparison: Any = SimpleNamespace(
        family=SimpleNamespace(env="HalfCheetah"), filmed=lambda: agents
    )
    assert script.film(comparison, tmp_path) == []
    told = "No film strip: HalfCheetah cannot be rendered here (no EGL here).\n"
    assert capsys.readouterr().out == told and not list(tmp_path.iterdir())
    monkeypatch.setattr(film, "made", lambda env: Stage())
    (path,) = script.film(comparison, tmp_path)
    assert path.name == "strip.png" and path.stat().st_size > 1000


@pytest.mark.slow
def test_a_cheetah_is_rendered_where_it_can_be() -> None:
    torch.manual_seed(0)
    try:
        film.staged("HalfCheetah").close()
    except NoFilm as reason:
        pytest.skip(str(reason))
    agent = ppo(make_vec("HalfCheetah", 1, 0), 0)
    last: Any = agent.policy.action_net
    last.weight.data *= 100  # it would hardly move
    drawn = strip("HalfCheetah", {"kanerva": agent})
    before, after = (np.asarray(drawn.axes[i].images[0].get_array()) for i in (0, -1))
    assert before.shape[-1] == 3 and before.std() > 1 and not np.array_equal(before, after)
