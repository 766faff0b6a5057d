"""The run folder of an imitation, and what is logged there.

::

    runs/<name>/
    ├── config.json                 every setting, and under "about" what it was given
    ├── metrics.jsonl               one JSON object for a round or an evaluation, as below
    ├── tb/                         the same numbers as TensorBoard events
    ├── training.pt                 where the same command resumes
    ├── discriminator.safetensors   for `KanervaRewardNet.load`
    ├── policy.zip                  for stable-baselines3's `PPO.load` or `SAC.load`
    └── report.html                 what came of it

Every logged key; means are over the round, a round's seconds are wall time:

==============================  =================================================================
``step``                        environment steps done; with bc, pairs shown
``seconds``                     training time; measuring, saving and logging are not counted
``return/mean``, ``std``        true return of the policy, acting deterministically, and its
                                standard deviation across episodes
``return/length``               steps of these episodes
``rollout/return``              true return of the last 100 episodes of training
``rollout/learned_return``      what the discriminator paid for them
``logit/expert``, ``policy``    logit of the pairs learned from and of the policy's last ones
``discriminator/loss``          binary cross-entropy, in nats
``discriminator/expert_right``  share of the expert's pairs that are told to be the expert's
``discriminator/policy_right``  share of the policy's that are told not to be
``bc/loss``                     of behavioural cloning: -ln p(action | state) and its penalties,
                                of the round's first batch
``km/<name>``                   health of the memory, see `km_rl.rl.callbacks`
``train/<name>``                stable-baselines3's own
``seconds/round``               one round: acting, learning and discriminator updates
``seconds/update``              one discriminator update
``seconds/reward``              one call for the rewards of a step of all environments; SAC's
                                batches of transitions that are paid anew are calls, too
``seconds/discriminator``       all updates and reward calls of the round
==============================  =================================================================
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from imitation.util.logger import HierarchicalLogger
from stable_baselines3.common.logger import KVWriter, Logger

from km_rl.train.provenance import describe, hardware
from km_rl.train.run import Run

NAMES = {
    "mean/gen/rollout/ep_rew_mean": "rollout/return",
    "mean/gen/rollout/ep_rew_wrapped_mean": "rollout/learned_return",
    "mean/disc/disc_loss": "discriminator/loss",
    "mean/disc/disc_acc_expert": "discriminator/expert_right",
    "mean/disc/disc_acc_gen": "discriminator/policy_right",
    "bc/loss": "bc/loss",
}
"""What imitation calls it, to what we call it; more keep their name behind a prefix."""
KEPT = ("mean/gen/km/", "mean/gen/train/")


class Logbook(Run):
    """An open run folder whose lines have steps, seconds and named numbers.

    Args:
        config: with the ``folder``.
        facts: recorded with a new run, beside those of `describe`; everything computes on the CPU.
        grows: as `Run`.
    """

    def __init__(
        self, config: Any, model: Any, facts: Mapping[str, Any], grows: Collection[str] = ()
    ) -> None:
        about = {**describe(model), "hardware": hardware("cpu"), **facts}
        super().__init__(config.folder, config, about, grows)

    def record(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        """Append one line, and the same numbers to TensorBoard; those not finite are left out.

        Raises:
            InputError: as `Run.log`.
        """
        assert self._board is not None, "start first"
        finite = {name: float(x) for name, x in values.items() if math.isfinite(x)}
        self._append({"step": step, "seconds": round(seconds, 3)}, finite)


class RoundMeans(KVWriter):
    """What imitation's logger writes to: the last round's means under our names.

    Args:
        folder: where the logger makes empty folders.
    """

    def __init__(self, folder: str | Path) -> None:
        self.values: dict[str, float] = {}
        self.logger = HierarchicalLogger(Logger(str(folder), [self]), format_strs=())

    def write(
        self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0
    ) -> None:
        """Called by the logger at the end of a round."""
        self.values = {
            name: float(value) for key, value in key_values.items() if (name := _name(key))
        }

    def close(self) -> None:
        """Nothing is open."""


def _name(key: str) -> str | None:
    if key.startswith(KEPT):
        return key.removeprefix("mean/gen/")
    return NAMES.get(key)
