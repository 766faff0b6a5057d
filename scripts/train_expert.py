"""Train an expert by SAC or PPO, and record its demonstrations.

The same command resumes an interrupted run. Examples:

    python scripts/train_expert.py                            # HalfCheetah, hours on one core
    python scripts/train_expert.py --algorithm ppo            # less of an expert, in minutes
    python scripts/train_expert.py --env Pendulum --steps 20000
    python scripts/gail.py --env Pendulum --demos runs/Pendulum-expert-0/demonstrations.npz
"""

from __future__ import annotations

import torch
import tyro

from agents.expert import ExpertConfig, train_expert
from envs.demos import load
from km_rl.errors import at_least_one, exit_on_input_error


@exit_on_input_error()
def main(arguments: list[str] | None = None) -> None:
    """Train as the arguments say, then announce the demonstrations."""
    config = tyro.cli(ExpertConfig, args=arguments, description=__doc__)
    if config.threads is not None:
        at_least_one(threads=config.threads)
        torch.set_num_threads(config.threads)
    path = train_expert(config)
    returns = [float(t.rews.sum(dtype="float64")) for t in load(path)]
    mean = sum(returns) / len(returns)
    print(f"{len(returns)} demonstrations of return {mean:,.0f}, the least {min(returns):,.0f}")
    print(path)


if __name__ == "__main__":
    main()
