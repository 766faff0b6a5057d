"""What the training loop obeys, whichever model it trains and whatever the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from km_rl.errors import InputError

Precision = Literal["auto", "no", "bf16"]
Schedule = Literal["cosine", "constant"]


@dataclass(frozen=True)
class Recipe:
    """Steps, step sizes, seed and how often to look. A model and its baseline share one."""

    steps: int = 3500
    """Training steps; one is an update on `episodes_per_batch` episodes for each process."""
    learning_rate: float = 2e-3
    """Adam's step size at its highest."""
    schedule: Schedule = "cosine"
    """After the warm-up: fall to `final_share` along a cosine, or stay."""
    warmup_steps: int = 300
    """Steps over which the step size rises in a straight line from 0."""
    final_share: float = 0.0
    """What the cosine ends at, as a share of `learning_rate`."""
    clip_norm: float = 10.0
    """Longest gradient, over all parameters; a longer one is shortened to it."""
    sample_memory: bool = False
    """Read from a draw of the memory in training, not from its mean."""
    address_kl_warmup_steps: int = 1000
    """Steps over which the weight of KL(y) in the loss rises from 0.1 to 1, the bound."""
    memory_kl_weight: float = 0.0
    """How much of KL(M)/T the loss counts: 0 is the paper, 1 the bound on ln p(X)."""
    precision: Precision = "auto"
    """Mixed precision: bf16, none, or bf16 on a CPU that has it and none on a GPU ("auto")."""
    cuda_graphs: bool = False
    """On one GPU without mixed precision, start the kernels of a step all at once, see
    docs/speed.md."""
    seed: int = 0
    """Of the weights, the episodes and the noise."""
    log_every: int = 50
    """Steps between lines of metrics.jsonl; each is a mean over these steps."""
    evaluate_every: int = 500
    """Steps between checks on the test set; there is one at the end in any case."""
    checkpoint_every: int = 500
    """Steps between checkpoints; there is one at the end and on Ctrl-C in any case."""

    def validate(self) -> None:
        """Refuse numbers that no training can follow.

        Raises:
            InputError: one sentence for the first that does not fit.
        """
        at_least(self, 1, "steps", "log_every", "evaluate_every", "checkpoint_every")
        at_least(self, 0, "warmup_steps", "address_kl_warmup_steps", "seed")
        at_least(self, 0, "final_share", "memory_kl_weight")
        if self.seed >= 2**32:  # torch would take it modulo that
            raise InputError(f"--seed is {self.seed}: give a whole number below 2**32.")
        above_zero(self, "learning_rate", "clip_norm")
        if self.memory_kl_weight > 0 and not self.sample_memory:
            raise InputError(
                f"--memory-kl-weight is {self.memory_kl_weight} while the memory is read at its "
                f"mean, which bounds nothing once KL(M) counts: add --sample-memory."
            )
        one_of(self, "schedule", ("cosine", "constant"))
        one_of(self, "precision", ("auto", "no", "bf16"))

    def learning_rate_at(self, step: int) -> float:
        """Adam's step size at a step, counted from 0."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        if self.schedule == "constant":
            return self.learning_rate
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        share = (1 + math.cos(math.pi * min(1.0, done))) / 2
        return self.learning_rate * (self.final_share + (1 - self.final_share) * share)

    def address_kl_weight_at(self, step: int) -> float:
        """The weight of KL(y) in the loss at a step, counted from 0."""
        if step >= self.address_kl_warmup_steps:
            return 1.0
        return 0.1 + 0.9 * step / self.address_kl_warmup_steps


def resolve_precision(precision: Precision) -> Literal["no", "bf16"]:
    """What "auto" means here: bf16 on a CPU that multiplies it natively, else no.

    On a GPU the paper's nets are so small that a step is spent on starting kernels, of which
    autocast needs more: see docs/speed.md.
    """
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        return "no"
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return "bf16" if any(getattr(torch.cpu, p, bool)() for p in probes) else "no"


def at_least(record: object, least: int, *names: str) -> None:
    """Refuse a field that is not finite or below ``least`` with an `InputError`; None passes."""
    for name in names:
        value = getattr(record, name)
        if value is not None and not least <= value < math.inf:
            raise InputError(f"{_flag(name)} is {value}: give a number of at least {least}.")


def plain_name(record: object, name: str) -> None:
    """Refuse a field that is not the name of one folder with an `InputError`; None passes."""
    value = getattr(record, name)
    if value is not None and (value == ".." or Path(value).name != value):
        raise InputError(f"{_flag(name)} is '{value}': give one name without a path.")


def above_zero(record: object, *names: str) -> None:
    """Refuse a field that is not positive and finite, in float32, too, with an `InputError`."""
    for name in names:
        value = getattr(record, name)
        if not 0 < torch.tensor(float(value), dtype=torch.float32) < math.inf:
            raise InputError(f"{_flag(name)} is {value}: give a finite number above 0.")


def one_of(record: object, name: str, known: tuple[str, ...]) -> None:
    """Refuse a field that is not one of ``known`` with an `InputError`."""
    value = getattr(record, name)
    if value not in known:
        raise InputError(f"{_flag(name)} is '{value}': give one of {', '.join(known)}.")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
