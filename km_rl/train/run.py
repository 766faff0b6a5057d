"""The run folder: what was asked, what was measured, and the weights.

::

    runs/<name>/
    ├── config.json         every setting, and under "about" the commit, versions and hardware
    ├── metrics.jsonl       one JSON object a line, as below
    ├── tb/                 the same numbers as TensorBoard events
    ├── training.pt         where the same command resumes
    └── model.safetensors   the weights, for `KanervaMachine.from_run`

Every logged key (losses in nats per image; lower is better):

==========================  =====================================================================
``step``                    training steps done
``images``                  images trained on, with repetition, over all processes
``seconds``                 time spent in training steps, evaluation and saving not counted
``train/bound``             the paper's bound: distortion, rate_y and rate_z summed
``train/full_bound``        that and rate_memory; with --sample-memory it bounds -ln p(X)
``train/bits_per_dim``      train/bound in bits per dimension, where pixels have a density
``train/distortion``        -ln p(x|z)
``train/rate_y``            KL(q(y|x) || p(y))
``train/rate_z``            KL(q(z|x, y, M) || p(z|y, M))
``train/rate_memory``       KL(q(M|X) || p(M)) / T
``train/grad_norm``         length of the gradient before clipping
``train/learning_rate``     Adam's step size at the last of these steps
``images_per_second``       images over seconds, over these steps
``test/<name>``             what the evaluation at this step returned, see `km_rl.evaluate.bound`
==========================  =====================================================================

The ``train`` lines are means over the steps since the line before.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from km_rl.errors import InputError
from km_rl.files import locked, written_beside
from km_rl.train.provenance import joined_once
from km_rl.train.recipe import Recipe

if TYPE_CHECKING:
    from filelock import FileLock
    from torch.utils.tensorboard import SummaryWriter

FREE = {
    "preset",
    "name",
    "data_dir",
    "run_dir",
    "threads",
    "cuda_graphs",
    "evaluate_every",
    "evaluate_images",
    "checkpoint_every",
    "log_every",
}
"""Settings that a resumed run may change: they do not alter what a training step computes, but for
rounding, which the number of threads does."""

SITTING = {"commit": "+", "hardware": " + ", "command": " && "}
"""Facts that may differ where a run is gone on with, and what stands between two of one."""


class Run:
    """An open run folder. Of several processes only the first writes to it.

    Args:
        folder: made if it does not exist; if it does, the run is resumed.
        config: every setting of the run.
        about: facts that are recorded with a new run, see `describe`. Under "recipe" may stand
            what decides a run and is no setting of it, under "data" a digest of what it learns
            from: neither another recipe nor other data are gone on with.
        grows: settings that a resumed run may raise: numbers of which more is only longer.

    Raises:
        InputError: the folder cannot be written, or belongs to a run with other settings.
    """

    def __init__(
        self,
        folder: str | Path,
        config: Recipe,
        about: Mapping[str, Any] | None = None,
        grows: Collection[str] = (),
    ) -> None:
        self.folder, self.grows = Path(folder), grows
        self._grown: dict[str, Any] = {}
        self._elsewhere: dict[str, Any] = {}
        self.writes = is_main_process()
        self._board: SummaryWriter | None = None
        self._lock: FileLock | None = None
        if self.writes:
            settings = json.loads(json.dumps(asdict(config), default=str))
            self._claim(config, settings, dict(about or {}))

    def start(self, step: int) -> None:
        """Begin to log after ``step``; what an interrupted run logged beyond it is dropped.

        A run that has grown now says so, and by what it was made from here on.

        Raises:
            InputError: another process trains this run.
        """
        if not self.writes:
            return
        self._lock = locked(self.folder)
        if self._grown:
            self._keep(self._grown)
        from torch.utils.tensorboard import SummaryWriter

        kept = [line for line in self.metrics() if line.get("step", step + 1) <= step]
        with written_beside(self.folder / "metrics.jsonl") as beside:
            beside.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self._board = SummaryWriter(str(self.folder / "tb"), purge_step=step + 1)

    def log(self, step: int, images: int, seconds: float, values: Mapping[str, float]) -> None:
        """Append one line, and the same values to TensorBoard.

        Raises:
            InputError: the disk is full, or the folder can no longer be written to.
        """
        if self.writes:
            told = {"step": step, "images": images, "seconds": round(seconds, 3)}
            self._append(told, values)

    def _append(self, told: Mapping[str, float], values: Mapping[str, float]) -> None:
        """A line of both, and the values to TensorBoard at the step that is told."""
        self.tell_sitting()
        line = {**told, **values}
        try:
            with (self.folder / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise InputError(
                f"'{self.folder / 'metrics.jsonl'}' cannot be written ({error.strerror}): make "
                f"room; the same command goes on from the last checkpoint."
            ) from error
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, told["step"])

    def tell_sitting(self) -> None:
        """Before the first new line of a resumed run: on what and by what code it goes on."""
        if self._elsewhere:
            self._keep(self._elsewhere)
            self._elsewhere = {}

    def metrics(self) -> list[dict[str, Any]]:
        """Every line logged so far; a last line that was cut off is left out."""
        try:
            text = (self.folder / "metrics.jsonl").read_text(errors="replace")
        except FileNotFoundError:
            return []
        return [record for line in text.splitlines() if (record := _parsed(line))]

    def close(self) -> None:
        """Finish the TensorBoard file and let others write."""
        if self._board is not None:
            self._board.close()
            self._board = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _claim(self, config: Recipe, settings: dict[str, Any], about: dict[str, Any]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if (self.folder / "config.json").exists():
                self._compare({one.name: one.default for one in fields(config)}, settings, about)
                return
            if (self.folder / "training.pt").exists():
                raise InputError(
                    f"'{self.folder}' holds a training without its config.json, so nobody knows "
                    f"its settings: copy that file, too, or give another --run-dir (or --name)."
                )
            self._keep({**settings, "about": about})
        except OSError as error:
            raise InputError(
                f"The run folder '{self.folder}' cannot be written ({error.strerror}): "
                f"give another place with --run-dir."
            ) from error

    def _compare(
        self, defaults: dict[str, Any], settings: dict[str, Any], about: dict[str, Any]
    ) -> None:
        """Refuse other settings; one that an older version did not name was at its default."""
        saved = _parsed((self.folder / "config.json").read_text(errors="replace"))
        if saved is None:
            raise InputError(
                f"'{self.folder / 'config.json'}' is not readable as JSON: "
                f"delete the folder, or give another --run-dir."
            )
        before = saved.get("about") or {}
        free = FREE | {"demos"} if "data" in before else FREE  # their digest is compared below
        grown = {}
        for name, given in settings.items():
            held = saved.get(name, defaults[name])
            if name in free or held == given:
                continue
            if name in self.grows and given > held:
                grown[name] = given
            else:
                raise InputError(
                    f"'{self.folder}' holds a run with {name} = {held!r} where this command has "
                    f"{given!r}: give another --run-dir (or --name), or delete the folder."
                )
        _check_recipe(self.folder, before, about)
        if before.get("data", data := about.get("data")) != data:
            raise InputError(
                f"'{self.folder}' holds a run that learned from other data than this command "
                f"gives: give another --run-dir (or --name), or delete the folder."
            )
        if grown:
            self._grown = {**saved, **grown, "about": _both(before, about, SITTING)}
        elif (both := _both(before, about, ("commit", "hardware"))) != before:
            self._elsewhere = {**saved, "about": both}

    def _keep(self, config: Mapping[str, Any]) -> None:
        with written_beside(self.folder / "config.json") as beside:
            beside.write_text(json.dumps(config, indent=2) + "\n")


def _check_recipe(folder: Path, made: Mapping[str, Any], making: Mapping[str, Any]) -> None:
    """Refuse to go on by another recipe; a run that does not tell its own goes on."""
    before, now = made.get("recipe") or {}, making.get("recipe") or {}
    changed = sorted(name for name in before if before[name] != now.get(name))
    if changed:
        raise InputError(
            f"'{folder}' holds a run that was made with another recipe than this version's "
            f"({', '.join(changed)}): give another --run-dir, or go on with commit "
            f"{made.get('commit')}."
        )


def _both(
    before: Mapping[str, Any], about: Mapping[str, Any], names: Collection[str]
) -> dict[str, Any]:
    """The facts of a run that was made in two sittings: of both, where they differ."""
    joined = dict(before)
    for name in names:
        if told := joined_once(SITTING[name], (before.get(name), about.get(name))):
            joined[name] = told
    return joined


def is_main_process() -> bool:
    """Whether this is the only process, or the first that a launcher started."""
    return int(os.environ.get("RANK", "0")) == 0


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        record = json.loads(text)
    except json.JSONDecodeError:
        return None
    return record if isinstance(record, dict) else None
