"""Every setting of an imitation run."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from envs.make import env_id
from km_rl.errors import InputError
from km_rl.rl.channel import Features
from km_rl.rl.options import Options
from km_rl.rl.reward_net import RewardMap
from km_rl.train.recipe import above_zero, at_least, plain_name

OF_MEMORY = (
    "channels",
    "head",
    "features",
    "history",
    "leave_one_out",
    "slots",
    "code",
    "noise_var",
)
"""Settings that are `km_rl.rl.options.Options` by the same names."""


@dataclass(frozen=True)
class GailConfig:
    """An imitation run. The discriminators share every setting but those of the memory."""

    env: str = "HalfCheetah"
    """Where to act: HalfCheetah, Hopper, Walker2d, Swimmer, Ant, Pendulum, CartPole or any
    registered id."""
    demos: Path | None = None
    """The expert's demonstrations, see envs/demos.py; by default those that come with the
    project."""
    trajectories: int | None = None
    """Learn from the first so many of them; from all by default."""
    every: int = 20
    """Learn from every n-th pair of a trajectory; 20 is the GAIL paper's."""

    steps: int = 1_000_000
    """Environment steps; with bc, pairs shown to the policy, with repetition. A run that has ended
    goes on if it is given more."""
    seed: int = 0
    """Of the nets, the environments and the noise."""
    algorithm: Literal["gail", "airl", "bc"] = "gail"
    """How to imitate; bc is behavioural cloning, which never acts and has no discriminator."""
    generator: Literal["ppo", "sac"] = "ppo"
    """What learns from the discriminator's reward."""
    log_std_init: float | None = None
    """Log of the std with which PPO's actions start; by default the environment's preset, from
    which the memory did best."""
    anneal: bool = False
    """Let PPO's step size fall to 0 by the last step, linearly; such a run ends there for good."""
    discriminator: Literal["kanerva", "mlp", "vail", "knn"] = "kanerva"
    """A memory of pairs, imitation's net, the same through a bottleneck, or the distance to the
    expert's nearest pairs."""
    scale: Literal["expert", "all"] | None = None
    """Whose pairs are of mean 0 and variance 1 to the discriminator: the expert's, as is usual
    for the memory, or all that were seen, as is usual for the others."""
    dropout: float = 0.0
    """Share of the mlp's units that are left out in training."""
    updates: int = 8
    """Discriminator updates in a round."""
    allow_variable_horizon: bool = False
    """Imitate although the length of an episode gives the task away."""

    channels: Literal["h", "a", "both"] = Options.channels
    """Of the memory: what is done here (h), have I seen this (a), or both."""
    head: Literal["least_squares", "ratio", "conditional"] = Options.head
    """Read whose a pair is from both memories merged; or the ratio of its likelihoods under
    each, alone or with a network on the memories' statistics."""
    features: Features = Options.features
    """Addresses and codes that are trained, or random features of the pair."""
    history: bool = Options.history
    """Remember the policies of earlier rounds, or only the last."""
    leave_one_out: bool = Options.leave_one_out
    """Score a pair that is in a memory as if it were not."""
    reward: RewardMap = "softplus"
    """How the memory's logit becomes a reward; softplus is GAIL's."""
    slots: int = Options.slots
    """K, the slots of each memory."""
    code: int = Options.code
    """C, the width of learned codes."""
    noise_var: float = Options.noise_var
    """The variance of a stored label around its read-out: the ridge of the regression, where an
    entry of the memory has prior variance 1."""

    evaluate_every: int = 50_000
    """Steps between evaluations on the true return, and between checkpoints; there are both at
    the end in any case."""
    evaluate_episodes: int = 10
    """Episodes of each evaluation."""
    threads: int | None = None
    """CPU threads; torch's own choice by default."""
    run_dir: Path = Path("runs")
    """Where run folders lie."""
    name: str | None = None
    """The run's folder in it; ENV-METHOD-SEED by default, with SAC ENV-METHOD-sac-SEED."""

    @property
    def method(self) -> str:
        """The name of what is compared: a discriminator, or bc."""
        if self.algorithm == "bc":
            return "bc"
        return self.discriminator + "-airl" * (self.algorithm == "airl")

    @property
    def folder(self) -> Path:
        """The run folder."""
        learner = "-sac" if self.generator == "sac" else ""
        usual = f"{self.env.replace('/', '-')}-{self.method}{learner}-{self.seed}"
        return self.run_dir / (self.name or usual)

    def validate(self) -> None:
        """Refuse sizes and choices that no run can have.

        Raises:
            InputError: one sentence for the first that does not fit.
        """
        at_least(self, 1, "trajectories", "every", "steps", "updates", "threads")
        at_least(self, 1, "evaluate_every", "evaluate_episodes", "slots", "code")
        at_least(self, 0, "seed")
        above_zero(self, "noise_var")
        if not 0 <= self.dropout < 1:
            raise InputError(f"--dropout is {self.dropout}: give a share from 0 to below 1.")
        if self.log_std_init is not None and not -20 <= self.log_std_init <= 2:
            raise InputError(
                f"--log-std-init is {self.log_std_init}: give the log of a standard deviation, "
                f"from -20 to 2."
            )
        if self.seed >= 2**32:
            raise InputError(f"--seed is {self.seed}: give a whole number below 2**32.")
        plain_name(self, "name")
        if self.method == "kanerva-airl" and self.head == "least_squares":
            raise InputError(
                "AIRL's net is a part of the logit, and the memory's usual head is a logit "
                "already: add --head conditional, or choose --algorithm gail."
            )
        self._refuse_idle()

    def resolved(self) -> GailConfig:
        """The same run with nothing left to choose: what is saved with it.

        Raises:
            InputError: there is no such environment.
        """
        return replace(self, name=self.folder.name, env=env_id(self.env))

    @property
    def memory_options(self) -> dict[str, Any]:
        """What the memory is made of, for `KanervaRewardNet`."""
        options = {name: getattr(self, name) for name in OF_MEMORY}
        return options if self.scale is None else {**options, "scale": self.scale}

    @property
    def idle(self) -> list[str]:
        """Settings that change nothing for this method."""
        idle = [] if self.method.startswith("kanerva") else [*OF_MEMORY, "reward"]
        if self.head == "least_squares" or self.features == "random":
            idle += ["code"]  # the memory holds labels, or the pairs themselves
        idle += [] if self.method.startswith("mlp") else ["dropout"]
        cloned = self.algorithm == "bc"
        idle += ["generator", "discriminator", "scale", "updates"] if cloned else []
        idle += ["log_std_init", "anneal"] if cloned or self.generator == "sac" else []
        return [*idle, "reward"] if self.algorithm == "airl" else idle

    def _refuse_idle(self) -> None:
        """A comparison of two runs that are the same would mislead."""
        usual = {field.name: field.default for field in fields(self)}
        for name in self.idle:
            if (given := getattr(self, name)) != usual[name]:
                raise InputError(
                    f"--{name.replace('_', '-')} is {given}, which changes nothing for "
                    f"{self.method}: leave it out, or choose what has it."
                )
