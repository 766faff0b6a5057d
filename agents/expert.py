"""An expert, trained by SAC or PPO on the true reward, and its demonstrations.

::

    runs/<name>/
    ├── config.json          every setting, and under "about" the commit, versions and hardware
    ├── metrics.jsonl        one JSON object for a stretch of training or an evaluation, as below
    ├── tb/                  the same numbers as TensorBoard events
    ├── training.pt          where the same command resumes
    ├── policy.safetensors   the policy that did best in an evaluation
    └── demonstrations.npz   what that policy does, for `envs.demos.load`

Every logged key:

==================  =============================================================================
``step``            environment steps done
``seconds``         training time; measuring and saving are not counted
``return/mean``     true return of the policy, acting deterministically; with ``return/std`` and
                    ``return/length`` as in `agents.logbook`
``rollout/return``  true return of the last 100 episodes of training
``train/<name>``    stable-baselines3's own, of the last gradient step
==================  =============================================================================

A resumed run has its nets, optimisers, replay buffer and counters back. It is not the run that
was never interrupted: environments begin new episodes, and the random streams start again from
the seed and the steps done.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from imitation.data import rollout
from imitation.data.types import TrajectoryWithRew
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback
from torch import nn

from agents.generator import is_finite, ppo, ppo_settings, sac
from agents.logbook import Logbook
from agents.true_return import TrueReturn
from envs.demos import save
from envs.gait import DEMONSTRATIONS
from envs.make import env_id, make_vec
from km_rl.errors import InputError, NonFiniteError
from km_rl.nn.saves import load_state, save_state
from km_rl.nn.weights import fill, load_weights, save_weights
from km_rl.progress import progress_bar
from km_rl.rl.ring import Ring
from km_rl.rl.streams import seed_environments
from km_rl.train.provenance import describe
from km_rl.train.recipe import at_least, plain_name
from km_rl.train.signals import noted_signals

TRAINING, POLICY = "training.pt", "policy.safetensors"
Algorithm = Literal["sac", "ppo"]
Learner: TypeAlias = SAC | PPO
KINDS = {"sac": "SacActor", "ppo": "PpoPolicy"}
COUNTERS = ("num_timesteps", "_episode_num", "_n_updates")
KEYS, OFF_POLICY_KEYS = ("parameters", "counters"), ("log_ent_coef", "replay")
MOST_REMEMBERED = 1_000_000
"""Transitions in the replay buffer."""
MOST_RANDOM = 10_000
"""Steps of random actions before learning; a tenth of all in short runs."""
START = 20_160_610
"""Seed of the starts of demonstrations, far from those of training and of evaluation."""


@dataclass(frozen=True)
class ExpertConfig:
    """The training of an expert."""

    env: str = "HalfCheetah"
    """Where to act: HalfCheetah, Hopper, Walker2d, Swimmer, Ant, Pendulum or any registered id;
    SAC needs continuous actions."""
    algorithm: Algorithm = "sac"
    """Soft actor-critic, which learns most from a step, or PPO, whose steps are far faster."""
    steps: int = 1_000_000
    """Environment steps, of PPO rounded up to whole rounds; SAC learns after each."""
    seed: int = 0
    """Of the nets, the environments and the noise."""
    trajectories: int = 10
    """Demonstrations to record at the end; a run that has ended records more if given more, and
    all of them in another order."""
    evaluate_every: int = 20_000
    """Steps between evaluations, and between checkpoints, PPO's at the end of a round; there are
    both at the end in any case."""
    evaluate_episodes: int = 5
    """Episodes of each evaluation."""
    threads: int | None = None
    """CPU threads; torch's own choice by default."""
    run_dir: Path = Path("runs")
    """Where run folders lie."""
    name: str | None = None
    """The run's folder in it; by default ENV-expert-SEED, of PPO ENV-ppo-expert-SEED."""

    @property
    def folder(self) -> Path:
        """The run folder."""
        kind = "ppo-expert" if self.algorithm == "ppo" else "expert"
        return self.run_dir / (self.name or f"{self.env.replace('/', '-')}-{kind}-{self.seed}")

    def validate(self) -> None:
        """Refuse sizes that no run can have.

        Raises:
            InputError: one sentence for the first that does not fit.
        """
        at_least(self, 1, "steps", "trajectories", "evaluate_every", "evaluate_episodes")
        at_least(self, 1, "threads")
        at_least(self, 0, "seed")
        if self.seed >= 2**31:
            raise InputError(f"--seed is {self.seed}: give a whole number below 2**31.")
        plain_name(self, "name")

    def resolved(self) -> ExpertConfig:
        """The same run with nothing left to choose: what is saved with it.

        Raises:
            InputError: there is no such environment.
        """
        return replace(self, name=self.folder.name, env=env_id(self.env))


def train_expert(config: ExpertConfig) -> Path:
    """Train to the last step, from where the run's folder stands, and record demonstrations.

    Returns:
        The demonstrations' file.

    Raises:
        InputError: settings, an environment or a folder that cannot be used.
        NonFiniteError: a weight is NaN or infinite.
        KeyboardInterrupt: after a signal, once everything is saved.
    """
    config.validate()
    config = config.resolved()
    model = learner(config)
    book = Logbook(config, model.policy, {}, grows={"trajectories"})
    if (path := config.folder / TRAINING).exists():
        resume(model, path, config.seed)
    book.start(model.num_timesteps)
    try:
        _Training(config, model, book).go()
    finally:
        book.close()
    return demonstrate(config, model)


def learner(config: ExpertConfig) -> Learner:
    """SAC or PPO at its start, by the presets of `agents.generator`; errors as there."""
    if config.algorithm == "ppo":
        settings = ppo_settings(config.env)
        venv = make_vec(config.env, settings.n_envs, config.seed)
        return ppo(venv, config.seed, settings)
    venv = make_vec(config.env, 1, config.seed)
    return sac(
        venv,
        config.seed,
        buffer_size=min(config.steps, MOST_REMEMBERED),
        learning_starts=min(config.steps // 10, MOST_RANDOM),
    )


def acting(model: Learner) -> nn.Module:
    """The part of it that chooses actions; PPO's also says what states are worth."""
    return model.actor if isinstance(model, SAC) else model.policy


def checkpoint(model: Learner, path: Path) -> None:
    """Write all that `resume` needs; it appears whole or not.

    Raises:
        InputError: the file cannot be written.
    """
    state: dict[str, Any] = {
        "parameters": model.get_parameters(),
        "counters": {name: getattr(model, name) for name in COUNTERS},
    }
    if isinstance(model, SAC):
        assert model.log_ent_coef is not None
        state["log_ent_coef"] = model.log_ent_coef.detach()
        state["replay"] = Ring.of_generator(model.replay_buffer).state()
    save_state(path, state)


def resume(model: Learner, path: Path, seed: int) -> None:
    """Bring a model that was built like the saved one to where that one was.

    Raises:
        InputError: the file is not whole, or of a model with other sizes.
    """
    keys = KEYS + OFF_POLICY_KEYS if isinstance(model, SAC) else KEYS
    saved = load_state(path, keys, "an expert's training")
    fill(model.policy, saved["parameters"]["policy"], path)
    try:
        model.set_parameters(saved["parameters"], device=model.device)
        if isinstance(model, SAC):
            with torch.no_grad():
                model.log_ent_coef.copy_(saved["log_ent_coef"])  # type: ignore[union-attr]
            Ring.of_generator(model.replay_buffer).restore(saved["replay"])
        for name in COUNTERS:
            setattr(model, name, saved["counters"][name])
    except (ValueError, LookupError, TypeError, RuntimeError) as error:
        raise InputError(
            f"'{path}' does not fit this expert ({error}): delete the folder, or use --name NEW."
        ) from error
    model.set_random_seed((seed + model.num_timesteps) % 2**32)
    seed_environments(model)


def demonstrate(config: ExpertConfig, model: Learner) -> Path:
    """Record the best policy of the run; the same run gives the same trajectories.

    Returns:
        The file.

    Raises:
        InputError: the folder holds no policy, or cannot be written.
    """
    source, path = config.folder / POLICY, config.folder / DEMONSTRATIONS
    spec, state = load_weights(source, KINDS[config.algorithm])
    fill(acting(model), state, source)
    versions = {name: version(name) for name in ("gymnasium", "mujoco", "stable-baselines3")}
    meta = {"env": config.env, "step": spec["step"], **describe(model.policy), **versions}
    save(path, _trajectories(config, model), meta)
    return path


class _Training:
    """Stretches of learning, and an evaluation and a checkpoint after each."""

    def __init__(self, config: ExpertConfig, model: Learner, book: Logbook) -> None:
        self.config, self.model, self.book = config, model, book
        lines = book.metrics()
        self.seconds: float = lines[-1]["seconds"] if lines else 0.0
        measured = {line["step"]: line["return/mean"] for line in lines if "return/mean" in line}
        self.best = max([*measured.values(), *_kept_return(config)], default=-math.inf)
        self.due = self._after(max(measured, default=0))
        self.true_return = TrueReturn(config.env, config.evaluate_episodes)

    def go(self) -> None:
        with noted_signals() as signals, self._progress_bar() as bar:
            watch = _Watch(bar, signals, self.model.num_timesteps)
            while self.model.num_timesteps < self.config.steps:
                self._learn(watch)
                if self.model.num_timesteps >= self.due:
                    self._measure()
                    self.due = self._after(self.model.num_timesteps)
                checkpoint(self.model, self.config.folder / TRAINING)
                if signals:
                    raise KeyboardInterrupt(
                        f"Interrupted after {self.model.num_timesteps} steps: all is saved in "
                        f"'{self.config.folder}', and the same command goes on from there."
                    )

    def _after(self, step: int) -> int:
        """When the next evaluation is due, after one at ``step``."""
        every = self.config.evaluate_every
        return min(self.config.steps, (step // every + 1) * every)

    def _learn(self, watch: _Watch) -> None:
        """Learn until the next evaluation is due, or a signal comes."""
        started = time.perf_counter()
        try:
            self.model.learn(
                self.due - self.model.num_timesteps,
                callback=watch,
                log_interval=self.config.steps,  # never: what was logged is read below
                reset_num_timesteps=False,
            )
        finally:
            self._refuse_non_finite()
        if isinstance(self.model, PPO):  # nothing is learned from a round that was cut
            self.model.num_timesteps = watch.learned
        self.seconds += time.perf_counter() - started
        told = dict(self.model.logger.name_to_value)
        values = {name: float(x) for name, x in told.items() if name.startswith("train/")}
        values["rollout/return"] = _return_so_far(self.model)
        self.book.record(self.model.num_timesteps, self.seconds, values)

    def _refuse_non_finite(self) -> None:
        if not is_finite(self.model):
            raise NonFiniteError(
                f"Stopped after {self.model.num_timesteps} steps: a weight is NaN or infinite; "
                f"what is saved in '{self.config.folder}' is from before: start another run "
                f"(--name NEW) with another --seed."
            )

    def _measure(self) -> None:
        """Evaluate, and keep the policy if it is the best so far."""
        found = self.true_return.of(self.model)
        told = {"mean": found.mean, "std": found.std, "length": float(found.lengths.mean())}
        step = self.model.num_timesteps
        self.book.record(step, self.seconds, {f"return/{k}": v for k, v in told.items()})
        if found.mean > self.best:
            self.best = found.mean
            spec = {"env": self.config.env, "step": step, "return": found.mean}
            kind = KINDS[self.config.algorithm]
            save_weights(self.config.folder / POLICY, kind, spec, acting(self.model))

    def _progress_bar(self) -> Any:
        return progress_bar(total=self.config.steps, initial=self.model.num_timesteps, unit="step")


class _Watch(BaseCallback):
    """Moves the progress bar, and ends a stretch of learning at the first signal.

    Attributes:
        learned: the steps done when the last whole round was.
    """

    def __init__(self, bar: Any, signals: list[int], learned: int) -> None:
        super().__init__()
        self.bar, self.signals, self.learned = bar, signals, learned

    def _on_rollout_end(self) -> None:
        self.learned = self.num_timesteps

    def _on_step(self) -> bool:
        self.bar.update(self.training_env.num_envs)
        if self.locals["dones"].any():
            self.bar.set_postfix_str(f"return {_return_so_far(self.model):,.0f}", refresh=False)
        return not self.signals


def _kept_return(config: ExpertConfig) -> list[float]:
    """What the policy that is kept came to, though its line may be gone with a killed run."""
    path = config.folder / POLICY
    return [load_weights(path, KINDS[config.algorithm])[0]["return"]] if path.exists() else []


def _return_so_far(model: Any) -> float:
    """Mean true return of the last 100 episodes of training; NaN before the first."""
    returns = [episode["r"] for episode in model.ep_info_buffer or ()]
    return float(np.mean(returns)) if returns else math.nan


def _trajectories(config: ExpertConfig, model: Learner) -> list[TrajectoryWithRew]:
    """Whole episodes of the deterministic policy, their ``terminal`` being the environment's."""
    found = rollout.rollout(
        model,
        make_vec(config.env, 1, START),
        rollout.make_min_episodes(config.trajectories),
        rng=np.random.default_rng(START),
        deterministic_policy=True,
        exclude_infos=False,
    )
    cut = [bool(t.infos[-1].get("TimeLimit.truncated")) for t in found]  # type: ignore[index]
    return [replace(t, terminal=not c, infos=None) for t, c in zip(found, cut, strict=True)]
