"""The Kanerva Machine (Wu, Wayne, Graves & Lillicrap, ICLR 2018) in PyTorch.

The public names are imported on first use, so ``import km_rl`` itself loads nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from km_rl.baselines.dkm import DKM
    from km_rl.baselines.dnc import DNC, LRUA
    from km_rl.baselines.vae import VAE
    from km_rl.config import Config, presets
    from km_rl.core.elbo import Elbo
    from km_rl.core.machine import KanervaMachine
    from km_rl.core.memory import Memory, condition
    from km_rl.core.natural import NaturalMemory
    from km_rl.errors import InputError

__version__ = "0.1.0"

_HOME = {
    "DKM": "km_rl.baselines.dkm",
    "DNC": "km_rl.baselines.dnc",
    "LRUA": "km_rl.baselines.dnc",
    "Config": "km_rl.config",
    "Elbo": "km_rl.core.elbo",
    "InputError": "km_rl.errors",
    "KanervaMachine": "km_rl.core.machine",
    "Memory": "km_rl.core.memory",
    "NaturalMemory": "km_rl.core.natural",
    "VAE": "km_rl.baselines.vae",
    "condition": "km_rl.core.memory",
    "presets": "km_rl.config",
}
__all__ = [
    "DKM",
    "DNC",
    "LRUA",
    "VAE",
    "Config",
    "Elbo",
    "InputError",
    "KanervaMachine",
    "Memory",
    "NaturalMemory",
    "condition",
    "presets",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'km_rl' has no attribute '{name}'; it has {', '.join(_HOME)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
