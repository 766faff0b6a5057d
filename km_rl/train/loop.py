"""The training loop of models of images: draw episodes, descend the bound, log, evaluate, save.

Device and processes are `accelerate`'s: alone it trains on a GPU where there is one, and started
by ``accelerate launch`` each process draws its own episodes. It trains any module that maps
episodes to an `Elbo`. Mixed precision is an autocast around the forward pass, so that whoever
holds the model sees it as it is, in full precision.

Logged keys: see `km_rl.train.run`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, gather_object
from torch import Tensor, nn

from km_rl.core.elbo import Elbo
from km_rl.core.linalg import NotPositiveDefiniteError
from km_rl.errors import InputError, NonFiniteError
from km_rl.nn.likelihoods import bits_per_dimension
from km_rl.progress import progress_bar
from km_rl.train.checkpoint import (
    Progress,
    load_checkpoint,
    random_state,
    restore_random_state,
    restore_weights,
    save_checkpoint,
)
from km_rl.train.objective import Objective, record
from km_rl.train.recipe import Recipe, resolve_precision
from km_rl.train.run import Run
from km_rl.train.signals import noted_signals

Draw = Callable[[torch.Generator], Tensor]
Evaluate = Callable[[nn.Module], dict[str, float]]


class Interrupted(KeyboardInterrupt):
    """A run was asked to stop, saved a checkpoint and stopped; says how to go on."""


def train(
    model: nn.Module,
    draw: Draw,
    recipe: Recipe,
    run: Run,
    evaluate: Evaluate | None = None,
    dimensions: int | None = None,
) -> dict[str, float]:
    """Train until ``recipe.steps``, from the run's checkpoint if it has one.

    Resumed at a checkpoint, a run continues its random streams and repeats what it would have done
    without a stop, on a CPU with as many threads bit by bit. SIGINT and SIGTERM save a checkpoint
    first.

    Args:
        model: ``model(images, sample_memory=...)`` returns an `Elbo`.
        draw: episodes with shape (B, T, channels, H, W) from a generator.
        evaluate: from the model, in evaluation mode and without gradients, to named numbers,
            which are logged as ``test/<name>``.
        dimensions: of an image, if pixels have a density: the bound is then told and logged in
            bits per dimension too.

    Returns:
        The last means and the last evaluation under the keys of `km_rl.train.run`.

    Raises:
        InputError: a setting, a checkpoint or a batch that cannot be used.
        NonFiniteError: a loss or a gradient is NaN or infinite; the last checkpoint stays.
        Interrupted: after a signal, once the checkpoint is saved.
    """
    recipe.validate()
    loop = _Loop(model, draw, recipe, run, evaluate)
    loop.dimensions = dimensions
    loop.resume()
    run.start(loop.progress.step)
    try:
        with noted_signals() as loop.signals, loop.progress_bar() as loop.bar:
            loop.go()
    finally:
        run.close()
    return loop.latest


class _Loop:
    """One training: the model with its optimiser, its random streams and how far it is."""

    def __init__(
        self, model: nn.Module, draw: Draw, recipe: Recipe, run: Run, evaluate: Evaluate | None
    ) -> None:
        cpu = not torch.cuda.is_available()
        # Every step is alike, and of a DNC that writes one image not every part has a gradient.
        alike = DistributedDataParallelKwargs(static_graph=True)
        self.accelerator = Accelerator(cpu=cpu, mixed_precision="no", kwargs_handlers=[alike])
        self.device = self.accelerator.device
        self.bf16 = resolve_precision(recipe.precision) == "bf16"
        self.bare, self.model = model, self.accelerator.prepare_model(model)
        self.objective = Objective(self.model, recipe)
        alone = self.accelerator.num_processes == 1 and self.device.type == "cuda"
        self.unrecorded = recipe.cuda_graphs and alone and not self.bf16
        self.optimiser = torch.optim.Adam(model.parameters(), recipe.learning_rate, fused=True)
        self.draw, self.recipe, self.run, self.evaluate = draw, recipe, run, evaluate
        self.generator = torch.Generator()
        self.ahead: Tensor | None = None
        self.episodes_state = self.generator.get_state()
        self.progress = Progress()
        self.saved_step: int | None = None
        self.signals: list[int] = []
        self.latest: dict[str, float] = {}
        self.bar: Any = None
        self.dimensions: int | None = None

    def resume(self) -> None:
        """Go back to the last checkpoint, or to the start."""
        processes, process = self.accelerator.num_processes, self.accelerator.process_index
        episodes, noise = stream_seeds(self.recipe.seed, process)
        self.generator.manual_seed(episodes)
        torch.manual_seed(noise)
        checkpoint = load_checkpoint(self.run.folder, self.bare, self.optimiser, processes)
        if checkpoint is not None:
            self.progress, streams = checkpoint
            restore_random_state(streams[process], self.generator, self.device)
            self.saved_step = self.progress.step

    def progress_bar(self) -> Any:
        """A bar that starts where the run is; silent in all processes but the first."""
        return progress_bar(
            desc=self.run.folder.name,
            total=self.recipe.steps,
            initial=self.progress.step,
            unit="step",
            disable=not self.run.writes,
        )

    def go(self) -> None:
        """Step until done, and do between steps what is due."""
        self.bare.train()
        if self.run.writes:
            restore_weights(self.run.folder, self.bare)
        if self._due(self.recipe.evaluate_every) and not self._evaluated():
            self._evaluate()
        while self.progress.step < self.recipe.steps:
            stop = self._step()
            if self._due(self.recipe.log_every):
                self._log()
            if stop or self._due(self.recipe.checkpoint_every):
                self._save()
            if stop:
                raise Interrupted(
                    f"Interrupted at step {self.progress.step}: a checkpoint is saved in "
                    f"'{self.run.folder}', and the same command goes on from it."
                )
            if self._due(self.recipe.evaluate_every):
                self._evaluate()
        if self.signals:
            raise Interrupted(
                f"Interrupted in the last evaluation: '{self.run.folder}' is trained; the same "
                f"command goes on with what follows."
            )
        if not self.latest:
            self.latest = {k: v for line in self.run.metrics() for k, v in line.items()}

    def _due(self, every: int) -> bool:
        step = self.progress.step
        return step > 0 and (step % every == 0 or step == self.recipe.steps)

    def _evaluated(self) -> bool:
        """Whether the evaluation of this step was logged, before a run that is resumed ended."""
        lines = [line for line in self.run.metrics() if line["step"] == self.progress.step]
        return any(name.startswith("test/") for line in lines for name in line)

    def _step(self) -> bool:
        """One update; whether any process was asked to stop."""
        started = time.perf_counter()
        images = (self._draw() if self.ahead is None else self.ahead).to(self.device)
        rate = self.recipe.learning_rate_at(self.progress.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        *values, stops = self._gradient(images)
        self.optimiser.step()
        self.optimiser.zero_grad()
        processes = self.accelerator.num_processes
        self._count(values, images.shape[0] * images.shape[1] * processes, started)
        return stops > 0

    def _gradient(self, images: Tensor) -> list[float]:
        """Backward pass; the four terms, the gradient's norm and the signals noted.

        The next episodes are drawn before the numbers are asked for, while a GPU is at work.
        """
        address = self.recipe.address_kl_weight_at(self.progress.step)
        weight = torch.tensor(address, device=self.device)
        if self.unrecorded:
            record(self.objective, images, weight)
            self.unrecorded = False
        try:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                loss, terms = self.objective(images, weight)
        except NotPositiveDefiniteError as error:
            raise self._not_finite(images, "the memory's covariance") from error
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        facts = torch.cat([terms, torch.stack([norm, norm.new_tensor(len(self.signals))])])
        if self.accelerator.num_processes > 1:
            facts = self.accelerator.reduce(facts, "mean")
        self.ahead = self._draw()
        values: list[float] = facts.tolist()
        if not all(map(math.isfinite, values)):
            named = zip(Elbo._fields, values, strict=False)
            bad = [name for name, value in named if not math.isfinite(value)]
            raise self._not_finite(images, " and ".join(bad) or "the gradient")
        return values

    def _draw(self) -> Tensor:
        """The next episodes; the stream's state before them is what a checkpoint keeps."""
        self.episodes_state = self.generator.get_state()
        return self.draw(self.generator)

    def _not_finite(self, images: Tensor, what: str) -> Exception:
        step = self.progress.step + 1
        if not images.isfinite().all():
            return InputError(
                f"The images drawn for step {step} hold NaN or infinity: "
                f"finite pixels in 0..1 are expected; mend the data and start again."
            )
        kept = (
            f"the checkpoint of step {self.saved_step} in '{self.run.folder}' is good"
            if self.saved_step is not None
            else f"there is no checkpoint yet in '{self.run.folder}'"
        )
        return NonFiniteError(
            f"Stopped at step {step}: {what} is NaN or infinite; {kept}: "
            f"start another run (--name NEW) with a lower --learning-rate or --clip-norm."
        )

    def _count(self, values: list[float], images: int, started: float) -> None:
        progress, seconds = self.progress, time.perf_counter() - started
        progress.step += 1
        progress.images += images
        progress.seconds += seconds
        names = (*Elbo._fields, "grad_norm", "steps", "images", "seconds")
        for name, value in zip(names, [*values, 1, images, seconds], strict=True):
            progress.window[name] = progress.window.get(name, 0.0) + value
        self.bar.update()

    def _log(self) -> None:
        window, steps = self.progress.window, self.progress.window["steps"]
        means = {name: window[name] / steps for name in (*Elbo._fields, "grad_norm")}
        bound = means["distortion"] + means["rate_y"] + means["rate_z"]
        rate = self.recipe.learning_rate_at(self.progress.step - 1)
        speed = window["images"] / window["seconds"]
        named = {"bound": bound, "full_bound": bound + means["rate_memory"]}
        named |= {**means, "learning_rate": rate}
        told = f"bound {bound:.2f}"
        if self.dimensions is not None:
            named["bits_per_dim"] = bits_per_dimension(bound, self.dimensions)
            told = f"{named['bits_per_dim']:.3f} bits/dim"
        self._write({f"train/{k}": v for k, v in named.items()} | {"images_per_second": speed})
        self.bar.set_postfix_str(
            f"{told}, KL(y) {means['rate_y']:.2f}, KL(z) {means['rate_z']:.2f}, "
            f"{speed:.0f} images/s",
            refresh=False,
        )
        window.clear()

    def _evaluate(self) -> None:
        """Evaluate in the first process, with the random streams left as they were."""
        if self.evaluate is None or not self.run.writes:
            return
        gpus = [self.device] if self.device.type == "cuda" else []
        self.bare.eval()
        with torch.random.fork_rng(devices=gpus), torch.no_grad():
            results = self.evaluate(self.bare)
        self.bare.train()
        self._write({f"test/{name}": value for name, value in results.items()})

    def _write(self, values: dict[str, float]) -> None:
        progress = self.progress
        self.run.log(progress.step, progress.images, progress.seconds, values)
        position = {"step": progress.step, "images": progress.images, "seconds": progress.seconds}
        self.latest |= position | values

    def _save(self) -> None:
        streams = gather_object([random_state(self.episodes_state, self.device)])
        if self.run.writes:
            save_checkpoint(self.run.folder, self.bare, self.optimiser, self.progress, streams)
        self.saved_step = self.progress.step


def stream_seeds(seed: int, process: int) -> tuple[int, int]:
    """Seeds of a process's episodes and of its sampling noise, all unrelated to each other."""
    source = torch.Generator().manual_seed(seed)
    seeds = torch.randint(2**62, (process + 1, 2), generator=source)
    episodes, noise = seeds[process].tolist()
    return episodes, noise
