"""The options of `km_rl.rl.discriminator.Discriminator`, and which of them go together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from km_rl.errors import InputError, above_zero, at_least_one
from km_rl.rl.channel import Features
from km_rl.rl.heads import BOUND


@dataclass(frozen=True)
class Options:
    """What a discriminator is made of."""

    slots: int = 256
    """K, the slots of each memory."""
    code: int = 16
    """C, the width of learned codes."""
    hidden: int = 64
    """Width of the perceptrons."""
    channels: Literal["h", "a", "both"] = "a"
    """Address pairs by the state alone: what is done here (h); by state and action: have I seen
    this (a); or both, and average."""
    features: Features = "random"
    """Addresses and codes that are trained, or random features of the pair."""
    head: Literal["least_squares", "ratio", "conditional"] = "least_squares"
    """Read whose a pair is from both memories merged; or the ratio of its likelihoods under
    each, alone or with a network on the memories' statistics."""
    scale: Literal["expert", "all"] = "expert"
    """Whose pairs are of mean 0 and variance 1: the expert's, or all that were seen."""
    leave_one_out: bool = True
    """Score a pair that is in a memory as if it were not."""
    history: bool = True
    """Remember the policies of earlier rounds, or only the last."""
    rounds: int = 16
    """Rounds that the history reaches back."""
    round_pairs: int = 64
    """Pairs that are kept of each."""
    forget_rate: float = 0.1
    """Share of its weight that a round loses with the next."""
    expert_capacity: int = 16_384
    """The most expert pairs that are remembered."""
    support: int = 512
    """Pairs that a memory is written from at most, while what it holds is trained."""
    noise_var: float = 0.1
    """The variance of a stored label, or code, around its read-out: the ridge of the regression,
    where an entry of the memory has prior variance 1. Trained only with learned features or
    another head."""
    bound: float = BOUND
    """The longest logit."""

    def validate(self) -> None:
        """Refuse what no discriminator can have with an `InputError`."""
        at_least_one(
            slots=self.slots,
            code=self.code,
            hidden=self.hidden,
            rounds=self.rounds,
            round_pairs=self.round_pairs,
            expert_capacity=self.expert_capacity,
            support=self.support,
        )
        above_zero(noise_var=self.noise_var, bound=self.bound)
        if not 0 <= self.forget_rate < 1:
            raise InputError(
                f"forget_rate is {self.forget_rate}: a number from 0 to below 1 is expected."
            )
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise InputError(
                    f"{name} is '{getattr(self, name)}': one of {', '.join(known)} is expected."
                )


CHOICES = {
    "channels": ("h", "a", "both"),
    "features": ("learned", "random"),
    "head": ("least_squares", "ratio", "conditional"),
    "scale": ("expert", "all"),
}
