"""Few-shot discriminators side by side: trained on many experts, tested on new ones.

::

    runs/few-shot/<family>/<setting>-<seed>/
    ├── config.json          every setting, and under "about" the commit, versions and hardware
    ├── metrics.jsonl        ``step``, ``seconds`` and ``loss``, cross-entropy in nats; of
    │                        ``generative`` -ln p(a|s)
    ├── tb/                  the same numbers as TensorBoard events
    ├── training.pt          where the same command resumes
    ├── model.safetensors    the trained discriminator
    └── learners/            what agents that it paid did early, if that was asked for
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.few_shot.learners import with_learners
from agents.few_shot.settings import MEMORY, SETTINGS, build
from agents.logbook import Logbook
from envs.tasks import Family
from km_rl.errors import InputError
from km_rl.nn.saves import damaged, load_state, save_state
from km_rl.progress import progress_bar
from km_rl.rl.few_shot import FewShot
from km_rl.rl.meta_training import MetaRecipe, MetaTraining
from km_rl.rl.tasks import Tasks
from km_rl.train.signals import noted_signals

TRAINING, MODEL, LEARNERS = "training.pt", "model.safetensors", "learners"
LOG_EVERY, SAVE_EVERY = 50, 500
OF = "this meta-training"


@dataclass(frozen=True)
class MetaConfig:
    """A discriminator of one setting, what it is built from, and how it is trained."""

    family: str
    setting: str
    recipe: MetaRecipe
    options: Mapping[str, Any]
    tasks: int
    digest: str
    run_dir: Path

    @property
    def folder(self) -> Path:
        """The run folder."""
        return folder_of(self.family, self.setting, self.recipe.seed, self.run_dir)


def folder_of(family: str, setting: str, seed: int, run_dir: Path) -> Path:
    """Where the discriminator of a setting and a seed lies."""
    return run_dir / "few-shot" / family / f"{setting}-{seed}"


def meta_trained(family: Family, name: str, recipe: MetaRecipe, run_dir: Path) -> FewShot:
    """The discriminator of a setting, loaded where it is there, or trained from where it stands.

    Raises:
        InputError: no such setting, or a folder that holds another training.
        NonFiniteError: the loss is NaN or infinite.
        KeyboardInterrupt: after a signal, once everything is saved.
    """
    if name not in SETTINGS:
        raise InputError(f"--settings names '{name}': give some of {', '.join(SETTINGS)}.")
    setting = SETTINGS[name]
    if setting.like is not None:
        trained = meta_trained(family, setting.like, recipe, run_dir)
        model = setting.model.build(**{**trained.spec, **setting.options})
        model.load_state_dict(trained.state_dict())
        return model.eval()
    train = family.train
    if setting.learners:
        train = with_learners(family, *payer(family, recipe, run_dir))
    tasks = Tasks(train)
    recipe = MetaRecipe(**{**vars(recipe), **setting.recipe})
    torch.manual_seed(recipe.seed)
    model = build(setting, tasks)
    if not setting.trained:
        model.stats.restart(tasks.rows)
        return model.eval()
    given = recipe, model.spec, len(tasks), tasks.digest, run_dir
    config = MetaConfig(family.name, name, *given)
    _train(MetaTraining(model, tasks, recipe), config)
    return model.eval()


def trained_by(family: str, name: str, seed: int, run_dir: Path) -> list[str]:
    """Commits of the code that trained a setting, and the one that it comes after."""
    if name not in SETTINGS:
        return []
    setting, found = SETTINGS[name], []
    if (before := MEMORY if setting.learners else setting.like) is not None:
        found = trained_by(family, before, seed, run_dir)
    path = folder_of(family, name, seed, run_dir) / "config.json"
    if path.exists():
        found.append(json.loads(path.read_text())["about"]["commit"] or "")
    return found


def payer(family: Family, recipe: MetaRecipe, run_dir: Path) -> tuple[FewShot, Path, int]:
    """The memory that pays learners, where what they did early lies, and their seed."""
    folder = folder_of(family.name, MEMORY, recipe.seed, run_dir) / LEARNERS
    return meta_trained(family, MEMORY, recipe, run_dir), folder, recipe.seed


def _train(training: MetaTraining, config: MetaConfig) -> None:
    """To the last step, from where the folder stands."""
    book = Logbook(config, training.model, {})
    resume(training, config.folder / TRAINING)
    if training.steps == config.recipe.steps:
        with suppress(InputError):  # of a file that is gone or damaged
            type(training.model).load(config.folder / MODEL)
            return  # nothing to write, so others may load it at the same time
    book.start(training.steps)
    try:
        with noted_signals() as signals, _bar(training, config) as bar:
            _steps(training, config, book, bar, signals)
    finally:
        book.close()
    training.model.save(config.folder / MODEL)


def _steps(
    training: MetaTraining, config: MetaConfig, book: Logbook, bar: Any, signals: list[int]
) -> None:
    before = max((line["seconds"] for line in book.metrics()), default=0.0)
    started, losses = time.perf_counter(), []
    while training.steps < config.recipe.steps:
        losses.append(training.step())
        bar.update()
        if training.steps % LOG_EVERY == 0:
            seconds = before + time.perf_counter() - started
            book.record(training.steps, seconds, {"loss": float(np.mean(losses))})
            bar.set_postfix_str(f"loss {np.mean(losses):.3f}", refresh=False)
            losses = []
        last = training.steps == config.recipe.steps
        if last or signals or training.steps % SAVE_EVERY == 0:
            save(training, config.folder / TRAINING)
        if signals:
            raise KeyboardInterrupt(
                f"Interrupted after {training.steps} steps: all is saved in '{config.folder}', "
                f"and the same command goes on from there."
            )


def save(training: MetaTraining, path: Path) -> None:
    """Write all that `resume` needs; it appears whole or not."""
    save_state(path, training.state())


def resume(training: MetaTraining, path: Path) -> None:
    """Go on from a file that `save` wrote, if there is one.

    Raises:
        InputError: the file is damaged, or of another model.
    """
    if not path.exists():
        return
    saved = load_state(path, training.state(), OF)
    try:
        training.restore(saved)
    except Exception as error:  # a file can be broken in any way
        raise damaged(path, OF) from error


def _bar(training: MetaTraining, config: MetaConfig) -> Any:
    return progress_bar(
        total=config.recipe.steps,
        initial=training.steps,
        desc=f"{config.setting}-{config.recipe.seed}",
        unit="step",
    )
