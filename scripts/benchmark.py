"""How far from the floor: `benchmark.py memory` times a write, `benchmark.py step` a training
step, `benchmark.py discriminator` an update and a reward call.

Every time stands beside a floor or a rival measured in the same run. Nothing asserts a time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

from agents.speed import EXPERT_PAIRS, discriminator_speed
from km_rl.errors import at_least_one, exit_on_input_error
from km_rl.evaluate.speed import step_speed, write_speed
from km_rl.results.summary import Row, before_recording, command_of, record
from km_rl.train.provenance import hardware

SHAPES = ((16, 32, 32, 100), (16, 32, 128, 200), (4, 256, 512, 512))
Fact = tuple[str, str, str, float]


@dataclass(frozen=True)
class Memory:
    """Time one write of an episode, in us per item, against its matrix products."""

    repeats: int = 40
    """Timed calls of each kind; the median counts."""
    threads: int = 1
    """Threads that torch may use."""
    record: Path | None = None
    """The folder of the results to record this in."""

    def facts(self) -> Iterator[Fact]:
        """(experiment, setting, metric, value) of every shape."""
        for B, T, K, C in SHAPES:
            speed = write_speed(B, T, K, C, self.repeats)
            us = [1e6 * seconds / (B * T) for seconds in speed]
            ratio = {"ratio_to_floor": us[1] / us[0]}
            names = ("floor", "forward", "forward_backward", "sequential")
            times = {f"{n}_us_per_item": t for n, t in zip(names, us, strict=True)}
            for metric, value in {**times, **ratio}.items():
                yield "memory-speed", f"B={B} T={T} K={K} C={C}", metric, value


@dataclass(frozen=True)
class Step:
    """Time a training step of paper-omniglot's models, all on the same images."""

    repeats: int = 30
    """Timed steps of each model; the median counts."""
    threads: int = 1
    """Threads that torch may use."""
    episodes: int = 16
    """Episodes in a step."""
    length: int = 32
    """Images in an episode."""
    bf16: bool = False
    """Run encoder and decoder in bfloat16."""
    record: Path | None = None
    """The folder of the results to record this in."""

    def facts(self) -> Iterator[Fact]:
        """(experiment, setting, metric, value)."""
        speed = step_speed(self.episodes, self.length, self.repeats, self.bf16)
        setting = f"B={self.episodes} T={self.length}" + (" bf16" if self.bf16 else "")
        machine = speed.pop("km")
        yield "step-cost", setting, "machine_ms", 1e3 * machine
        for kind, seconds in speed.items():
            yield "step-cost", setting, f"{kind}_ms", 1e3 * seconds
        for kind in ("dkm", "dnc", "lrua"):
            yield "step-cost", setting, f"{kind}_ratio_to_machine", speed[kind] / machine
        yield "step-cost", setting, "ratio_to_vae", machine / speed["vae"]


@dataclass(frozen=True)
class Discriminator:
    """Time a memory of pairs as a discriminator against imitation's own net."""

    repeats: int = 50
    """Timed calls of each kind; the median counts. Reward calls are timed 40 times as often."""
    threads: int = 1
    """Threads that torch may use."""
    record: Path | None = None
    """The folder of the results to record this in."""

    def facts(self) -> Iterator[Fact]:
        """(experiment, setting, metric, value)."""
        for metric, value in discriminator_speed(self.repeats).items():
            yield "discriminator-cost", f"{EXPERT_PAIRS} expert pairs", metric, value


KINDS: dict[str, Callable[..., Any]] = {
    "memory": Memory,
    "step": Step,
    "discriminator": Discriminator,
}


@exit_on_input_error()
def main(arguments: list[str] | None = None) -> None:
    """Print the figures, and record them if asked to."""
    arguments = sys.argv[1:] if arguments is None else arguments
    args = tyro.extras.subcommand_cli_from_dict(KINDS, args=arguments)
    at_least_one(**{name: value for name, value in vars(args).items() if type(value) is int})
    code = "" if args.record is None else before_recording(args.record)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    command = command_of("benchmark", arguments)
    rows = []
    about = (None, None, 1, hardware("cpu"), command, code)
    for fact in args.facts():
        print("{:14} {:24} {:28} {:10.3f}".format(*fact), flush=True)
        rows.append(Row._make((*fact, *about)))
    if args.record is not None:
        print(record(rows, args.record))


if __name__ == "__main__":
    main()
