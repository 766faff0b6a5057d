"""From what holds transitions to pairs: imitation's trajectories, SB3's buffers, plain arrays.

Objects of imitation, SB3 and gymnasium are known by their attributes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from km_rl.errors import InputError
from km_rl.rl.episodes import NOTHING, Pairs

FIELDS = ("obs", "acts", "next_obs", "dones", "terminal")
SAME = "give pairs of the environment that the spaces belong to"


def pairs(source: Any, observation_space: Any = None, action_space: Any = None) -> Pairs:
    """Pairs of anything that holds transitions; checked against the spaces where they are given.

    Sources: `Pairs`; trajectories and transitions of imitation, or a mapping with their keys;
    a ``RolloutBuffer`` or ``ReplayBuffer`` of SB3, which brings its own spaces; a sequence of any
    of these. Transitions without trajectories are read in order: a trajectory ends at each done.

    - A ``RolloutBuffer``, before or after training on it, has no next states. They are the
      following rows, so the last row of each environment and the last step of each episode are
      left out. Its actions are clipped to the space, as the environment saw them, unless the
      policy squashes them: then they are in [-1, 1].
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
    obs, dones = numbers(obs, "Observations"), torch.zeros(len(acts))
    dones[-1:] = float(terminal)
    return _Raw(obs[:-1], acts, obs[1:], dones, torch.zeros_like(dones))


def _each(source: Sequence[Any], observation_space: Any, action_space: Any) -> Iterator[Pairs]:
    for number, part in enumerate(source):
        try:
            yield pairs(part, observation_space, action_space)
        except InputError as error:
            raise InputError(f"Number {number} of {len(source)} (from 0): {error}") from error


def check_start(space: Any) -> None:
    """Refuse a discrete space that does not count from 0.

    Raises:
        InputError: what it counts from.
    """
    start = getattr(space, "start", 0)
    if np.any(start):
        raise InputError(
            f"{space} was given, which counts from {start}: one that counts from 0, as SB3's "
            f"agents do, is expected; wrap the environment."
        )


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
    acts = in_units(acts, buffer.action_space)
    return _unrolled(obs, acts, next_obs, ends, kept=~(ends & shared))


def in_units(acts: np.ndarray, space: Any) -> np.ndarray:
    """Actions (*, Da) of a ``ReplayBuffer``, which holds a box's rescaled to [-1, 1], in the
    environment's units."""
    if not hasattr(space, "low"):
        return acts
    return space.low.ravel() + (acts + 1) * (space.high - space.low).ravel() / 2


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
        done = numbers(raw.dones, "Dones").flatten().to(done)
    shapes = [tuple(x.shape) for x in (state, action, following, done)]
    if len({shape[0] for shape in shapes}) > 1 or shapes[2][1] not in (0, shapes[0][1]):
        raise InputError(
            f"obs, acts, next_obs and dones have the shapes {shapes}: give as many rows of each, "
            f"and next_obs as wide as obs."
        )
    number = done.cumsum(0) - done
    if raw.trajectory is not None:
        number = numbers(raw.trajectory, "Trajectories").to(state.device)
    return Pairs(state, action, following, done, number.unique(return_inverse=True)[1])


def _vectors(values: Any, space: Any, what: str) -> Tensor:
    """Rows of numbers, or of one-hot vectors, as float32 with shape (N, D)."""
    x = numbers(values, what)
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
    check_finite(x, what)
    return x


def check_finite(x: Tensor, what: str) -> None:
    """Refuse rows with NaN or infinity with an `InputError` that counts them."""
    if len(bad := (~x.isfinite()).flatten(1).any(dim=1).nonzero()):
        raise InputError(
            f"{what} hold NaN or infinity in {len(bad)} of {len(x)} rows, first in row "
            f"{int(bad[0])} (from 0): leave that trajectory out, or repair it."
        )


def _one_hot(x: Tensor, space: Any, what: str) -> Tensor:
    n, start = int(space.n), int(getattr(space, "start", 0))
    index = x.nan_to_num(-1, -1, -1).long() - start
    if x[0].numel() > 1 or ((index + start != x) | (index < 0) | (index >= n)).any():
        raise InputError(
            f"{what} of shape {tuple(x.shape[1:])} from {x.min()} to {x.max()} were given where "
            f"one whole number from {start} to {start + n - 1} each is expected: {SAME}."
        )
    return torch.nn.functional.one_hot(index.flatten(), n).float()


def numbers(values: Any, what: str) -> Tensor:
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
