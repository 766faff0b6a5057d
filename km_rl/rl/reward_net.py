"""The discriminator as imitation's reward net: one line of a GAIL script changes.

    reward_net = KanervaRewardNet(venv.observation_space, venv.action_space)

In imitation's discriminator updates a batch is [expert half; generator half]. The net remembers
the expert half and keeps some of the other as the policy's history, so nothing else need be
called; `remember`, `forget` and `observe` are there for who wants to say it.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from imitation.rewards.reward_nets import RewardNet
from torch import Tensor
from torch.nn.functional import softplus

from km_rl.errors import InputError
from km_rl.nn.weights import fill, load_weights, save_weights
from km_rl.rl.discriminator import Discriminator
from km_rl.rl.episodes import Pairs
from km_rl.rl.evidence import EXPERT, POLICY
from km_rl.rl.options import Options
from km_rl.rl.pair_buffer import distinct
from km_rl.rl.sources import check_start, pairs

RewardMap = Literal["softplus", "logit", "conformal"]
REWARD_MAPS = ("softplus", "logit", "conformal")
UPDATES_PER_ROUND = 8
"""Discriminator updates that a round is taken to have, when the net observes by itself."""


class MemoryState(NamedTuple):
    """What the memories hold, as numbers to log.

    Attributes:
        expert_pairs, policy_pairs: in the buffers.
        expert_slots, policy_slots: effective number of slots in use, K - tr U, the effective
            degrees of freedom of ridge regression; mean over channels.
        noise_var: of a code around its read-out; mean over channels.
    """

    expert_pairs: float
    policy_pairs: float
    expert_slots: float
    policy_slots: float
    noise_var: float


class Surprise(NamedTuple):
    """What the memories say about N pairs, summed over channels; each with shape (N,).

    Attributes:
        logit: high for the expert.
        surprise: -ln p(code | address) under the policy's memory, in nats.
        information_gain: nats that the policy's memory would learn from the pair.
        expert_gain: the same for the expert's memory; high where the expert was never seen.
    """

    logit: Tensor
    surprise: Tensor
    information_gain: Tensor
    expert_gain: Tensor


class KanervaRewardNet(RewardNet):
    """A memory of the expert's pairs against one of the policy's, as a reward net.

    For AIRL, whose net is not the logit but a part of it, take a ``head`` that is trained
    (``conditional``): the usual one, least squares, is a logit already.

    Args:
        use_next_state: let a pair be (s, a, s').
        reward: how `reward_fn` makes a reward of a logit. ``softplus`` is what imitation's GAIL
            does by itself; the logit may be negative; ``conformal`` is a p-value, see
            `Discriminator.p_value`. GAIL pays the last two only where it is told to, by
            ``trainer.venv_wrapped.reward_fn = net.reward_fn``.
        options: the fields of `km_rl.rl.options.Options`.

    Raises:
        InputError: image observations, spaces that are neither vectors nor discrete actions, or an
            option that does not exist or cannot be.
    """

    kind = "KanervaRewardNet"

    def __init__(
        self,
        observation_space: gym.Space,
        action_space: gym.Space,
        *,
        use_next_state: bool = False,
        reward: RewardMap = "softplus",
        **options: Any,
    ) -> None:
        super().__init__(observation_space, action_space)
        known = {field.name for field in fields(Options)}
        if unknown := options.keys() - known:
            raise InputError(
                f"There is no option '{min(unknown)}' of KanervaRewardNet: "
                f"one of {', '.join(sorted(known))} is expected."
            )
        if reward not in REWARD_MAPS:
            raise InputError(f"reward is '{reward}': one of {', '.join(REWARD_MAPS)} is expected.")
        self.use_next_state, self.reward = use_next_state, reward
        state, action = _width(observation_space), _width(action_space)
        self.discriminator = Discriminator(
            state, action + use_next_state * state, Options(**options)
        )
        self.observes_itself = True
        self._told_full = False

    def forward(self, state: Tensor, action: Tensor, next_state: Tensor, done: Tensor) -> Tensor:
        """The logits of N pairs, high for the expert, with shape (N,).

        In training mode the batch is taken as [expert half; generator half] and remembered.

        Raises:
            InputError: a training batch that has no two halves.
        """
        rows = self.rows(state, action, next_state)
        if not self.training:
            return self.discriminator(rows)
        if len(rows) % 2:
            raise InputError(
                f"A training batch of {len(rows)} pairs was given: the expert's half, then the "
                f"generator's is expected; call .eval() to score pairs."
            )
        expert, policy = rows.detach().chunk(2)
        self.discriminator.see(rows.detach())
        first, which = distinct(self.discriminator.expert.key(rows))  # few pairs come many times
        self._remember(rows.detach()[first[first < len(expert)].sort().values])
        logits = self.discriminator(rows[first])[which]
        if self.observes_itself:
            most = max(1, self.discriminator.options.round_pairs // UPDATES_PER_ROUND)
            self.discriminator.observe(_some(policy, most))
        return logits

    def _remember(self, rows: Tensor) -> None:
        """Of a training batch; says so, once, when there is no room for more."""
        buffer = self.discriminator.expert
        self.discriminator.remember(rows)
        if not self._told_full and buffer.count == buffer.capacity and len(buffer.unheld(rows)):
            self._told_full = True
            warnings.warn(
                f"The expert has more pairs than the {buffer.capacity} that there is room for, "
                f"and the others are left out: take every n-th pair, or a larger expert_capacity.",
                UserWarning,
                stacklevel=2,
            )

    def rows(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        """Preprocessed pairs (s, a), or (s, a, s'), as rows (N, D) in float32."""
        parts = (state, action, next_state) if self.use_next_state else (state, action)
        return torch.cat([part.flatten(1).float() for part in parts], -1)

    def remember(self, demonstrations: Any) -> None:
        """Write an expert's demonstrations: whatever `km_rl.rl.sources.pairs` understands.

        Pairs that are remembered already change nothing: a pair is held once however often it
        comes, so where states are few the memory knows which pairs an expert visits, not how
        often.

        Raises:
            InputError: what `pairs` refuses, or more pairs than there is room for.
        """
        rows = self._rows_of(demonstrations)
        expert = self.discriminator.expert
        new = len(expert.unheld(rows))
        if expert.count + new > expert.capacity:
            raise InputError(
                f"{new} new pairs were given beside {expert.count} where {expert.capacity} have "
                f"room: take every n-th pair, or give a larger expert_capacity."
            )
        self.discriminator.see(rows)
        self.discriminator.remember(rows)

    def forget(self, demonstrations: Any) -> int:
        """Take demonstrations out of the expert's memory, as if they had never been written.

        With ``scale="all"`` the units of all pairs that were ever seen stay.

        A pair is held once however often it was remembered, so one that demonstrations share is
        forgotten with any of them; where states are few, remember the others again.

        Returns:
            How many of their pairs were there.
        """
        return self.discriminator.forget(self._rows_of(demonstrations))

    def observe(self, transitions: Any) -> None:
        """Write what the policy did in a round into its memory, at most ``round_pairs`` of it."""
        rows = self._rows_of(transitions)
        self.discriminator.see(rows)
        self.discriminator.observe(_some(rows, self.discriminator.options.round_pairs))

    @property
    @torch.no_grad()
    def memory_state(self) -> MemoryState:
        """What the memories hold now."""
        net = self.discriminator
        with _evaluating(net):
            covs = [memory.cov for memory in net.written().memories]
        slots = torch.stack([len(U[0]) - U.diagonal(0, -2, -1).sum(-1) for U in covs]).mean(0)
        return MemoryState(
            float(net.expert.count),
            float(net.policy.count),
            float(slots[EXPERT]),
            float(slots[POLICY]),
            float(net.noise_var.mean()),
        )

    @torch.no_grad()
    def expert_logits(self, most: int) -> Tensor:
        """Logits of the expert's pairs, about so many at most, each left out of the memory."""
        content = self.discriminator.expert.content
        sample = content[:: max(1, len(content) // most)]
        with _evaluating(self.discriminator):
            return self.discriminator.logits_expert_is_high(sample, left_out=True)

    @torch.no_grad()
    def surprise(
        self, state: Tensor, action: Tensor, next_state: Tensor, done: Tensor
    ) -> Surprise:
        """What the memories say about preprocessed pairs; see `preprocess`."""
        rows = self.rows(state, action, next_state)
        with _evaluating(self.discriminator):
            evidence = self.discriminator.evidence(rows)
            logit = self.discriminator.weigh(evidence)
        gain = torch.stack([e.gain for e in evidence]).sum(0)
        log_prob = torch.stack([e.log_prob for e in evidence]).sum(0)
        return Surprise(logit, -log_prob[POLICY], gain[POLICY], gain[EXPERT])

    def reward_fn(
        self, state: np.ndarray, action: np.ndarray, next_state: np.ndarray, done: np.ndarray
    ) -> np.ndarray:
        """Rewards (N,) by the map ``reward``, for imitation's `RewardVecEnvWrapper`."""
        if self.reward != "conformal":
            logit = torch.from_numpy(self.predict(state, action, next_state, done))
            return (softplus(logit) if self.reward == "softplus" else logit).numpy()
        rows = self.rows(*self.preprocess(state, action, next_state, done)[:3])
        with _evaluating(self.discriminator):
            return self.discriminator.p_value(rows).cpu().numpy()

    def save(self, path: str | Path) -> None:
        """Write everything, memories too, to one safetensors file.

        Raises:
            InputError: the file cannot be written.
        """
        spec = {
            "observation_space": _described(self.observation_space),
            "action_space": _described(self.action_space),
            "use_next_state": self.use_next_state,
            "reward": self.reward,
            **asdict(self.discriminator.options),
        }
        save_weights(path, self.kind, spec, self)

    @classmethod
    def load(
        cls,
        path: str | Path,
        observation_space: gym.Space | None = None,
        action_space: gym.Space | None = None,
    ) -> KanervaRewardNet:
        """Read back what `save` wrote, ready to evaluate.

        Args:
            observation_space, action_space: of the environment it is meant for, to be checked.

        Raises:
            InputError: no such file, another kind of file, or a net of another environment.
        """
        spec, state = load_weights(path, cls.kind)
        spaces = [_space(spec.pop(name)) for name in ("observation_space", "action_space")]
        for saved, wanted in zip(spaces, (observation_space, action_space), strict=True):
            if wanted is not None and not _alike(saved, wanted):
                raise InputError(
                    f"'{path}' holds a discriminator for {saved} where the environment has "
                    f"{wanted}: give the file that was trained on this environment."
                )
        net = cls(*spaces, **spec)
        fill(net, state, path)
        return net.eval()

    def _rows_of(self, source: Any) -> Tensor:
        found: Pairs = pairs(source, self.observation_space, self.action_space)
        if self.use_next_state and not found.next_state.shape[1]:
            raise InputError(
                "These pairs have no next states where use_next_state asks for them: give "
                "transitions with next_obs, or build the net without it."
            )
        return self.rows(found.state, found.action, found.next_state).to(self.device)


class _evaluating:
    """A context in which a discriminator is in evaluation mode.

    imitation's does the same, but walks through all modules where there is nothing to change, too,
    and this is entered for every reward.
    """

    def __init__(self, net: Discriminator) -> None:
        self.net, self.was = net, net.training

    def __enter__(self) -> None:
        if self.was:
            self.net.eval()

    def __exit__(self, *_: object) -> None:
        if self.was:
            self.net.train()


def _some(rows: Tensor, most: int) -> Tensor:
    """At most so many rows, at random."""
    return rows[torch.randperm(len(rows), device=rows.device)[:most]]


def _width(space: gym.Space) -> int:
    """Entries of a vector of the space, one-hot if it is discrete."""
    check_start(space)
    if isinstance(space, gym.spaces.Discrete):
        return int(space.n)
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1:
        return space.shape[0]
    raise InputError(
        f"{space} was given: a Box of vectors or, for actions, Discrete is expected; flatten it, "
        f"or encode images to vectors first."
    )


def _alike(one: gym.Space, other: gym.Space) -> bool:
    """Whether vectors have the same width and bounds; whatever their precision."""
    if type(one) is not type(other) or _width(one) != _width(other):
        return False
    if not isinstance(one, gym.spaces.Box) or not isinstance(other, gym.spaces.Box):
        return True
    return np.allclose(one.low, other.low) and np.allclose(one.high, other.high)


def _described(space: gym.Space) -> dict[str, Any]:
    """A space as JSON."""
    if isinstance(space, gym.spaces.Discrete):
        return {"n": int(space.n)}
    assert isinstance(space, gym.spaces.Box)
    return {"low": space.low.tolist(), "high": space.high.tolist(), "dtype": str(space.dtype)}


def _space(described: dict[str, Any]) -> gym.Space:
    if "n" in described:
        return gym.spaces.Discrete(described["n"])
    low, high = (np.array(described[k], dtype=described["dtype"]) for k in ("low", "high"))
    return gym.spaces.Box(low, high, dtype=np.dtype(described["dtype"]).type)
