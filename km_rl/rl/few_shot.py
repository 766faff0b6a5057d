"""Discriminators that need no training on a new expert: they are told of it.

What all of them share, the memory (`km_rl.rl.meta`) and its rivals: episodic training on many
experts, a normaliser frozen after it, and how pairs of a new one are taken in.

Axes: ``B`` episodes, ``k`` pairs of an expert, ``m`` of a policy, ``N`` queries, ``D`` numbers in
a pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from km_rl.errors import InputError
from km_rl.nn.weights import SelfDescribing
from km_rl.rl.heads import bounded
from km_rl.rl.meta_training import MetaRecipe, MetaTraining
from km_rl.rl.sources import pairs
from km_rl.rl.stats import RunningStats
from km_rl.rl.tasks import Task, Tasks, rows_of

if TYPE_CHECKING:
    from typing_extensions import Self

ROUND_PAIRS = 64
"""Pairs of a policy that are kept of each round."""
ROUNDS = 4
"""Rounds that its history reaches back; a memory's fades instead, to as many pairs in all."""
NOT_REMEMBERED = (
    "Pairs were to be forgotten that had not been remembered: give those that `remember` was "
    "given, each once."
)


class FewShot(SelfDescribing):
    """The logit of a pair, given a few pairs of an expert and some of a policy.

    Args:
        state: entries of s.
        rest: entries of a.
        options: what else a kind of model is built from; saved with it.
    """

    generative = False
    """Whether it learns what experts and policies do, and not to tell them apart."""
    _expert: Tensor
    _policy: Tensor

    def __init__(self, state: int, rest: int, **options: Any) -> None:
        super().__init__()
        self.state, self.rest = state, rest
        self.spec = {"state": state, "rest": rest, **options}
        self.stats = RunningStats(state + rest)
        self.clear()

    @classmethod
    def build(cls, *args: Any, **spec: Any) -> Self:
        """The model of these sizes."""
        return cls(*args, **spec)

    @classmethod
    def fit(
        cls, tasks: Sequence[Task] | Tasks, recipe: MetaRecipe | None = None, **options: Any
    ) -> Self:
        """Train on tasks; the model is then ready to `remember` an expert that it never saw.

        Raises:
            InputError: fewer than two tasks, tasks of different shapes, or fewer pairs in half of
                one's episodes than the recipe asks for.
            NonFiniteError: the loss, its gradient or a memory holds NaN or infinity, as with too
                large a step size.
        """
        from km_rl.progress import progress_bar  # needs tqdm, and nothing else here does

        recipe = recipe or MetaRecipe()
        tasks = tasks if isinstance(tasks, Tasks) else Tasks(tasks)
        torch.manual_seed(recipe.seed)
        model = cls.build(tasks.state, tasks.rest, **options)
        training = MetaTraining(model, tasks, recipe)
        with progress_bar(total=recipe.steps, desc="fit", unit="step") as bar:
            while training.steps < recipe.steps:
                loss = training.step()
                bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
                bar.update()
        return model.eval()

    def save(self, path: str | Path) -> None:
        """Write what was learned from many experts to one safetensors file.

        What is remembered of a new one is not in it: `remember` its pairs again after `load`.

        Raises:
            InputError: the file cannot be written.
        """
        super().save(path)

    def logits_expert_is_high(
        self, expert: Tensor, policy: Tensor, rows: Tensor, left_out: bool = False
    ) -> Tensor:
        """Logits (B, N) of ``rows`` (B, N, D), given ``expert`` (B, k, D), ``policy`` (B, m, D).

        Args:
            left_out: the rows are those of the expert and then those of the policy, and each is
                scored as if it had not been given.
        """
        raise NotImplementedError

    def log_probs(
        self, expert: Tensor, policy: Tensor, rows: Tensor, left_out: bool = False
    ) -> tuple[Tensor, Tensor]:
        """What a `generative` model learns by: ln p(a|s) of rows, in nats, as the expert would act
        and as the policy would, (B, N) each; arguments as above."""
        raise NotImplementedError

    def remember(self, source: Any) -> None:
        """Take in pairs of an expert: whatever `km_rl.rl.sources.pairs` understands.

        Raises:
            InputError: what `pairs` refuses, or pairs of another environment.
        """
        self._expert = torch.cat([self._expert, self.rows(source)])

    def forget(self, source: Any) -> None:
        """Take pairs that were remembered out again, each as often as it is given.

        Raises:
            InputError: as `remember`, or pairs that were not remembered.
        """
        kept = self._expert
        for row in self.rows(source):
            places = (kept == row).all(-1).nonzero()
            if not len(places):
                raise InputError(NOT_REMEMBERED)
            kept = torch.cat([kept[: places[0]], kept[places[0] + 1 :]])
        self._expert = kept

    def observe(self, source: Any) -> None:
        """Take in what a policy did in a round: `ROUND_PAIRS` of it; errors as `remember`."""
        self._policy = torch.cat([self._policy, self.some(source)])[-ROUNDS * ROUND_PAIRS :]

    def clear(self) -> None:
        """Know no expert and no policy."""
        self._expert = self._policy = torch.zeros(0, self.state + self.rest)

    @torch.no_grad()
    def forward(self, rows: Tensor) -> Tensor:
        """The logits (N,) of pairs (N, D), given what was remembered and observed.

        They are 0 while there is nothing of an expert, or of a policy.
        """
        if self.knows_nothing:
            return rows.new_zeros(len(rows))
        expert, policy = (x[None].to(rows) for x in (self._expert, self._policy))
        return bounded(self.logits_expert_is_high(expert, policy, rows[None])[0])

    @property
    def knows_nothing(self) -> bool:
        """Whether there is nothing of an expert, or of a policy, to tell pairs apart by."""
        return not len(self._expert) or not len(self._policy)

    def rows(self, source: Any) -> Tensor:
        """Pairs of any source as rows (N, D).

        Raises:
            InputError: as `remember`.
        """
        found = pairs(source)
        widths = found.state.shape[1], found.action.shape[1]
        if widths != (self.state, self.rest):
            raise InputError(
                f"Pairs with {widths[0]} entries of a state and {widths[1]} of an action were "
                f"given where this discriminator was trained on {self.state} and {self.rest}: "
                f"give pairs of its environment, or train one on yours."
            )
        return rows_of(found)

    def some(self, source: Any, n: int = ROUND_PAIRS) -> Tensor:
        """At most n rows of a source, at random."""
        rows = self.rows(source)
        return rows[torch.randperm(len(rows))[:n]]

    @property
    def state_floats(self) -> int:
        """Numbers that are carried of the expert that is remembered: here, its pairs."""
        return self._expert.numel()
