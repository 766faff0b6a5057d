"""A film strip of what agents learned: a row of frames for each, of a held-out HalfCheetah task,
the expert's above them.

The policies are kept when agents have learned, so a strip can be drawn later and elsewhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.generator import ppo, ppo_settings
from agents.true_return import SEED
from envs.make import env_id, make_vec
from km_rl.errors import InputError
from km_rl.evaluate.figures import STYLE, WIDTH
from km_rl.files import make_folder
from km_rl.nn.saves import load_state, save_state

FRAMES, FIRST, EVERY = 8, 500, 3
"""Frames of a row, the step of the first, and the steps between two: a stride or two."""


class NoFilm(RuntimeError):
    """There is nothing to film, or nothing to film it with: says which in one sentence."""


def keep(path: Path, of: Mapping[str, Any], learner: BaseAlgorithm) -> None:
    """Write a policy, and what it is of; errors as `written_beside`."""
    make_folder(path.parent)
    save_state(path, {"of": dict(of), "policy": learner.policy.state_dict()})


def kept(path: Path, of: Mapping[str, Any], env: str) -> BaseAlgorithm | None:
    """The agent that `keep` wrote; None where there is none, or one of something else."""
    try:
        saved = load_state(path, ("of", "policy"), "an agent")
    except InputError:  # no file, or no whole one
        return None
    if saved["of"] != of:
        return None
    width = len(saved["policy"]["mlp_extractor.policy_net.0.bias"])
    learner = ppo(make_vec(env, 1, 0), 0, replace(ppo_settings(env), width=width))
    learner.policy.load_state_dict(saved["policy"])
    return learner


def strip(env: str, agents: Mapping[str, Any]) -> Figure:
    """A row of `FRAMES` for each agent, acting deterministically from the same start.

    Args:
        agents: by name, whatever predicts actions as an agent of stable-baselines3 does.

    Raises:
        NoFilm: nothing can be rendered here.
    """
    rows = {name: _frames(env, agent) for name, agent in agents.items()}
    with rc_context(STYLE):
        tight = ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
        figure = Figure(figsize=(WIDTH, WIDTH / FRAMES * len(rows)), layout=tight)
        grid = figure.subplots(len(rows), FRAMES, squeeze=False)
        for axes, (name, frames) in zip(grid, rows.items(), strict=True):
            for cell, frame in zip(axes, frames, strict=True):
                cell.imshow(frame)
                cell.set(xticks=[], yticks=[])
                cell.spines[:].set_visible(False)
            axes[0].set_ylabel(name)
    return figure


def _frames(env: str, agent: Any) -> list[np.ndarray]:
    """Pictures (H, W, 3) of one episode."""
    wanted, frames = {FIRST + EVERY * i for i in range(FRAMES)}, []
    stage = staged(env)
    obs, _ = stage.reset(seed=SEED)
    for step in range(max(wanted) + 1):
        if step in wanted:
            frames.append(np.asarray(stage.render()))
        obs = stage.step(agent.predict(obs[None], deterministic=True)[0][0])[0]
    stage.close()
    return frames


def staged(env: str) -> gym.Env:
    """An environment that was drawn once, so it can be; by EGL where Linux has no display.

    Raises:
        NoFilm: it cannot be rendered here.
    """
    if sys.platform == "linux" and "DISPLAY" not in os.environ:
        os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        stage = made(env)
        stage.reset()
        stage.render()
    except Exception as error:  # a driver can fail in any way
        told = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise NoFilm(f"No film strip: {env} cannot be rendered here ({told}).") from error
    return stage


def made(env: str) -> gym.Env:
    """An environment whose pictures are arrays."""
    return gym.make(env_id(env), render_mode="rgb_array")
