"""What forgetting is worth: bad demonstrations planted among good ones, and taken out half-way.

Three imitators, alike but for what they are shown:

=============  ==================================================================================
``clean``      the good demonstrations, from beginning to end
``planted``    trajectories of a random policy among them, from beginning to end
``forgotten``  the same, until half of the steps: then they are taken out of the memory and of the
               batches, and nothing else is undone: the policy and its value function stay
=============  ==================================================================================
"""

from __future__ import annotations

import tempfile

import numpy as np
from stable_baselines3.common.utils import set_random_seed

from agents.adversary import Adversary
from agents.config import GailConfig
from agents.logbook import RoundMeans
from agents.novelty import random_trajectories
from agents.runs import Curve
from agents.task import Task, load_task, thinned
from km_rl.errors import InputError

ARMS = ("clean", "planted", "forgotten")
Demonstrations = dict[str, np.ndarray]


def forgetting(config: GailConfig, bad: int, arm: str) -> Curve:
    """The true return of one of the three, at every ``evaluate_every`` steps.

    Args:
        config: of the run; its demonstrations are the good ones.
        bad: how many trajectories are planted.

    Raises:
        InputError: an arm that is none of `ARMS`, or what `load_task` refuses.
    """
    if arm not in ARMS:
        raise InputError(f"'{arm}' is not one of {', '.join(ARMS)}: give one of these.")
    config.validate()
    config = config.resolved()
    task = load_task(config)
    planted = thinned(random_trajectories(config.env, bad), config.every)
    everything = {
        name: np.concatenate([rows, planted[name].astype(rows.dtype)])
        for name, rows in task.demonstrations.items()
    }
    shown = task if arm == "clean" else task._replace(demonstrations=everything)
    with tempfile.TemporaryDirectory() as empty:
        set_random_seed(config.seed)
        adversary = Adversary(config, shown, RoundMeans(empty))
        return _learn(adversary, config, task, planted if arm == "forgotten" else None)


def _learn(
    adversary: Adversary,
    config: GailConfig,
    task: Task,
    to_forget: Demonstrations | None,
) -> Curve:
    steps, values = [0], [task.true_return.of(adversary.learner).mean]
    while adversary.steps + adversary.round_steps <= config.steps:
        adversary.round()
        now = adversary.steps
        if to_forget is not None and now >= config.steps / 2:
            adversary.forget(to_forget, kept=task.demonstrations)
            to_forget = None
        last = now + adversary.round_steps > config.steps
        if last or now // config.evaluate_every > steps[-1] // config.evaluate_every:
            steps.append(now)
            values.append(task.true_return.of(adversary.learner).mean)
    return Curve(steps, values)
