"""What a memory of an expert is compared to: others that are told of it by a few pairs.

The first two are trained on the same episodes as the memory; `matched` gives each as many
parameters. A perceptron learns nothing from episodes but where to start, and the nearest pair and
the true densities learn nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, softplus

from km_rl.errors import InputError
from km_rl.nn.mlp import mlp
from km_rl.rl.few_shot import FewShot
from km_rl.rl.heads import bounded

HEADS = 4
"""Heads of attention."""
Model = TypeVar("Model", bound=FewShot)


def matched(kind: type[Model], state: int, rest: int, parameters: int, **options: Any) -> Model:
    """The model whose number of parameters is nearest to ``parameters``, by its width."""

    def count(hidden: int) -> int:
        return size(kind.build(state, rest, hidden=hidden, **options))

    return kind.build(state, rest, hidden=width(count, parameters), **options)


def width(count: Callable[[int], int], parameters: int) -> int:
    """The width at which ``count`` is nearest to ``parameters``."""
    return min(range(4, 257, 4), key=lambda w: abs(count(w) - parameters))


def size(model: nn.Module) -> int:
    """How many parameters it has."""
    return sum(p.numel() for p in model.parameters())


class Attention(FewShot):
    """Cross-attention from a pair to what was given (as in attentive neural processes, Kim 2019).

    From the expert's pairs and from the policy's it reads an average of their codes, weighted by
    a softmax over how well keys match, and the log of the weights' sum: how much there was. The
    head sees these, the pair's own code and, as the memory's does, how far the two lie apart.

    Args:
        keys: match states, or states and, beside them, whole pairs.
        hidden: width of the perceptrons.
    """

    kind = "Attention"

    def __init__(
        self, state: int, rest: int, keys: Literal["state", "both"] = "state", hidden: int = 64
    ) -> None:
        super().__init__(state, rest, keys=keys, hidden=hidden)
        width = state + rest
        self.widths = (state,) if keys == "state" else (state, width)
        code = hidden // HEADS * HEADS
        self.code_width = code
        self.embed = nn.ModuleList(mlp(w, hidden, hidden) for w in self.widths)
        self.query = nn.ModuleList(nn.Linear(hidden, code) for _ in self.widths)
        self.key = nn.ModuleList(nn.Linear(hidden, code) for _ in self.widths)
        self.value = mlp(width, hidden, code)
        told = code + len(self.widths) * 2 * (2 * code + HEADS)
        self.head = mlp(told, hidden, 1)

    def logits_expert_is_high(
        self, expert: Tensor, policy: Tensor, rows: Tensor, left_out: bool = False
    ) -> Tensor:
        """As `FewShot`."""
        if not expert.shape[1] or not policy.shape[1]:
            return rows.new_zeros(rows.shape[:-1])
        k, m = expert.shape[1], policy.shape[1]
        own: list[Tensor | None] = [None, None]
        if left_out:
            everything = torch.eye(k + m, dtype=torch.bool, device=rows.device)
            own = [everything[:, :k], everything[:, k:]]
        x = self.stats(rows)
        told = [code := self.value(x)]
        for given, mine in zip((expert, policy), own, strict=True):
            for read, amount in self._read(self.stats(given), x, mine):
                told += [read, (code - read).square(), amount]
        return self.head(torch.cat(told, -1))[..., 0]

    def _read(
        self, given: Tensor, x: Tensor, own: Tensor | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """What is read from ``given`` (B, k, D) at x (B, N, D) by each kind of key, and how much
        there is: (B, N, code) and (B, N, HEADS)."""
        value = _heads(self.value(given))
        for width, embed, query, key in zip(
            self.widths, self.embed, self.query, self.key, strict=True
        ):
            q = _heads(query(embed(x[..., :width])))
            k = _heads(key(embed(given[..., :width])))
            match = q @ k.mT / q.shape[-1] ** 0.5
            if own is not None:
                match = match.masked_fill(own, -torch.inf)
            read = (match.softmax(-1) @ value).movedim(1, 2).flatten(-2)
            yield read, match.logsumexp(-1).movedim(1, 2)


def _heads(x: Tensor) -> Tensor:
    """(B, N, H W) -> (B, H, N, W)."""
    return x.unflatten(-1, (HEADS, -1)).movedim(2, 1)


class DeepSet(FewShot):
    """The mean of what each pair is encoded to, as SMILe has it (Ghasemipour et al. 2019)."""

    kind = "DeepSet"

    @property
    def state_floats(self) -> int:
        """The mean is all that would have to be carried."""
        return self.hidden

    def __init__(self, state: int, rest: int, hidden: int = 64) -> None:
        super().__init__(state, rest, hidden=hidden)
        self.hidden = hidden
        self.encode = mlp(state + rest, hidden, hidden)
        self.join = nn.Sequential(nn.Linear(state + rest + 2 * hidden, hidden), nn.ReLU())
        self.head = mlp(hidden, hidden, 1)

    def logits_expert_is_high(
        self, expert: Tensor, policy: Tensor, rows: Tensor, left_out: bool = False
    ) -> Tensor:
        """As `FewShot`."""
        x, k = self.stats(rows), expert.shape[1]
        told = [x]
        for given, mine in ((expert, slice(None, k)), (policy, slice(k, None))):
            code = self.encode(self.stats(given))
            mean = code.sum(1, keepdim=True) / max(1, code.shape[1])
            context = mean.expand(-1, x.shape[1], -1)
            if left_out:
                context = context.clone()
                n = code.shape[1]
                context[:, mine] = (mean * n - code) / max(1, n - 1)
            told.append(context)
        return self.head(self.join(torch.cat(told, -1)))[..., 0]


class Perceptron(FewShot):
    """A perceptron that is trained on the very pairs it is given, from where it stands.

    Trained on episodes before, it has a start that suits them all (fine-tuning); else it learns
    from scratch. Half of its units are dropped while it learns. An agent is paid by what it has
    learned since it was last shown something, so it learns anew in each round.

    Args:
        hidden: width of its two layers.
        updates: gradient steps on what it is given.
    """

    kind = "Perceptron"
    RATE, DROPPED = 1e-3, 0.5

    def __init__(self, state: int, rest: int, hidden: int = 64, updates: int = 300) -> None:
        super().__init__(state, rest, hidden=hidden, updates=updates)
        self.updates = updates
        first, second = mlp(state + rest, hidden, hidden), mlp(hidden, hidden, 1)
        self.layers = nn.ModuleList([first[0], first[2], second[2]])
        self._learned_of: tuple[Tensor, Tensor, list[int], list[Tensor]] | None = None

    def logits_expert_is_high(
        self, expert: Tensor, policy: Tensor, rows: Tensor, left_out: bool = False
    ) -> Tensor:
        """As `FewShot`; in training mode without learning from what is given."""
        if left_out:
            raise InputError("A perceptron cannot leave a pair out: train it on held-out ones.")
        if self.training:
            return self._forward(self._weights(1), self.stats(rows), 0.0)
        with torch.enable_grad():
            weights = self._learned(self.stats(expert), self.stats(policy))
        with torch.no_grad():
            return self._forward(weights, self.stats(rows), 0.0)

    @torch.no_grad()
    def forward(self, rows: Tensor) -> Tensor:
        """As `FewShot`; it learns only if other pairs are remembered or observed than before.

        It learns anew after its start has changed, too, as by `load_state_dict`.
        """
        if self.knows_nothing:
            return rows.new_zeros(len(rows))
        start = [weight._version for weight in self.parameters()]
        known = self._learned_of
        if (
            known is None
            or known[0] is not self._expert
            or known[1] is not self._policy
            or known[2] != start
        ):
            given = (self.stats(x[None].to(rows)) for x in (self._expert, self._policy))
            with torch.enable_grad():
                weights = self._learned(*given)
            self._learned_of = known = self._expert, self._policy, start, weights
        return bounded(self._forward(known[3], self.stats(rows[None]), 0.0)[0])

    def _learned(self, expert: Tensor, policy: Tensor) -> list[Tensor]:
        """Weights for each of the B episodes, which learn side by side."""
        weights = [w.detach().clone().requires_grad_() for w in self._weights(len(expert))]
        optimiser = torch.optim.Adam(weights, lr=self.RATE)
        rows, k = torch.cat([expert, policy], 1), expert.shape[1]
        for _ in range(self.updates):
            logits = self._forward(weights, rows, self.DROPPED)
            loss = softplus(-logits[:, :k]).mean(1) + softplus(logits[:, k:]).mean(1)
            optimiser.zero_grad()
            loss.sum().backward()
            optimiser.step()
        return weights

    def _weights(self, copies: int) -> list[Tensor]:
        """Weight (copies, in, out) and bias (copies, 1, out) of each layer."""
        layers = cast(list[nn.Linear], list(self.layers))
        each = [x for layer in layers for x in (layer.weight.mT, layer.bias[None])]
        return [x.expand(copies, *x.shape) for x in each]

    @staticmethod
    def _forward(weights: list[Tensor], x: Tensor, dropped: float) -> Tensor:
        for i in range(0, len(weights) - 2, 2):
            x = dropout((x @ weights[i] + weights[i + 1]).relu(), dropped, dropped > 0)
        return (x @ weights[-2] + weights[-1])[..., 0]


class NearestPair(FewShot):
    r"""The nearest pair of each, :math:`\ln d_\pi - \ln d_E`: a density ratio without a net.

    Distances are Euclidean, in standard deviations of all pairs.
    """

    kind = "NearestPair"

    def logits_expert_is_high(
        self, expert: Tensor, policy: Tensor, rows: Tensor, left_out: bool = False
    ) -> Tensor:
        """As `FewShot`."""
        x = self.stats(rows)
        k, m = expert.shape[1], policy.shape[1]
        own = torch.eye(k + m, dtype=torch.bool, device=x.device).split([k, m], 1)
        near = []
        for given, mine in zip((expert, policy), own, strict=True):
            distance = torch.cdist(x, self.stats(given))
            if left_out:
                distance = distance.masked_fill(mine, torch.inf)
            near.append(distance.amin(-1).clamp(min=1e-6).log())
        return near[1] - near[0]
