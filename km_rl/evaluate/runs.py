"""Finished runs, read back from their folders: the model, the conditions and the metrics."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from km_rl.baselines.dkm import DKM
from km_rl.baselines.dnc import DNC, LRUA
from km_rl.baselines.vae import VAE
from km_rl.core.episodic import EpisodicModel
from km_rl.core.machine import KanervaMachine
from km_rl.data import Binarisation
from km_rl.errors import InputError
from km_rl.nn.weights import read_weights

Metrics = Mapping[str, float]

Model = EpisodicModel[Any] | VAE
USUAL = {"strokes": "strokes", "omniglot": "paper-omniglot", "cifar10": "paper-cifar10"}
"""Data set to its usual preset."""
MODELS: dict[str, type[Model]] = {
    "km": KanervaMachine,
    "dkm": DKM,
    "dnc": DNC,
    "lrua": LRUA,
    "vae": VAE,
}
"""Every kind of model that can be evaluated, in the order of tables and figures."""


VARIED = (
    "diagonal_covariance",
    "learn_prior_mean",
    "unwritten",
    "address_noise_std",
    "slots",
    "code",
    "memory_kl_weight",
    "sample_memory",
    "learning_rate",
)
"""Settings by which an ablation differs from the model as it is."""
ADDED: Mapping[str, Any] = {
    "diagonal_covariance": False,
    "learn_prior_mean": True,
    "unwritten": False,
    "pixel_std": False,
    "cosines": False,
}
"""Settings that runs of older versions do not name, as they were then."""


class Conditions(NamedTuple):
    """What two runs must share for their numbers to be compared."""

    dataset: str
    split: str
    binarisation: Binarisation
    episode_length: int
    classes: int | None


class Run(NamedTuple):
    """A run folder.

    Attributes:
        label: the model's name in tables and figures.
        kind: a key of `MODELS`.
        config: every setting of the run, as in its config.json.
        metrics: what was logged, in order of step; each has ``step``, ``images`` and ``seconds``.
        digest: the weights' sha256, its first 16 digits.
    """

    folder: Path
    label: str
    kind: str
    model: Model
    conditions: Conditions
    config: Mapping[str, Any]
    metrics: Sequence[Metrics]
    digest: str = ""

    @property
    def machine(self) -> KanervaMachine | None:
        """The model, if it is a Kanerva Machine."""
        return self.model if isinstance(self.model, KanervaMachine) else None

    @property
    def episodic(self) -> EpisodicModel[Any] | None:
        """The model, if it has a memory."""
        return self.model if isinstance(self.model, EpisodicModel) else None

    @property
    def prices_memory(self) -> bool:
        """Whether what the memory costs is a known KL, as is the nothing that none costs."""
        return self.episodic is None or self.episodic.prices_memory

    @property
    def draws_memory(self) -> bool:
        """Whether what training tells as the full bound is one: M was drawn, or there is none."""
        drawn = self.episodic is None or self.config.get("sample_memory", False)
        return bool(self.prices_memory and drawn)

    @property
    def parameters(self) -> int:
        """Trained numbers of the model."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    @property
    def seed(self) -> int:
        """Of its training; 0 where the settings do not name it."""
        return self.config.get("seed") or 0

    @property
    def unfinished(self) -> str | None:
        """A sentence that says so, if training has not come to its last step."""
        step, steps = self.last("step"), self.config.get("steps")
        if step is None or steps is None or step >= steps:
            return None
        return f"{self.label} is unfinished: it stands at step {step:.0f} of {steps}."

    def last(self, name: str) -> float | None:
        """The last value logged under ``name``; None where there is none."""
        return next((row[name] for row in reversed(self.metrics) if name in row), None)


def variant(usual: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """In which of the `VARIED` settings a run differs from the usual: ``slots=16``, or nothing."""
    return ", ".join(
        f"{name}={config.get(name)}" for name in VARIED if config.get(name) != usual.get(name)
    )


def variants(runs: Sequence[Run]) -> bool:
    """Whether these are machines that differ in a part, rather than rivals or seeds."""
    alike = all(run.kind == "km" for run in runs)
    return alike and any(variant(runs[0].config, run.config) for run in runs[1:])


def read_runs(folders: Sequence[str | Path]) -> list[Run]:
    """Runs that can be compared, the machines first, on a GPU where there is one.

    A run is labelled by its kind where no other is of that kind, else by its folder's name.

    Raises:
        InputError: no folder; one that is no run, has no weights yet, whose model is not known or
            that is given twice; runs under different conditions.
    """
    if not folders:
        raise InputError(
            "No run was given: name at least one run folder, such as runs/strokes-km-0."
        )
    if len({Path(folder).resolve() for folder in folders}) < len(folders):
        raise InputError(f"A run was given twice in {', '.join(map(str, folders))}: name it once.")
    kinds = list(MODELS)
    runs = [_read_run(Path(folder)) for folder in folders]
    runs.sort(key=lambda run: kinds.index(run.kind))
    for run in runs[1:]:
        _check_same(runs[0], run)
    return [run._replace(label=_label(run, runs)) for run in runs]


def _label(run: Run, runs: Sequence[Run]) -> str:
    """The shortest of kind, folder name and path that no other run has."""
    if [other.kind for other in runs].count(run.kind) == 1:
        return run.kind.upper()
    if [other.folder.name for other in runs].count(run.folder.name) == 1:
        return run.folder.name
    return str(run.folder)


def _read_run(folder: Path) -> Run:
    config, weights = _config(folder), folder / "model.safetensors"
    kind = read_weights(weights)[0]
    if kind not in MODELS:
        raise InputError(
            f"'{folder}' holds a model of kind '{kind}', which cannot be evaluated: "
            f"give a run of {' or '.join(MODELS)}."
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        conditions = Conditions(*(config[name] for name in Conditions._fields))
    except KeyError as error:
        raise InputError(
            f"'{folder / 'config.json'}' has no {error}: give a folder written by "
            f"train_generative.py, or train again."
        ) from error
    digest = None
    while digest != (now := hashlib.sha256(weights.read_bytes()).hexdigest()[:16]):
        digest = now  # a checkpoint that comes meanwhile is read, too
        model = MODELS[kind].from_run(folder).to(device)
    lines = _metrics(folder / "metrics.jsonl")
    return Run(folder, folder.name, kind, model, conditions, config, lines, now)


def _config(folder: Path) -> dict[str, Any]:
    try:
        return {**ADDED, **json.loads((folder / "config.json").read_text(errors="replace"))}
    except OSError as error:
        raise InputError(
            f"'{folder}' is not a run folder (no config.json can be read in it): "
            f"give a folder that train_generative.py has written, or make one by "
            f"`{_command_for(folder)}`."
        ) from error
    except (TypeError, ValueError) as error:
        raise InputError(
            f"'{folder / 'config.json'}' is not a JSON object ({error}): "
            f"give another run, or train again."
        ) from error


def _command_for(folder: Path) -> str:
    """What trains the run of that name, as far as the name tells."""
    presets = "|".join([*USUAL.values(), "debug"])
    named = re.fullmatch(rf"({presets})-({'|'.join(MODELS)})-(\d+)", folder.name)
    if named is not None:
        preset, model, seed = named.groups()
        command = f"train_generative.py --preset {preset} --model {model} --seed {seed}"
    elif not re.search(rf"-({'|'.join(MODELS)})(-.+)?-\d+$", folder.name):
        command = f"train_generative.py --name {shlex.quote(folder.name)}"
    else:
        data = next((one for one in USUAL if one in folder.name), "strokes")
        command = f"paper.py --dataset {data}" + " --data-dir DIR" * (data != "strokes")
    usual = folder.parent == Path("runs")
    place = "" if usual else f" --run-dir {shlex.quote(str(folder.parent))}"
    return f"python scripts/{command}{place}"


def _metrics(path: Path) -> list[Metrics]:
    """Whole lines only: the last one may be cut off where a run was killed."""
    rows: dict[int, dict[str, float]] = {}
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
            rows.setdefault(row["step"], {}).update(row)
        except (ValueError, KeyError, TypeError):
            continue
    return [rows[step] for step in sorted(rows)]


def _check_same(first: Run, other: Run) -> None:
    for name, mine, theirs in zip(
        Conditions._fields, first.conditions, other.conditions, strict=True
    ):
        if mine != theirs:
            raise InputError(
                f"'{first.folder}' was trained with {name}={mine} and '{other.folder}' with "
                f"{name}={theirs}: give runs under the same conditions."
            )
