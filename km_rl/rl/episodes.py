"""Pairs of state and action, and the episodes [B, T, D] that are drawn from them.

What is exchangeable: a pile of pairs. GAIL asks whether two policies visit the same pairs, not
when, so the discriminator sees pairs drawn at random; any order of them is as likely as any other,
and a memory that adds them up loses nothing. What is not: a trajectory. There each pair begins
where the one before it ended, and neighbours nearly repeat one another. Hence

- `draw` draws over the whole pile, blind to the trajectory;
- `Pairs.every` thins each trajectory, so that what is left is closer to independent draws;
- `split` holds out whole trajectories: a pair whose neighbours are known is not unseen.

::

    train, held_out = split(pairs(demonstrations, observation_space, action_space), 0.2, generator)
    stats = RunningStats(width)
    stats.update(torch.cat([train.state, train.action], -1))
    stats.freeze()
    episodes = stats(draw(train.every(20), B=16, T=32, generator=generator))

Objects of imitation, SB3 and gymnasium are known by their attributes. Axes: ``N`` pairs, ``B``
episodes, ``T`` pairs in one; ``Ds``, ``Da`` and ``D`` numbers in a state, an action and a pair.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from km_rl.errors import InputError, at_least_one

if TYPE_CHECKING:
    from typing_extensions import Self

FIELDS = ("obs", "acts", "next_obs", "dones", "terminal")
NOTHING = "There are no pairs: at least one trajectory of one step is needed."
SAME = "give pairs of the environment that the spaces belong to"


class Pairs(NamedTuple):
    """N pairs, in the order in which they happened.

    Attributes:
        state: float32 with shape (N, Ds), in the units of the environment.
        action: float32 with shape (N, Da); a discrete action is one-hot.
        next_state: float32 with shape (N, Ds), or (N, 0) where the source does not tell it.
        done: float32 with shape (N,), 1 where an environment's episode ends with this pair.
        trajectory: int64 with shape (N,): the pairs of one trajectory share a number.
    """

    state: Tensor
    action: Tensor
    next_state: Tensor
    done: Tensor
    trajectory: Tensor

    @property
    def count(self) -> int:  # type: ignore[override]
        """N; `len` is the number of fields."""
        return len(self.state)

    def take(self, index: Tensor) -> Self:
        """The pairs at ``index``, whole numbers or a mask."""
        return self._replace(**{name: x[index] for name, x in self._asdict().items()})

    def every(self, n: int) -> Self:
        """The first, (n+1)-th, (2n+1)-th ... pair of each trajectory; InputError for n below 1."""
        at_least_one(n=n)
        order = self.trajectory.argsort(stable=True)
        lengths = self.trajectory.unique(return_counts=True)[1]
        first = (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
        place = torch.arange(self.count, device=order.device) - first
        return self.take(order[place % n == 0].sort().values)

    @classmethod
    def join(cls, parts: Iterable[Pairs]) -> Self:
        """All pairs of all parts; trajectories of different parts get different numbers.

        Raises:
            InputError: no pairs at all, or parts of different widths.
        """
        filled = [part for part in parts if part.count]
        if not filled:
            raise InputError(NOTHING)
        widths = {tuple(x.shape[1] for x in part[:3]) for part in filled}
        if len(widths) > 1:
            raise InputError(
                f"Pairs of widths (state, action, next state) {sorted(widths)} cannot be joined: "
                f"give pairs of one environment and one kind of source."
            )
        joined = cls(*(torch.cat(field) for field in zip(*filled, strict=True)))
        ends = torch.tensor([int(part.trajectory.max()) + 1 for part in filled])
        counts = torch.tensor([part.count for part in filled])
        before = (ends.cumsum(0) - ends).repeat_interleave(counts)
        return joined._replace(trajectory=joined.trajectory + before.to(joined.trajectory.device))


def pairs(source: Any, observation_space: Any = None, action_space: Any = None) -> Pairs:
    """Pairs of anything that holds transitions; checked against the spaces where they are given.

    Sources: `Pairs`; trajectories and transitions of imitation, or a mapping with their keys;
    a ``RolloutBuffer`` or ``ReplayBuffer`` of SB3, which brings its own spaces; a sequence of any
    of these. Transitions without trajectories are read in order: a trajectory ends at each done.

    - A ``RolloutBuffer``, before or after training on it, has no next states. They are the
      following rows, so the last row of each environment and the last step of each episode are
      left out. Its actions are clipped to the space, as the environment saw them.
    - A ``ReplayBuffer`` holds actions rescaled to [-1, 1]; here they have the environment's units.
      With ``optimize_memory_usage`` it lacks the last steps' next states: they are left out.

    Discrete values become one-hot; without a space, whole-number actions are refused.

    Raises:
        InputError: no pairs, another shape than the space's, images, NaN or infinity, an
            action outside its discrete space, or a source that holds no transitions.
    """
    if _is_pile(source):
        return Pairs.join(_each(source, observation_space, action_space))
    if _is_buffer(source):
        observation_space = observation_space or source.observation_space
        action_space = action_space or source.action_space
    _refuse_space(observation_space, "Observations")
    _refuse_space(action_space, "Actions")
    if isinstance(source, Pairs):
        observation_space, action_space = _flat(observation_space), _flat(action_space)
    return _encoded(_raw(source), observation_space, action_space)


def split(pairs: Pairs, held_out: float, generator: torch.Generator) -> tuple[Pairs, Pairs]:
    """(train, held out): a random ``held_out`` of the trajectories, and at least one, is held out.

    With ``held_out`` 0 the second part is empty.

    Raises:
        InputError: ``held_out`` is not in [0, 1), or there is only one trajectory to split.
    """
    if not 0 <= held_out < 1:
        raise InputError(f"held_out is {held_out}: a share from 0 to below 1 is expected.")
    numbers = pairs.trajectory.unique()
    if held_out and len(numbers) < 2:
        raise InputError("One trajectory cannot be split: give at least two, or held_out=0.")
    wanted = min(max(round(held_out * len(numbers)), 1), len(numbers) - 1) if held_out else 0
    order = torch.randperm(len(numbers), generator=generator).to(numbers.device)
    outside = torch.isin(pairs.trajectory, numbers[order[:wanted]])
    return pairs.take(~outside), pairs.take(outside)


def draw(
    pairs: Pairs, B: int, T: int, generator: torch.Generator, *, next_state: bool = False
) -> Tensor:
    """B random episodes: float32 with shape (B, T, D), rows (s, a) or (s, a, s').

    The T pairs of an episode are different ones; every set of T is equally likely. The generator
    is on the CPU, wherever the pairs are.

    Raises:
        InputError: B or T is below 1, there are fewer than T pairs, or no next states.
    """
    at_least_one(B=B, T=T)
    if pairs.count < T:
        raise InputError(f"Episodes of {T} pairs were asked of {pairs.count}: give more pairs.")
    if next_state and not pairs.next_state.shape[1]:
        raise InputError("These pairs have no next states: give transitions with next_obs.")
    index = torch.stack([torch.randperm(pairs.count, generator=generator)[:T] for _ in range(B)])
    rows = torch.cat(pairs[:3] if next_state else pairs[:2], dim=-1)
    return rows[index.to(rows.device)]


class RunningStats(nn.Module):
    """Mean and variance of all rows seen so far, and rows normalised by them.

    Batches are merged exactly (Chan, Golub & LeVeque 1979). All four buffers are saved in
    ``state_dict``, so statistics that were frozen are frozen when they are read back.

    Attributes:
        mean, var: float32 with shape (D,); 0 and 1 before the first row.
        count: int64, the rows seen.
        frozen: bool, whether `update` is without effect.
    """

    EPS = 1e-5  # added to the variance, as one number may never have changed
    LIMIT = 10.0  # standard deviations: values further out are told no further apart

    mean: Tensor
    var: Tensor
    count: Tensor
    frozen: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("var", torch.ones(width))
        self.register_buffer("count", torch.tensor(0))
        self.register_buffer("frozen", torch.tensor(False))

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Take in ``x``, with shape (..., D), unless frozen; InputError for NaN or infinity."""
        rows = x.reshape(-1, x.shape[-1]).double()
        if self.frozen or not len(rows):
            return
        mean, var = rows.mean(0), rows.var(0, correction=0)
        if not var.isfinite().all():
            raise InputError("Running statistics were given NaN or infinity: leave such rows out.")
        share = len(rows) / (self.count + len(rows)).double()
        shift = mean - self.mean
        self.var.copy_(self.var.double().lerp(var, share) + share * (1 - share) * shift**2)
        self.mean += share * shift
        self.count += len(rows)

    def restart(self, x: Tensor) -> None:
        """Know the rows ``x`` and no others, unless frozen; errors as `update`."""
        if self.frozen:
            return
        self.count.zero_()
        self.mean.zero_()
        self.var.fill_(1.0)
        self.update(x)

    def freeze(self) -> None:
        """From now on `update` changes nothing."""
        self.frozen.fill_(True)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` in standard deviations from the mean, at most `LIMIT`; of the same shape."""
        return ((x - self.mean) * (self.var + self.EPS).rsqrt()).clamp(-self.LIMIT, self.LIMIT)


class _Raw(NamedTuple):
    """Transitions as a source holds them: N rows each, not yet checked."""

    obs: Any
    acts: Any
    next_obs: Any = None
    dones: Any = None
    trajectory: Any = None


def _raw(source: Any) -> _Raw:
    if isinstance(source, Pairs):
        return _Raw(*source)._replace(next_obs=source[2] if source[2].numel() else None)
    if _is_buffer(source):
        return _of_rollouts(source) if hasattr(source, "episode_starts") else _of_replay(source)
    get = source.get if isinstance(source, Mapping) else partial(getattr, source)
    obs, acts, next_obs, dones, terminal = (get(name, None) for name in FIELDS)
    if obs is None or acts is None:
        raise InputError(
            f"A {type(source).__name__} without obs and acts holds no transitions: give those of "
            f"imitation, a buffer of stable-baselines3, or a mapping with the keys obs and acts."
        )
    if terminal is None:
        return _Raw(obs, acts, next_obs, dones)
    obs, dones = _tensor(obs, "Observations"), torch.zeros(len(acts))
    dones[-1:] = float(terminal)
    return _Raw(obs[:-1], acts, obs[1:], dones, torch.zeros_like(dones))


def _each(source: Sequence[Any], observation_space: Any, action_space: Any) -> Iterator[Pairs]:
    for number, part in enumerate(source):
        try:
            yield pairs(part, observation_space, action_space)
        except InputError as error:
            raise InputError(f"Number {number} of {len(source)} (from 0): {error}") from error


def _is_pile(source: Any) -> bool:
    """Whether this is several sources; imitation's transitions and `Pairs` are sequences too."""
    single = isinstance(source, (str, bytes, Pairs)) or hasattr(source, "acts")
    return isinstance(source, Sequence) and not single


def _is_buffer(source: Any) -> bool:
    return all(hasattr(source, name) for name in ("observations", "actions", "pos", "full"))


def _of_rollouts(buffer: Any) -> _Raw:
    """Of an SB3 RolloutBuffer; training on it lays its rows one environment after the other."""
    obs, acts = buffer.observations, buffer.actions
    if buffer.generator_ready:
        layout = (buffer.n_envs, buffer.buffer_size)
        obs, acts = (x.reshape(*layout, *x.shape[1:]).swapaxes(0, 1) for x in (obs, acts))
    if hasattr(space := buffer.action_space, "low"):
        acts = acts.clip(space.low.ravel(), space.high.ravel())
    last = max(buffer.pos - 1, 0)
    ends = buffer.episode_starts[1 : last + 1].astype(bool)
    return _unrolled(obs[:last], acts[:last], obs[1 : last + 1], ends, kept=~ends)


def _of_replay(buffer: Any) -> _Raw:
    """Of an SB3 ReplayBuffer: a ring whose oldest row is at ``pos`` once it is full."""
    size, shared = buffer.buffer_size, buffer.optimize_memory_usage
    # With shared observations the newest row's next state lies where the oldest row's state was.
    oldest, count = (buffer.pos + shared, size - shared) if buffer.full else (0, buffer.pos)
    rows = (oldest + np.arange(count)) % size
    obs, acts, ends = buffer.observations[rows], buffer.actions[rows], buffer.dones[rows] > 0
    next_obs = buffer.observations[(rows + 1) % size] if shared else buffer.next_observations[rows]
    if hasattr(space := buffer.action_space, "low"):
        acts = space.low.ravel() + (acts + 1) * (space.high - space.low).ravel() / 2
    return _unrolled(obs, acts, next_obs, ends, kept=~(ends & shared))


def _unrolled(
    obs: np.ndarray, acts: np.ndarray, next_obs: np.ndarray, ends: np.ndarray, kept: np.ndarray
) -> _Raw:
    """From [steps, environments, ...] to rows, one environment after the other."""
    episode = ends.cumsum(axis=0) - ends
    number = episode + np.arange(ends.shape[1]) * (len(ends) + 1)
    return _Raw(*(x.swapaxes(0, 1)[kept.T] for x in (obs, acts, next_obs, ends, number)))


def _encoded(raw: _Raw, observation_space: Any, action_space: Any) -> Pairs:
    """Checked rows of float32; trajectories numbered 0, 1, 2, ..."""
    state = _vectors(raw.obs, observation_space, "Observations")
    action = _vectors(raw.acts, action_space, "Actions").to(state.device)
    following, done = state[:, :0], state.new_zeros(len(state))
    if raw.next_obs is not None:
        following = _vectors(raw.next_obs, observation_space, "Next observations")
    if raw.dones is not None:
        done = _tensor(raw.dones, "Dones").flatten().to(done)
    shapes = [tuple(x.shape) for x in (state, action, following, done)]
    if len({shape[0] for shape in shapes}) > 1 or shapes[2][1] not in (0, shapes[0][1]):
        raise InputError(
            f"obs, acts, next_obs and dones have the shapes {shapes}: give as many rows of each, "
            f"and next_obs as wide as obs."
        )
    number = done.cumsum(0) - done
    if raw.trajectory is not None:
        number = _tensor(raw.trajectory, "Trajectories").to(state.device)
    return Pairs(state, action, following, done, number.unique(return_inverse=True)[1])


def _vectors(values: Any, space: Any, what: str) -> Tensor:
    """Rows of numbers, or of one-hot vectors, as float32 with shape (N, D)."""
    x = _tensor(values, what)
    shape = tuple(x.shape[1:])
    wanted = shape if space is None else tuple(getattr(space, "shape", ()))
    if len(wanted) > 2:
        raise InputError(
            f"{what} of shape {wanted} are images where vectors are expected: "
            f"encode them first, for instance by the policy's features extractor."
        )
    if not x.numel():
        raise InputError(NOTHING)
    if _is_discrete(space):
        return _one_hot(x, space, what)
    if shape not in (wanted, (math.prod(wanted),)):
        raise InputError(f"{what} have shape {shape} where {wanted} is expected: {SAME}.")
    if space is None and what == "Actions" and not x.is_floating_point():
        raise InputError("Actions are whole numbers: give action_space, which says how many.")
    x = x.reshape(len(x), -1).float()
    if len(bad := (~x.isfinite()).any(dim=1).nonzero()):
        raise InputError(
            f"{what} hold NaN or infinity in {len(bad)} of {len(x)} rows, first in row "
            f"{int(bad[0])} (from 0): leave that trajectory out, or repair it."
        )
    return x


def _one_hot(x: Tensor, space: Any, what: str) -> Tensor:
    n, start = int(space.n), int(getattr(space, "start", 0))
    index = x.nan_to_num(-1, -1, -1).long() - start
    if x[0].numel() > 1 or ((index + start != x) | (index < 0) | (index >= n)).any():
        raise InputError(
            f"{what} of shape {tuple(x.shape[1:])} from {x.min()} to {x.max()} were given where "
            f"one whole number from {start} to {start + n - 1} each is expected: {SAME}."
        )
    return torch.nn.functional.one_hot(index.flatten(), n).float()


def _tensor(values: Any, what: str) -> Tensor:
    """A tensor stays where it is; anything else is copied, as imitation's arrays are read-only."""
    if isinstance(values, Tensor):
        return values.detach()
    try:
        return torch.from_numpy(np.array(values, ndmin=1))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{what} of type {type(values).__name__} are no array of numbers: flatten "
            f"dictionaries by gymnasium's FlattenObservation, and give rows of one length."
        ) from error


def _refuse_space(space: Any, what: str) -> None:
    known = space is None or _is_discrete(space) or getattr(space, "shape", None) is not None
    if not known or hasattr(space, "nvec"):
        raise InputError(
            f"{what} of a {type(space).__name__} space are not supported: "
            f"wrap the environment so that they are a Box or a Discrete space."
        )


def _is_discrete(space: Any) -> bool:
    """A MultiBinary space has an ``n`` too, but its values are vectors already."""
    return hasattr(space, "n") and getattr(space, "shape", ()) == ()


def _flat(space: Any) -> Any:
    """What a space expects of encoded values."""
    if space is None:
        return None
    width = int(space.n) if _is_discrete(space) else math.prod(space.shape)
    return SimpleNamespace(shape=(width,))
