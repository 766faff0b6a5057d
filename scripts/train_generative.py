"""Train the Kanerva Machine, or a rival with the same nets, on images.

The same command resumes an interrupted run. Examples:

    python scripts/train_generative.py                        # on the built-in strokes
    python scripts/train_generative.py --model vae            # or dkm, dnc, lrua
    python scripts/train_generative.py --dataset omniglot --data-dir DIR
    python scripts/train_generative.py --dataset cifar10 --data-dir DIR
    accelerate launch --num_processes 2 scripts/train_generative.py    # on two GPUs
    python -m torch.distributed.run --nproc_per_node 2 scripts/train_generative.py    # on CPUs
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import torch
import tyro

from km_rl.config import Config, preset
from km_rl.data import Splits, draw_episodes, load
from km_rl.data.episodes import dimensions, validate
from km_rl.errors import exit_on_input_error
from km_rl.evaluate.bound import bound
from km_rl.evaluate.report import report
from km_rl.evaluate.runs import USUAL
from km_rl.train.loop import train
from km_rl.train.provenance import commit, describe
from km_rl.train.run import Run, is_main_process


def parse(arguments: list[str]) -> Config:
    """Settings of the preset (of the data set's own, if none is named) and of the flags."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--dataset")
    early.add_argument("--preset")
    known, _ = early.parse_known_args(arguments)
    usual = known.preset or USUAL.get(known.dataset, "strokes")
    config = tyro.cli(Config, args=arguments, default=preset(usual), description=__doc__)
    config.validate()
    return config.resolved()


def trained(arguments: list[str], data: Splits | None = None) -> Config:
    """Train as the arguments say, on data that are loaded unless given; the run's settings."""
    config = parse(arguments)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    data = data or load(config.dataset, config.data_dir, config.split)
    episodes: dict[str, Any] = {
        "classes": config.classes,
        "binarisation": config.binarisation,
    }
    B, T = config.episodes_per_batch, config.episode_length
    for part in data:
        validate(part, episodes=B, length=T, **episodes)
    torch.manual_seed(config.seed)
    model = config.build_model()
    command = ("scripts/train_generative.py", *arguments)
    run = Run(config.folder, config, describe(model, command) | {"data": data.digest})
    if is_main_process():
        print(f"{config.folder}: {config.model} on {config.dataset}, precision {config.precision}")

    train(
        model,
        lambda generator: draw_episodes(data.train, B, T, generator=generator, **episodes),
        config,
        run,
        lambda model: bound(
            model,
            data.test,
            episode_length=T,
            limit=max(T, config.evaluate_images),
            sample_memory=config.sample_memory,
            seed=0,
            **episodes,
        ),
        dimensions(data.train, config.binarisation),
    )
    return config


@exit_on_input_error()
def main(arguments: list[str] | None = None) -> None:
    """Train as the arguments say, then write and announce the report."""
    config = trained(sys.argv[1:] if arguments is None else arguments)
    if is_main_process():
        print(report([config.folder], data_dir=config.data_dir, commit=commit(), anew=False))


if __name__ == "__main__":
    main()
