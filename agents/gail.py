"""An imitation run, from its settings to its folder.

Every method is an `Imitator`: it learns in rounds, and between two of them it can be measured,
saved and stopped.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.utils import set_random_seed
from torch import nn

from agents.adversary import Adversary
from agents.cloning import Cloning
from agents.config import GailConfig
from agents.generator import is_finite
from agents.logbook import Logbook, RoundMeans
from agents.task import Task, load_task
from km_rl.errors import InputError, NonFiniteError
from km_rl.files import written_beside
from km_rl.progress import progress_bar
from km_rl.train.signals import noted_signals

POLICY = "policy.zip"


class Imitator(Protocol):
    """What imitates."""

    @property
    def learner(self) -> BaseAlgorithm:
        """Holds the policy."""

    @property
    def model(self) -> nn.Module:
        """The net whose parameters are counted."""

    @property
    def round_steps(self) -> int:
        """Environment steps, or pairs shown, in a round."""

    @property
    def steps(self) -> int:
        """Of all rounds so far."""

    @property
    def recipe(self) -> dict[str, Any]:
        """What decides how it learns and is no setting of the run."""

    def round(self) -> dict[str, float]:
        """Learn for a round; what it logs, under the keys of `agents.logbook`."""

    def save(self, folder: Path) -> None:
        """Write all that `resume` needs."""

    def resume(self, folder: Path) -> None:
        """Go on from what was saved there, if anything was."""


Build = Callable[[GailConfig, Task, RoundMeans], Imitator]
"""Makes an imitator that is at its start."""


def build(config: GailConfig, task: Task, means: RoundMeans) -> Imitator:
    """What the settings ask for, at its start."""
    return (Cloning if config.algorithm == "bc" else Adversary)(config, task, means)


def imitate(config: GailConfig, build: Build = build) -> Path:
    """Imitate to the last step, from where the run's folder stands.

    Args:
        build: makes the imitator, at its start.

    Returns:
        The run folder.

    Raises:
        InputError: settings, demonstrations, an environment or a folder that cannot be used.
        NonFiniteError: the discriminator's loss or a weight of the policy is NaN or infinite.
        KeyboardInterrupt: after a signal, once everything is saved.
    """
    config.validate()
    config = config.resolved()
    task = load_task(config)
    with tempfile.TemporaryDirectory() as empty:
        set_random_seed(config.seed)
        imitator = build(config, task, RoundMeans(empty))
        if imitator.round_steps > config.steps:
            raise InputError(
                f"--steps is {config.steps} where one round takes {imitator.round_steps}: "
                f"give at least as many."
            )
        # An ended run goes on if more steps are asked for, unless a rate depends on their number.
        grows = set() if config.anneal else {"steps"}
        facts = {**task.facts, "data": task.digest, "recipe": imitator.recipe}
        book = Logbook(config, imitator.model, facts, grows)
        imitator.resume(config.folder)
        book.start(imitator.steps)
        try:
            _Loop(imitator, config, task, book).go()
        finally:
            book.close()
    return config.folder


class _Loop:
    """Rounds, and what is due between them."""

    def __init__(self, imitator: Imitator, config: GailConfig, task: Task, book: Logbook) -> None:
        self.imitator, self.config, self.task, self.book = imitator, config, task, book
        lines = book.metrics()
        self.seconds: float = lines[-1]["seconds"] if lines else 0.0
        self.measured = any(
            line["step"] == imitator.steps and "return/mean" in line for line in lines
        )
        self.bar: Any = None

    def go(self) -> None:
        with noted_signals() as signals, self._progress_bar() as self.bar:
            if self._due and not self.measured:
                self._measure()
            while not self._ended:
                self._round()
                if signals:
                    self._stop()
                if self._due:
                    self._save()
                    self._measure()

    @property
    def _ended(self) -> bool:
        return self.imitator.steps + self.imitator.round_steps > self.config.steps

    @property
    def _due(self) -> bool:
        now, every = self.imitator.steps, self.config.evaluate_every
        return self._ended or now // every > (now - self.imitator.round_steps) // every

    def _round(self) -> None:
        started = time.perf_counter()
        try:
            values = self.imitator.round()
        finally:
            self._refuse(not is_finite(self.imitator.learner), "a weight of the policy")
        self.seconds += time.perf_counter() - started
        lost = not math.isfinite(values.get("discriminator/loss", 0.0))
        self._refuse(lost, "the discriminator's loss")
        self.book.record(self.imitator.steps, self.seconds, values)
        self.bar.update(self.imitator.round_steps)

    def _refuse(self, lost: bool, what: str) -> None:
        if lost:
            raise NonFiniteError(
                f"Stopped after {self.imitator.steps} steps: {what} is NaN or infinite; what is "
                f"saved in '{self.config.folder}' is from before: start another run (--name NEW) "
                f"with another --seed or other settings."
            )

    def _measure(self) -> None:
        found = self.task.true_return.of(self.imitator.learner)
        told = {"mean": found.mean, "std": found.std, "length": float(found.lengths.mean())}
        values = {f"return/{name}": value for name, value in told.items()}
        self.book.record(self.imitator.steps, self.seconds, values)
        expert = self.task.facts["expert_return"]
        of = "" if expert is None else f" (expert {expert:,.0f})"
        self.bar.set_postfix_str(f"return {found.mean:,.0f}{of}")

    def _save(self) -> None:
        folder = self.config.folder
        with written_beside(folder / POLICY) as beside, beside.open("wb") as file:
            self.imitator.learner.save(file)
        self.imitator.save(folder)  # the resume point last: what stands beside it is never older

    def _stop(self) -> None:
        self._save()
        raise KeyboardInterrupt(
            f"Interrupted after {self.imitator.steps} steps: all is saved in "
            f"'{self.config.folder}', and the same command goes on from there."
        )

    def _progress_bar(self) -> Any:
        return progress_bar(
            desc=self.config.folder.name,
            total=self.config.steps,
            initial=self.imitator.steps,
            unit="step",
            unit_scale=True,
        )
