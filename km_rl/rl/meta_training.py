"""Learning to learn from few pairs: episodes of many experts, binary cross-entropy, Adam.

A `generative` model learns from the same episodes by likelihood instead: whose a pair is is never
asked, only how well the memory of its owner predicts it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from km_rl.errors import InputError, NonFiniteError, above_zero, at_least_one
from km_rl.rl.tasks import Episode, Tasks

if TYPE_CHECKING:
    from km_rl.rl.few_shot import FewShot

FINAL_SHARE = 0.05
"""Of the step size, at the end of its cosine."""
CLIP_NORM = 5.0
"""Gradients are shortened to this length."""


Queries = Literal["held_out", "mixup", "left_out", "written"]


@dataclass(frozen=True)
class MetaRecipe:
    """How a discriminator is trained on many experts."""

    steps: int = 3000
    """Gradient steps."""
    batch: int = 16
    """Episodes, each of another task, in one."""
    least_pairs: int = 4
    """The fewest pairs of an expert that are remembered; between the two, log-uniformly many."""
    most_pairs: int = 512
    """The most."""
    policy_pairs: int = 256
    """Pairs of the policy that are remembered."""
    query_pairs: int = 64
    """Pairs of each that are told apart."""
    queries: Queries = "held_out"
    """Told apart are pairs of episodes of which none was remembered; these and mixtures of an
    expert's and a policy's, for a logit that rises on the way from one to the other; pairs that
    were remembered, each left out of its own score; or, for comparison, those as they are."""
    learning_rate: float = 1e-2
    """Adam's step size at the start; it falls along a cosine."""
    seed: int = 0
    """Of the net and of the episodes."""

    def validate(self) -> None:
        """Refuse what cannot be trained with an `InputError`."""
        at_least_one(
            steps=self.steps,
            batch=self.batch,
            least_pairs=self.least_pairs,
            policy_pairs=self.policy_pairs,
            query_pairs=self.query_pairs,
        )
        above_zero(learning_rate=self.learning_rate)
        if self.queries not in (known := get_args(Queries)):
            raise InputError(f"queries is '{self.queries}': give one of {', '.join(known)}.")
        if self.most_pairs < self.least_pairs:
            raise InputError(
                f"most_pairs is {self.most_pairs} where least_pairs is {self.least_pairs}: "
                f"give at least as many."
            )


class MetaTraining:
    """A model in training, step by step.

    Args:
        model: not trained yet; its normaliser is set to the tasks' pairs and frozen.

    Raises:
        InputError: a recipe that cannot be followed with these tasks.
    """

    def __init__(self, model: FewShot, tasks: Tasks, recipe: MetaRecipe) -> None:
        recipe.validate()
        if model.generative and recipe.queries == "mixup":
            raise InputError(
                "queries is 'mixup' where a generative model was given: it predicts what an owner "
                "does, and a mixture has none, so give 'held_out'."
            )
        if (most := max(recipe.most_pairs, recipe.query_pairs)) > tasks.fewest:
            raise InputError(
                f"{most} pairs in each half of an expert's episodes are needed where one has "
                f"{tasks.fewest}: give a smaller most_pairs or query_pairs, or longer "
                f"demonstrations, or more."
            )
        self.model, self.tasks, self.recipe, self.steps = model.train(), tasks, recipe, 0
        model.clear()
        model.stats.restart(tasks.rows)
        model.stats.freeze()
        self.optimiser = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
        self.generator = torch.Generator().manual_seed(recipe.seed)

    def step(self) -> float:
        """One gradient step; the loss in nats before it.

        Raises:
            NonFiniteError: it, its gradient or a memory holds NaN or infinity; weights stay.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = self._learning_rate()
        loss_of = negative_log_likelihood if self.model.generative else cross_entropy
        loss = loss_of(self.model, self._episode(), self.recipe)
        self.optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        if not torch.stack([loss.detach(), norm]).isfinite().all():
            raise NonFiniteError(
                f"Stopped at step {self.steps + 1}: the loss is {loss:.3g} and its gradient "
                f"{norm:.3g} long where finite numbers are expected: train again with a lower "
                f"learning rate."
            )
        self.optimiser.step()
        self.steps += 1
        return float(loss.detach())

    def state(self) -> dict[str, Any]:
        """All that `restore` needs."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "steps": self.steps,
            "generator": self.generator.get_state(),
            "torch": torch.get_rng_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there as if nothing had happened."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch"])
        self.steps = int(state["steps"])

    def _learning_rate(self) -> float:
        share = (1 + math.cos(math.pi * self.steps / self.recipe.steps)) / 2
        return self.recipe.learning_rate * (FINAL_SHARE + (1 - FINAL_SHARE) * share)

    def _episode(self) -> Episode:
        r, g = self.recipe, self.generator
        low, high = math.log(r.least_pairs), math.log(r.most_pairs + 1)
        k = int(math.exp(low + (high - low) * float(torch.rand((), generator=g))))
        which = torch.randperm(len(self.tasks), generator=g)[: r.batch]
        mixed = torch.rand(len(which), generator=g) < 0.5
        k = min(k, r.most_pairs)
        return self.tasks.draw(which, k, r.policy_pairs, r.query_pairs, mixed, g)


def cross_entropy(model: FewShot, episode: Episode, recipe: MetaRecipe) -> Tensor:
    r"""-ln p(whose it is) over the queries, in nats; expert and policy count alike.

    With ``mixup`` it is half of the loss; the other half is over as many mixtures of a query of
    the expert and one of the policy, :math:`\lambda x_E + (1 - \lambda) x_\pi`, of which the
    share lambda is the expert's (Zhang et al. 2018); lambda lies evenly between 0 and 1.
    """
    rows, counts, left_out = _queries(episode, recipe)
    own, other = rows.split(counts, 1)
    mixed, share = _mixtures(own, other, recipe)
    rows, counts = torch.cat([rows, mixed], 1), [*counts, mixed.shape[1]]
    logits = model.logits_expert_is_high(episode.expert, episode.policy, rows, left_out)
    of_expert, of_policy, of_mixed = logits.split(counts, 1)
    apart = (softplus(-of_expert).mean() + softplus(of_policy).mean()) / 2
    if not of_mixed.numel():
        return apart
    return (apart + binary_cross_entropy_with_logits(of_mixed, share)) / 2


def negative_log_likelihood(model: FewShot, episode: Episode, recipe: MetaRecipe) -> Tensor:
    """-ln p(a|s, memory of its owner) over the queries, in nats a pair, where actions have the
    variance 1; expert and policy count alike."""
    rows, counts, left_out = _queries(episode, recipe)
    by_expert, by_policy = model.log_probs(episode.expert, episode.policy, rows, left_out)
    own, other = by_expert.split(counts, 1)[0], by_policy.split(counts, 1)[1]
    return -(own.mean() + other.mean()) / 2


def _queries(episode: Episode, recipe: MetaRecipe) -> tuple[Tensor, list[int], bool]:
    """Rows to ask about, the expert's first; how many are whose; whether to leave them out."""
    expert, policy, *queries = episode
    if recipe.queries in ("left_out", "written"):
        queries = [expert, policy]
    left_out = recipe.queries == "left_out"
    return torch.cat(queries, 1), [q.shape[1] for q in queries], left_out


def _mixtures(own: Tensor, other: Tensor, recipe: MetaRecipe) -> tuple[Tensor, Tensor]:
    """Points between queries (B, q, D) of an expert and of a policy, which come in no order, and
    the expert's share in each (B, q); without ``mixup`` there are none."""
    n = own.shape[1] if recipe.queries == "mixup" else 0
    share = ((torch.arange(n) + 0.5) / n).to(own).expand(len(own), n)
    return torch.lerp(other[:, :n], own[:, :n], share[..., None]), share
