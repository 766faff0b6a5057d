"""Demonstrations on disk: an expert's trajectories, as imitation's `TrajectoryWithRew`.

Our file is one ``.npz`` without pickles; N_i steps in trajectory i of n:

===============  ==================  ============================================================
``obs``          (sum N_i + n, ...)  float32 or float16; trajectory i has N_i + 1 rows, the last
                                     being what its last action led to
``acts``         (sum N_i, ...)      float32, or whole numbers where actions are discrete
``rews``         (sum N_i,)          float32
``terminal``     (n,)                bool; False where the step limit ended it
``traj_starts``  (n + 1,)            int64; trajectory i has acts[s:e] and obs[s + i : e + i + 1]
                                     with s, e = traj_starts[i], traj_starts[i + 1]
``returns``      (n,)                float64, the sums of rewards
``meta``         ()                  JSON text: env, command and whatever else is known
===============  ==================  ============================================================
"""

from __future__ import annotations

import json
import re
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from imitation.data.types import Trajectory, TrajectoryWithRew

from envs.make import KNOWN, env_id, family
from km_rl.errors import InputError
from km_rl.files import written_beside
from km_rl.rl.sources import pairs

SHIPPED, HELD_OUT = Path(__file__).parent / "demonstrations", "held-out"
ARRAYS = ("obs", "acts", "rews", "terminal", "traj_starts", "indices")
CORRECTED = ("walker2d",)
"""Environments that move otherwise since version 5: until then one foot of the walker was smoother
than the other (gymnasium's documentation of Walker2d, version history)."""
MINARI_ID = re.compile(r"[-\w]+(/[-\w]+)*-v\d+")


def load(path: str | Path) -> list[TrajectoryWithRew]:
    """The trajectories of our npz, an npz or a folder saved by imitation, or a Minari data set.

    Numbers come as float32 (whole numbers as they are), infos are left out, and rewards are NaN
    where the source has none. Nothing is unpickled: of imitation's npz only the arrays are read.

    Args:
        path: a file, a folder, or the id of a Minari data set, as ``mujoco/hopper/expert-v0``.

    Raises:
        InputError: nothing there, a damaged or empty file, or one that only unpickling could read.
    """
    found = _read(path)
    if not found:
        raise InputError(f"'{path}' holds no trajectories: give demonstrations of one or more.")
    return found


def save(
    path: str | Path,
    trajectories: Sequence[TrajectoryWithRew],
    meta: Mapping[str, Any],
    *,
    half: bool = False,
) -> None:
    """Write our npz, compressed.

    Args:
        trajectories: their infos are left out; their rewards have to be there.
        meta: at least ``env``, the id of the environment, and ``command``, which made them.
        half: observations as float16: half the size, and right to 1 part in 2,000.

    Raises:
        InputError: no trajectories, NaN or other shapes in one, numbers too large for float16,
            ``env`` or ``command`` missing, or the file cannot be written.
    """
    if missing := {"env", "command"} - meta.keys():
        raise InputError(f"meta has no {' and no '.join(sorted(missing))}: say what made these.")
    arrays = _arrays(trajectories, np.float16 if half else np.float32)
    text = json.dumps({**meta, "returns": arrays["returns"].tolist()})
    with written_beside(path) as beside, open(beside, "wb") as file:
        np.savez_compressed(file, **arrays, meta=np.array(text))


def check_env(path: str | Path, env: str) -> None:
    """Refuse our npz where it says that it comes from another environment than ``env``.

    Versions may differ; where they move otherwise, that is said in a warning.

    Raises:
        InputError: names both.
    """
    made_in = _made_in(Path(path))
    if made_in is None:
        return
    if _meant(made_in) != _meant(env):
        raise InputError(
            f"'{path}' holds demonstrations of {made_in} where {env} is to be acted in: give "
            f"--env {made_in}, or demonstrations of {env}."
        )
    if _meant(made_in) in CORRECTED and _corrected(made_in) != _corrected(env):
        warnings.warn(
            f"'{path}' holds demonstrations of {made_in}, which moves otherwise than {env}: what "
            f"they show may not work there; give demonstrations of {env}.",
            stacklevel=2,
        )


def _corrected(env: str) -> bool:
    """Whether an id is of version 5 or newer."""
    version = re.search(r"-v(\d+)$", env)
    return version is not None and int(version[1]) >= 5


def _meant(env: str) -> str:
    """What a name stands for, without its version and in lower case."""
    known = KNOWN.get(env)
    return (known.family if known else family(env)).lower()


def _made_in(path: Path) -> str | None:
    """The environment that our npz names; None where nothing is said."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return str(json.loads(str(file["meta"]))["env"])
    except (OSError, ValueError, LookupError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def check(trajectories: Sequence[Trajectory], observation_space: Any, action_space: Any) -> None:
    """Refuse demonstrations that do not belong to these spaces.

    Raises:
        InputError: an empty list, other shapes, images, NaN or infinity; names the trajectory.
    """
    pairs(list(trajectories), observation_space, action_space)


def shipped(name: str) -> Path:
    """The demonstrations that come with the project, for an environment's name or id.

    Raises:
        InputError: there is no such environment, or there are none for it; says how to make some.
    """
    path = SHIPPED / f"{family(name).rpartition('/')[2].lower()}.npz"
    if path.is_file():
        return path
    env_id(name)  # one that does not exist is told of as such
    there = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.npz"))) or "none"
    raise InputError(
        f"No demonstrations are shipped for '{name}' (there are: {there}): name a file with "
        f"--demos, or, if its actions are continuous, make some with "
        f"'python scripts/train_expert.py --env {name}'."
    )


def held_out(of: str) -> Path:
    """The file that is shipped of a family of `envs.tasks`: an episode of each held-out expert.

    Raises:
        InputError: none are shipped of this family; says how to make some.
    """
    path = SHIPPED / HELD_OUT / f"{of}.npz"
    if path.is_file():
        return path
    there = ", ".join(sorted(p.stem for p in path.parent.glob("*.npz"))) or "none"
    raise InputError(
        f"No demonstrations of held-out experts of '{of}' are shipped (there are: {there}): make "
        f"some with 'python scripts/few_shot.py --family {of} --demonstrations FILE.npz'."
    )


def _read(path: str | Path) -> list[TrajectoryWithRew]:
    place = Path(path)
    if place.is_file():
        return _of_npz(place)
    if place.is_dir():
        return _of_folder(place)
    if MINARI_ID.fullmatch(str(path)):
        return _of_minari(str(path))
    raise InputError(
        f"There are no demonstrations at '{path}': give an npz file, a folder saved by imitation, "
        f"or the id of a Minari data set."
    )


def _of_npz(path: Path) -> list[TrajectoryWithRew]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return _parted({name: file[name] for name in ARRAYS if name in file})
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise InputError(
            f"'{path}' holds no demonstrations: an npz with obs, acts, terminal and traj_starts "
            f"is expected, as envs.demos.save writes it."
        ) from error
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        if "pickle" in str(error):
            raise InputError(
                f"'{path}' is no npz, or one that only unpickling could read, which runs whatever "
                f"a stranger put there: where you trust it, write it anew with envs.demos.save."
            ) from error
        raise InputError(
            f"'{path}' is empty, truncated or damaged ({_line(error)}): copy or make it again."
        ) from error


def _parted(arrays: dict[str, np.ndarray]) -> list[TrajectoryWithRew]:
    """Arrays of our layout, or of imitation's, whose ``indices`` are the inner borders alone.

    Raises:
        ValueError: the lengths contradict one another.
    """
    obs, acts, terminal = arrays["obs"], arrays["acts"], arrays["terminal"]
    if "traj_starts" in arrays:
        starts = arrays["traj_starts"]
    else:
        starts = np.concatenate([[0], arrays["indices"], [len(acts)]])
    rews = arrays.get("rews", np.full(len(acts), np.nan))
    n = len(starts) - 1
    lengths = (len(obs), len(rews), len(terminal), starts[0], starts[-1])
    if lengths != (len(acts) + n, len(acts), n, 0, len(acts)):
        raise ValueError("its arrays do not have the lengths that the trajectories need")
    return [
        _trajectory(obs[s + i : e + i + 1], acts[s:e], rews[s:e], terminal[i])
        for i, (s, e) in enumerate(pairwise(starts))
    ]


def _of_folder(path: Path) -> list[TrajectoryWithRew]:
    """A folder of imitation; its infos, which jsonpickle would decode, are not touched."""
    from imitation.data import serialize

    try:
        return [
            _trajectory(t.obs, t.acts, getattr(t, "rews", None), t.terminal)
            for t in serialize.load(path)
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"'{path}' is not a folder of demonstrations ({_line(error)}): "
            f"give one that imitation.data.serialize.save wrote, or an npz file."
        ) from error


def _of_minari(name: str) -> list[TrajectoryWithRew]:
    try:
        import minari
    except ImportError as error:
        raise InputError(
            f"There is no file or folder '{name}', and as a Minari data set it cannot be read "
            f"because minari is not installed: pip install 'minari[hdf5]', or give another path."
        ) from error
    try:
        return [
            _trajectory(e.observations, e.actions, e.rewards, e.terminations[-1])
            for e in minari.load_dataset(name)
        ]
    except (ImportError, AttributeError, OSError, ValueError, TypeError) as error:
        raise InputError(
            f"The Minari data set '{name}' cannot be read ({_line(error)}): "
            f"get it with 'minari download {name}', and give one with arrays as observations."
        ) from error


def _trajectory(obs: Any, acts: Any, rews: Any, terminal: Any) -> TrajectoryWithRew:
    rews = np.full(len(acts), np.nan) if rews is None else rews
    return TrajectoryWithRew(
        obs=_narrow(obs),
        acts=_narrow(acts),
        rews=_narrow(rews),
        infos=None,
        terminal=bool(terminal),
    )


def _narrow(values: Any) -> np.ndarray:
    """Numbers as float32, whole numbers as they are.

    Raises:
        TypeError: not an array of numbers.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"a {type(values).__name__} is not an array of numbers")
    return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array


def _arrays(trajectories: Sequence[TrajectoryWithRew], floats: type) -> dict[str, Any]:
    """The arrays of our layout, with observations of the type ``floats``."""
    try:
        obs, acts, rews = (
            _narrow(np.concatenate([getattr(t, name) for t in trajectories]))
            for name in ("obs", "acts", "rews")
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"These trajectories cannot be saved ({_line(error)}): one or more of one environment "
            f"are expected, with rewards and with arrays as observations."
        ) from error
    if obs.dtype.kind == "f":
        with np.errstate(over="ignore"):
            obs = obs.astype(floats)
    for name, array in (("Observations", obs), ("Actions", acts), ("Rewards", rews)):
        if not np.isfinite(array).all():
            raise InputError(
                f"{name} hold NaN, infinity or a number too large for {array.dtype}: "
                f"leave that trajectory out, or save observations as float32."
            )
    return {
        "obs": obs,
        "acts": acts,
        "rews": rews,
        "terminal": np.array([bool(t.terminal) for t in trajectories]),
        "traj_starts": np.cumsum([0, *(len(t) for t in trajectories)]),
        "returns": np.array([t.rews.sum(dtype=np.float64) for t in trajectories]),
    }


def _line(error: Exception) -> str:
    """The error's message in one line."""
    return " ".join(str(error).split()).rstrip(".")
