"""Every setting of a training run, and the sets of them that have a name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from torch import nn

from km_rl.baselines.dkm import DKM
from km_rl.baselines.dnc import DNC, LRUA
from km_rl.baselines.vae import VAE
from km_rl.core.machine import KanervaMachine
from km_rl.data import DATASETS, Binarisation
from km_rl.errors import InputError
from km_rl.nn.likelihoods import Likelihood
from km_rl.train.recipe import Recipe, above_zero, at_least, one_of, plain_name, resolve_precision

COLOUR = (3, 32, 32)
INK = (1, 28, 28)
Kind = Literal["km", "dkm", "dnc", "lrua", "vae"]
"""Of model."""


@dataclass(frozen=True)
class Config(Recipe):
    """A training run. The Kanerva Machine and its baselines share every setting but `model`."""

    preset: str = "strokes"
    """What the other settings start from: strokes, paper-omniglot or paper-cifar10 (the defaults
    for --dataset omniglot and cifar10) or debug. Each flag overrides one setting."""
    model: Kind = "km"
    """The Kanerva Machine; or, with the same encoder and decoder, its dynamic successor, a DNC, a
    DNC that writes to the least used slot, or a VAE. Each ignores the settings it has no use for:
    a VAE those of a memory, the dynamic machine those of a key, the DNCs `prior_std`."""

    dataset: Literal["strokes", "omniglot", "cifar10"] = "strokes"
    """Drawn on the fly (strokes), real characters (omniglot) or colour photographs (cifar10)."""
    data_dir: Path | None = None
    """Where the data lie; by default KM_RL_DATA names the place, or else they are downloaded."""
    split: Literal["images", "characters", "validation"] = "images"
    """Test on other images of known characters, or (Omniglot) on new characters, or (CIFAR-10) on
    the last tenth of the training images."""
    binarisation: Binarisation = "dynamic"
    """Ink at random by its grey level, anew at each draw; or above half; or none. Dequantised:
    grey levels + U(0, 1/256), anew at each draw, with a Gaussian likelihood."""
    pixel_std: bool = False
    """Let the decoder tell that Gaussian's std of each pixel; otherwise one is trained for all."""
    cosines: bool = False
    """Pass a photograph's lowest frequencies, as many as the code is wide, beside the convolutions
    (km and vae): more than the paper's encoder and decoder; a smaller step size suits it."""

    classes: int | None = None
    """Draw each episode from so many classes; from all by default."""
    episode_length: int = 32
    """T, the images in an episode."""
    episodes_per_batch: int = 8
    """B, the episodes in a training step."""

    slots: int = 64
    """K, the rows of the memory."""
    code: int = 100
    """C, the width of a code."""
    key: int = 50
    """S, the width of an address key."""
    filters: int = 16
    """Filters in every convolution."""
    noise_var: float = 0.01
    """Variance of a code around its read-out; the paper's 1 with codes ten times as long."""
    learn_noise: bool = False
    """Train that variance."""
    address_noise_std: float = 0.2
    """Std of the noise on the input of q(y|x), in training."""
    prior_std: float = 1.0
    """Std of the memory's entries before anything is learned or written."""
    learn_prior_mean: bool = True
    """Train the prior's mean R_0 (the machine alone); it stays 0 otherwise."""
    diagonal_covariance: bool = False
    """Keep the memory's covariance U diagonal (the machine alone)."""
    unwritten: bool = False
    """Never write: the machine without its memory, for comparison (the machine alone)."""

    evaluate_images: int = 1024
    """Test images in each check during training; the report uses all."""
    threads: int | None = None
    """CPU threads; torch's own choice by default."""
    run_dir: Path = Path("runs")
    """Where run folders lie."""
    name: str | None = None
    """The run's folder in it; PRESET-MODEL-SEED by default."""

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.run_dir / (self.name or f"{self.preset}-{self.model}-{self.seed}")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the data set."""
        return COLOUR if self.dataset == "cifar10" else INK

    @property
    def likelihood(self) -> Likelihood:
        """What p(x|z) is: a density where pixels are dequantised, else a probability of ink."""
        if self.binarisation != "dequantised":
            return "bernoulli"
        return "pixel-gaussian" if self.pixel_std else "gaussian"

    def validate(self) -> None:
        """Refuse sizes and choices that no run can have.

        Raises:
            InputError: one sentence for the first that does not fit.
        """
        super().validate()
        at_least(self, 1, "slots", "code", "key", "filters", "threads")
        at_least(self, 1, "episode_length", "episodes_per_batch", "classes", "evaluate_images")
        at_least(self, 0, "address_noise_std")
        above_zero(self, "noise_var", "prior_std")
        plain_name(self, "name")
        if self.pixel_std and self.binarisation != "dequantised":
            raise InputError(
                f"--pixel-std was given with --binarisation {self.binarisation}, which has no "
                f"std: leave it out, or give --binarisation dequantised."
            )
        if self.cosines and self.binarisation != "dequantised":
            raise InputError(
                f"--cosines was given with --binarisation {self.binarisation}, which has no grey "
                f"levels: leave it out, or give --binarisation dequantised."
            )
        one_of(self, "model", get_args(Kind))
        if self.cosines and self.model not in ("km", "vae"):
            raise InputError(
                f"--cosines was given with --model {self.model}, whose codes do not start as what "
                f"its encoder says: leave it out, or give --model km or vae."
            )
        if self.memory_kl_weight > 0 and self.model in ("dnc", "lrua"):
            raise InputError(
                f"--memory-kl-weight was given with --model {self.model}, whose memory has no KL: "
                f"leave it out, or give --model km or dkm."
            )
        one_of(self, "dataset", DATASETS)
        preset(self.preset)

    def resolved(self) -> Config:
        """The same run with nothing left to choose: what is saved with it."""
        return replace(self, name=self.folder.name, precision=resolve_precision(self.precision))

    def build_model(self) -> nn.Module:
        """A new model, with weights from torch's random stream."""
        if self.model == "vae":
            nets = (self.image_shape, self.filters, self.likelihood, self.code)
            return VAE.build(*nets, self.cosines)
        if self.model != "km":
            return self._build_rival()
        return KanervaMachine.build(
            self.image_shape,
            filters=self.filters,
            likelihood=self.likelihood,
            slots=self.slots,
            code=self.code,
            cosines=self.cosines,
            key=self.key,
            noise_var=self.noise_var,
            learn_noise=self.learn_noise,
            address_noise_std=self.address_noise_std,
            prior_std=self.prior_std,
            learn_prior_mean=self.learn_prior_mean,
            diagonal_covariance=self.diagonal_covariance,
            unwritten=self.unwritten,
        )

    def _build_rival(self) -> nn.Module:
        """A baseline with a memory as large as the machine's."""
        shared: dict[str, Any] = {
            "image_shape": self.image_shape,
            "filters": self.filters,
            "likelihood": self.likelihood,
            "slots": self.slots,
            "code": self.code,
            "noise_var": self.noise_var,
            "learn_noise": self.learn_noise,
        }
        if self.model == "dkm":
            return DKM.build(**shared, prior_std=self.prior_std)
        model = LRUA if self.model == "lrua" else DNC
        address: dict[str, Any] = {"key": self.key, "address_noise_std": self.address_noise_std}
        return model.build(**shared, **address)


presets: dict[str, Config] = {
    "strokes": Config(),
    "paper-omniglot": Config(
        preset="paper-omniglot",
        dataset="omniglot",
        steps=32_000,
        warmup_steps=1500,
        address_kl_warmup_steps=2000,
        log_every=100,
        evaluate_every=2000,
        checkpoint_every=1000,
    ),
    "paper-cifar10": Config(
        preset="paper-cifar10",
        dataset="cifar10",
        binarisation="dequantised",
        steps=32_000,
        warmup_steps=1500,
        address_kl_warmup_steps=2000,
        episodes_per_batch=16,
        slots=128,
        code=200,
        filters=32,
        log_every=100,
        evaluate_every=2000,
        checkpoint_every=500,
    ),
    "debug": Config(
        preset="debug",
        steps=20,
        warmup_steps=5,
        address_kl_warmup_steps=5,
        episode_length=4,
        episodes_per_batch=2,
        slots=4,
        code=3,
        key=3,
        filters=2,
        log_every=5,
        evaluate_every=10,
        checkpoint_every=10,
        evaluate_images=64,
    ),
}
"""Each name is the `preset` of its value."""


def preset(name: str) -> Config:
    """The preset of that name.

    Raises:
        InputError: there is none.
    """
    if name not in presets:
        raise InputError(f"There is no preset '{name}': give one of {', '.join(presets)}.")
    return presets[name]
