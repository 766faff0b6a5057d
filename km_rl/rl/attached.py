"""SB3's callbacks inside imitation's adversarial trainers, in one line.

::

    attach(trainer, EvalCallback(eval_venv, eval_freq=1_000), SaveTraining("run", every=50_000))
    trainer.train(1_000_000)

GAIL and AIRL call SB3's ``learn`` once a round, and SB3 takes each call for a training of its own.
Attached callbacks see one training instead:

* they are initialised and started once for each ``trainer.train``, and ended once, so a progress
  bar spans it and a log file is opened once;
* one that returns False ends the rollout at once, as in SB3, and ``trainer.train`` after that
  round, whose discriminator updates still run: what is left behind can be saved and resumed;
* a `TrainerCallback` is told when a round is over.

`EvalCallback` reports the true return if its environment is one of its own, as the trainer's pays
the learned reward. Inside a round imitation averages what is logged, under ``mean/gen/``: log
nothing but floats.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from stable_baselines3.common.callbacks import BaseCallback, CallbackList, EventCallback

from km_rl.errors import InputError
from km_rl.rl.traps import warn_of_traps

if TYPE_CHECKING:
    from imitation.algorithms.adversarial.common import AdversarialTrainer

Trainer = TypeVar("Trainer", bound="AdversarialTrainer")


class TrainerCallback(BaseCallback):
    """A callback that knows the trainer it is attached to and hears when a round is over."""

    trainer: AdversarialTrainer | None = None

    def on_attach(self, trainer: AdversarialTrainer) -> None:
        """Called by `attach`."""
        self.trainer = trainer

    def on_round_end(self) -> None:
        """Called after the discriminator's updates, when nothing is half done."""

    def on_interrupt(self) -> None:
        """Called in place of the end of training where an exception ends it, Ctrl-C among them."""

    def _on_step(self) -> bool:
        return True


class Attached(CallbackList):
    """A trainer's callbacks: one training, from the first round to the last.

    Who calls ``train_gen`` and ``train_disc`` in a loop of his own has his callbacks started once
    and calls `on_round_end` and `finish` himself.

    Attributes:
        stopped: whether a callback asked for the end of training.
    """

    def __init__(self, trainer: AdversarialTrainer) -> None:
        super().__init__([])
        self.trainer, self.stopped = trainer, False
        self._train = trainer.train
        self._started: list[BaseCallback] = []
        self._total_timesteps: int | None = None
        own = trainer.gen_callback
        for callback in [] if own is None else own if isinstance(own, list) else [own]:
            self.add(callback)

    def add(self, callback: BaseCallback) -> None:
        """Take in one more, of a list all that are in it; they are started with the next round.

        Raises:
            InputError: a `TrainerCallback` inside an event, which would not hear of the trainer.
        """
        if type(callback) is CallbackList:
            for one in callback.callbacks:
                self.add(one)
            return
        inner = callback
        while isinstance(inner, EventCallback) and inner.callback is not None:
            inner = inner.callback
            if isinstance(inner, TrainerCallback):
                raise InputError(
                    f"A {type(inner).__name__} inside a {type(callback).__name__} was to be "
                    f"attached, where it would not hear of the trainer: attach it by itself."
                )
        self.callbacks.append(callback)
        if isinstance(callback, TrainerCallback):
            callback.on_attach(self.trainer)

    def train(self, total_timesteps: int, callback: Callable[[int], None] | None = None) -> None:
        """Takes the place of ``trainer.train``, with the same arguments."""
        rounds = total_timesteps // self.trainer.gen_train_timesteps
        steps = rounds * self.trainer.gen_train_timesteps
        self._total_timesteps = self.trainer.gen_algo.num_timesteps + steps
        self.stopped, self._started = False, []

        def end_round(number: int) -> None:
            if callback is not None:
                callback(number)
            self.on_round_end()
            if self.stopped:
                raise _Stopped

        try:
            self._train(total_timesteps, callback=end_round)
        except _Stopped:
            self.trainer.logger.dump(self.trainer._global_step)
        except BaseException:
            for one in self.callbacks:
                if isinstance(one, TrainerCallback):
                    one.on_interrupt()
            raise
        self.finish()

    def on_round_end(self) -> None:
        """Tell the callbacks that care that the discriminator has had its updates."""
        for callback in self.callbacks:
            if isinstance(callback, TrainerCallback):
                callback.on_round_end()

    def finish(self) -> None:
        """End the training; callbacks start anew with the next round."""
        for callback in self._started:
            callback.on_training_end()
        self._started = []

    def _init_callback(self) -> None:
        with warnings.catch_warnings():
            # SB3's EvalCallback; the training environment is wrapped here and its own never is.
            warnings.filterwarnings("ignore", message="Training and eval env are not of the same")
            for callback in self.callbacks:
                if callback not in self._started:
                    callback.init_callback(self.model)

    def _on_training_start(self) -> None:
        if self._total_timesteps is not None:
            self.locals["total_timesteps"] = self._total_timesteps
        for callback in self.callbacks:
            if callback not in self._started:
                callback.on_training_start(self.locals, self.globals)
                self._started.append(callback)

    def _on_step(self) -> bool:
        self.stopped = not super()._on_step()
        return not self.stopped

    def _on_training_end(self) -> None:
        """Of a round, which is not the end for those attached."""


class _Stopped(Exception):
    """Leaves imitation's loop, which has no other way out."""


def attach(trainer: Trainer, *callbacks: BaseCallback) -> Trainer:
    """Put SB3 callbacks into imitation's GAIL or AIRL; attaching again appends.

    Warns of what would go wrong without a word, see `km_rl.rl.traps`.

    From now on ``trainer.gen_callback`` is an `Attached`, and so is what runs ``trainer.train``.

    Returns:
        The same trainer.

    Raises:
        InputError: not an adversarial trainer, or something that is no SB3 callback.
    """
    if not hasattr(trainer, "gen_callback"):
        raise InputError(
            f"Callbacks were to be attached to a {type(trainer).__name__}: imitation's GAIL or "
            f"AIRL is expected; give an SB3 algorithm its callbacks by learn(callback=...)."
        )
    for callback in callbacks:
        if not isinstance(callback, BaseCallback):
            raise InputError(
                f"A {type(callback).__name__} was to be attached: an SB3 callback is expected; "
                f"wrap a function by SB3's ConvertCallback, and give several one by one."
            )
    warn_of_traps(trainer)
    attached = _attached(trainer)
    for callback in callbacks:
        attached.add(callback)
    return trainer


def _attached(trainer: AdversarialTrainer) -> Attached:
    """The trainer's own, put in if it has none yet."""
    found: Any = trainer.gen_callback
    if not isinstance(found, Attached):
        found = Attached(trainer)
        trainer.gen_callback = found
        trainer.train = found.train  # type: ignore[method-assign]
    return found
