"""A memory of state-action pairs as a discriminator, for imitation's GAIL and Stable-Baselines3.

Imported on first use: the mathematics needs torch and numpy alone, `KanervaRewardNet` and the
callbacks the extra ``rl``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from km_rl.rl.batches import ExpertBatches
    from km_rl.rl.callbacks import KanervaCallback, attach
    from km_rl.rl.discriminator import Discriminator
    from km_rl.rl.episodes import Pairs
    from km_rl.rl.meta import MetaDiscriminator
    from km_rl.rl.meta_reward_net import FewShotRewardNet, ObserveRollouts
    from km_rl.rl.meta_training import MetaRecipe
    from km_rl.rl.options import Options
    from km_rl.rl.replay import relabel_rewards
    from km_rl.rl.resume import SaveTraining, resume_training
    from km_rl.rl.reward_net import KanervaRewardNet
    from km_rl.rl.sources import pairs
    from km_rl.rl.tasks import Task

_HOME = {
    "Discriminator": "km_rl.rl.discriminator",
    "ExpertBatches": "km_rl.rl.batches",
    "FewShotRewardNet": "km_rl.rl.meta_reward_net",
    "KanervaCallback": "km_rl.rl.callbacks",
    "KanervaRewardNet": "km_rl.rl.reward_net",
    "MetaDiscriminator": "km_rl.rl.meta",
    "MetaRecipe": "km_rl.rl.meta_training",
    "ObserveRollouts": "km_rl.rl.meta_reward_net",
    "Options": "km_rl.rl.options",
    "Pairs": "km_rl.rl.episodes",
    "SaveTraining": "km_rl.rl.resume",
    "Task": "km_rl.rl.tasks",
    "attach": "km_rl.rl.callbacks",
    "pairs": "km_rl.rl.sources",
    "relabel_rewards": "km_rl.rl.replay",
    "resume_training": "km_rl.rl.resume",
}
__all__ = [
    "Discriminator",
    "ExpertBatches",
    "FewShotRewardNet",
    "KanervaCallback",
    "KanervaRewardNet",
    "MetaDiscriminator",
    "MetaRecipe",
    "ObserveRollouts",
    "Options",
    "Pairs",
    "SaveTraining",
    "Task",
    "attach",
    "pairs",
    "relabel_rewards",
    "resume_training",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'km_rl.rl' has no attribute '{name}'; it has {', '.join(_HOME)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
