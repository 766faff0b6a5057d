"""Demonstrations: formats that come back as they were, and files refused in a sentence."""

from __future__ import annotations

import json
import pickle
import sys
import warnings
import zipfile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from imitation.data import serialize
from imitation.data.types import Trajectory, TrajectoryWithRew

from envs import demos
from envs.demos import check, check_env, load, save, shipped
from envs.make import make_vec
from km_rl.errors import InputError

META = {"env": "Pendulum-v1", "command": "python scripts/train_expert.py --env Pendulum"}
OBSERVATIONS = spaces.Box(-np.inf, np.inf, (3,))
ACTIONS = spaces.Box(-1, 1, (2,))


def trajectory(steps: int, seed: int = 0, **changes: Any) -> Any:
    """A `TrajectoryWithRew` of random numbers."""
    rng = np.random.default_rng(seed)
    fields: dict[str, Any] = {
        "obs": rng.normal(size=(steps + 1, 3)).astype(np.float32),
        "acts": rng.uniform(-1, 1, (steps, 2)).astype(np.float32),
        "rews": rng.normal(size=steps).astype(np.float32),
        "infos": None,
        "terminal": seed % 2 == 0,
    }
    return TrajectoryWithRew(**(fields | changes))


GIVEN = [trajectory(4, 0), trajectory(1, 1), trajectory(6, 2)]


def arrays() -> dict[str, np.ndarray]:
    """`GIVEN` laid out by hand as our format says."""
    return {
        "obs": np.concatenate([t.obs for t in GIVEN]),
        "acts": np.concatenate([t.acts for t in GIVEN]),
        "rews": np.concatenate([t.rews for t in GIVEN]),
        "terminal": np.array([True, False, True]),
        "traj_starts": np.array([0, 4, 5, 11]),
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "demos.npz"


def test_what_is_saved_comes_back(path: Path) -> None:
    save(path, GIVEN, META)
    assert load(path) == GIVEN
    assert load(str(path))[0].obs.dtype == np.float32


def test_the_layout_of_the_file(path: Path) -> None:
    save(path, GIVEN, META)
    with np.load(path, allow_pickle=False) as file:
        for name, array in arrays().items():
            np.testing.assert_array_equal(file[name], array)
        returns = [t.rews.sum(dtype=float) for t in GIVEN]
        np.testing.assert_allclose(file["returns"], returns)
        meta = json.loads(str(file["meta"]))
    assert meta == {**META, "returns": pytest.approx(returns)}


def test_a_file_without_returns_and_meta_is_read(path: Path) -> None:
    np.savez(path, **arrays())  # type: ignore[arg-type]
    assert load(path) == GIVEN


def test_half_precision_comes_back_to_one_part_in_two_thousand(path: Path) -> None:
    given = [
        trajectory(400, obs=np.geomspace(1e-4, 6e4, 401 * 3, dtype=np.float32).reshape(-1, 3))
    ]
    save(path, given, META)
    whole = path.stat().st_size
    save(path, given, META, half=True)
    (found,) = load(path)
    assert path.stat().st_size < whole
    assert found.obs.dtype == np.float32
    assert not np.array_equal(found.obs, given[0].obs)
    np.testing.assert_allclose(found.obs, given[0].obs, rtol=2**-11)
    np.testing.assert_array_equal(found.acts, given[0].acts)


def test_double_precision_is_narrowed_and_whole_numbers_are_kept(path: Path) -> None:
    given = trajectory(3, obs=np.full((4, 3), 0.1), acts=np.array([2, 0, 1]))
    save(path, [given], META)
    (found,) = load(path)
    assert found.obs.dtype == np.float32
    assert found.acts.dtype == np.int64
    assert found.acts.tolist() == [2, 0, 1]


class Canary:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_the_npz_of_imitation_is_read_without_its_pickled_infos(path: Path) -> None:
    ran = path.with_name("ran")
    theirs = arrays() | {"infos": np.array([{"x": Canary(ran)}] * 11)}
    theirs["indices"] = theirs.pop("traj_starts")[1:-1]
    np.savez(path, **theirs)  # type: ignore[arg-type]
    assert load(path) == GIVEN
    assert not ran.exists()
    assert serialize.load(path)[2].acts.tolist() == GIVEN[2].acts.tolist()
    assert ran.exists()  # so the file would have run


def test_the_folder_of_imitation_is_read_without_decoding_its_infos(tmp_path: Path) -> None:
    folder, ran = tmp_path / "theirs", tmp_path / "ran"
    given = [trajectory(2, s, infos=np.array([{"x": Canary(ran)}] * 2)) for s in (0, 1)]
    serialize.save(folder, given)
    found = load(folder)
    assert found == [trajectory(2, 0), trajectory(2, 1)]
    assert found[0].obs.dtype == found[0].rews.dtype == np.float32
    assert not ran.exists()
    assert len(list(serialize.load(folder)[0].infos)) == 2  # type: ignore[arg-type]
    assert ran.exists()


def test_rewards_that_nobody_knows_are_nan(path: Path, tmp_path: Path) -> None:
    given = arrays()
    del given["rews"]
    np.savez(path, **given)  # type: ignore[arg-type]
    t = GIVEN[0]
    serialize.save(tmp_path / "theirs", [Trajectory(t.obs, t.acts, None, True)])
    for place in (path, tmp_path / "theirs"):
        first = load(place)[0]
        assert np.isnan(first.rews).all()
        np.testing.assert_array_equal(first.obs, t.obs)


def minari_with(*episodes: Any) -> ModuleType:
    """A stand-in for the package, with one data set; see its `EpisodeData`."""

    def load_dataset(name: str) -> list[SimpleNamespace]:
        if name != "mujoco/hopper/expert-v0":
            raise FileNotFoundError(f"Dataset {name} not found locally.\nUse download=True.")
        return [
            SimpleNamespace(
                observations=t.obs.astype(np.float64),
                actions=t.acts,
                rewards=t.rews,
                terminations=np.array([False] * (len(t) - 1) + [t.terminal]),
            )
            for t in episodes
        ]

    module = ModuleType("minari")
    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    return module


def test_a_minari_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minari", minari_with(*GIVEN))
    assert load("mujoco/hopper/expert-v0") == GIVEN
    with pytest.raises(InputError, match=r"'D4RL/pen-v2' cannot be read .*'minari download D4RL"):
        load("D4RL/pen-v2")


def test_minari_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(InputError, match=r"minari is not installed: pip install 'minari\[hdf5\]'"):
        load("mujoco/hopper/expert-v0")


def test_a_file_cut_off_anywhere_is_refused(path: Path) -> None:
    save(path, GIVEN, META)
    content = path.read_bytes()
    for length in [*range(0, len(content) - 1, 17), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"demos.npz' is empty, truncated or damaged"):
            load(path)


def test_a_file_with_a_flipped_byte_in_its_arrays_is_refused(path: Path) -> None:
    save(path, GIVEN, META)
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"demos.npz' is empty, truncated or damaged"):
        load(path)


def test_a_flipped_byte_in_what_a_file_says_of_itself_is_no_traceback(path: Path) -> None:
    save(path, GIVEN, META)
    with zipfile.ZipFile(path) as file:
        start = file.getinfo("meta.npy").header_offset
    content = path.read_bytes()
    for place in range(start + 40, start + 140, 3):
        spoilt = bytearray(content)
        spoilt[place] ^= 0xFF
        path.write_bytes(spoilt)
        check_env(path, META["env"])


@pytest.mark.parametrize(
    "changed",
    [
        {"traj_starts": np.array([0, 4, 5, 12])},
        {"traj_starts": np.array([0, 5, 4, 11])},
        {"traj_starts": np.array([0, 4, 4, 11])},
        {"traj_starts": np.array([0, 4, 11])},
        {"terminal": np.array([True])},
        {"rews": np.zeros(10, np.float32)},
        {"rews": np.zeros(12, np.float32)},
        {"obs": np.zeros((11, 3), np.float32)},
    ],
)
def test_arrays_that_contradict_one_another_are_refused(path: Path, changed: Any) -> None:
    np.savez(path, **(arrays() | changed))
    with pytest.raises(InputError, match="damaged"):
        load(path)


@pytest.mark.parametrize("missing", ["obs", "acts", "terminal", "traj_starts"])
def test_an_npz_of_something_else_is_refused(path: Path, missing: str) -> None:
    given = arrays()
    del given[missing]
    np.savez(path, **given)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="holds no demonstrations: an npz with obs, acts"):
        load(path)


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(InputError, match="holds no demonstrations"):
        load(tmp_path / "x.npy")


def test_what_only_unpickling_could_read_is_refused(path: Path) -> None:
    ran = path.with_name("ran")
    for write in (
        lambda: path.write_bytes(pickle.dumps([Canary(ran)])),
        lambda: np.savez(path, **(arrays() | {"obs": np.array([Canary(ran)] * 14)})),  # type: ignore[arg-type]
        lambda: path.write_text("not an npz"),
    ):
        write()
        with pytest.raises(InputError, match="only unpickling could read"):
            load(path)
    assert not ran.exists()


def test_no_trajectories_are_refused(path: Path) -> None:
    none = {"obs": np.zeros((0, 3)), "acts": np.zeros((0, 2)), "terminal": np.zeros(0)}
    np.savez(path, **none, traj_starts=np.array([0]))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="holds no trajectories"):
        load(path)


def test_nothing_there_and_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no demonstrations at '.*nowhere\.npz'"):
        load(tmp_path / "nowhere.npz")
    with pytest.raises(InputError, match="not a folder of demonstrations"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("given", "meta", "half", "told"),
    [
        ([], META, False, "need at least one array"),
        ([GIVEN[0], trajectory(2, obs=np.zeros((3, 4)))], META, False, "cannot be saved"),
        ([Trajectory(GIVEN[0].obs, GIVEN[0].acts, None, True)], META, False, "with rewards"),
        ([trajectory(2, obs=np.full((3, 3), np.nan))], META, False, "Observations hold NaN"),
        ([trajectory(2, acts=np.full((2, 2), np.inf))], META, False, "Actions hold NaN"),
        ([trajectory(2, rews=np.full(2, np.nan))], META, False, "Rewards hold NaN"),
        ([trajectory(2, obs=np.full((3, 3), 7e4))], META, True, "too large for float16"),
        (GIVEN, {"env": "Hopper-v4"}, False, "meta has no command"),
    ],
)
def test_bad_input_leaves_the_old_file(
    path: Path, given: Any, meta: dict[str, str], half: bool, told: str
) -> None:
    path.write_text("old")
    with pytest.raises(InputError, match=told):
        save(path, given, meta, half=half)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        save(tmp_path / "nowhere" / "x.npz", GIVEN, META)


def test_demonstrations_that_fit_pass() -> None:
    check(GIVEN, OBSERVATIONS, ACTIONS)
    check([trajectory(3, acts=np.array([2, 0, 1]))], OBSERVATIONS, spaces.Discrete(3))


@pytest.mark.parametrize(
    ("given", "observations", "actions", "told"),
    [
        ([], OBSERVATIONS, ACTIONS, "no pairs"),
        (GIVEN, spaces.Box(-1, 1, (17,)), ACTIONS, r"\(3,\) where \(17,\) is expected"),
        (GIVEN, OBSERVATIONS, spaces.Box(-1, 1, (6,)), r"\(2,\) where \(6,\) is expected"),
        (GIVEN, OBSERVATIONS, spaces.Discrete(2), "one whole number"),
        (
            [GIVEN[0], trajectory(2, obs=np.full((3, 3), np.nan))],
            OBSERVATIONS,
            ACTIONS,
            "Number 1",
        ),
        (GIVEN, spaces.Box(0, 255, (8, 8, 3)), ACTIONS, "images"),
    ],
)
def test_demonstrations_that_do_not_fit(
    given: Any, observations: Any, actions: Any, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        check(given, observations, actions)


def test_the_last_observation_is_checked_too() -> None:
    obs = GIVEN[0].obs.copy()
    obs[-1] = np.nan
    with pytest.raises(InputError, match="Next observations hold NaN"):
        check([trajectory(4, obs=obs)], OBSERVATIONS, ACTIONS)


def test_demonstrations_of_another_environment_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "d.npz", GIVEN, {**META, "env": "CartPole-v1"})
    check_env(tmp_path / "d.npz", "CartPole-v0")
    with pytest.raises(InputError, match=r"of CartPole-v1 where seals/CartPole-v0 .* --env Cart"):
        check_env(tmp_path / "d.npz", "seals/CartPole-v0")
    np.savez(tmp_path / "bare.npz", obs=np.zeros(3))
    check_env(tmp_path / "bare.npz", "CartPole-v1")


def test_demonstrations_of_a_version_that_moves_otherwise_are_told_of(tmp_path: Path) -> None:
    save(tmp_path / "w.npz", GIVEN, {**META, "env": "Walker2d-v5"})
    with pytest.warns(UserWarning, match="of Walker2d-v5, which moves otherwise than Walker2d-v4"):
        check_env(tmp_path / "w.npz", "Walker2d-v4")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(tmp_path / "w.npz", "Walker2d-v5")
        save(tmp_path / "h.npz", GIVEN, {**META, "env": "HalfCheetah-v5"})
        check_env(tmp_path / "h.npz", "HalfCheetah-v4")


def test_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demos, "SHIPPED", tmp_path)
    with pytest.raises(
        InputError, match=r"are: none\): name a file .* make some with .*--env Hopper'"
    ):
        shipped("Hopper")
    for name in ("halfcheetah", "cartpole"):
        save(tmp_path / f"{name}.npz", GIVEN, META)
    assert load(shipped("HalfCheetah")) == GIVEN
    for name in ("halfcheetah", "HalfCheetah-v4", "HalfCheetah-v5"):
        assert shipped(name) == tmp_path / "halfcheetah.npz"
    assert shipped("seals/CartPole-v0") == tmp_path / "cartpole.npz"
    with pytest.raises(InputError, match=r"for 'Ant' \(there are: cartpole, halfcheetah\)"):
        shipped("Ant")
    with pytest.raises(InputError, match="There is no environment 'Nope'"):
        shipped("Nope")


def test_the_expert_that_is_shipped_does_what_its_file_says() -> None:
    path = shipped("HalfCheetah")
    trajectories = load(path)
    with np.load(path, allow_pickle=False) as file:
        meta, returns = json.loads(str(file["meta"])), file["returns"]
    venv = make_vec(meta["env"], 1, seed=0)
    check(trajectories, venv.observation_space, venv.action_space)
    assert [len(t) for t in trajectories] == [1000] * 10 and path.stat().st_size < 2_000_000
    assert min(returns) > 6000 and meta["command"].startswith("python scripts/train_expert.py")
    np.testing.assert_allclose([t.rews.sum(dtype=float) for t in trajectories], returns)


def test_the_shipped_rewards_are_those_of_the_environment() -> None:
    """Put where the expert was, MuJoCo pays for the expert's action what the file says."""
    expert: Any = load(shipped("HalfCheetah"))[0]
    env: Any = make_vec("HalfCheetah", 1, seed=0).envs[0].unwrapped
    env.reset(seed=0)
    for t in range(0, 1000, 97):
        obs = expert.obs[t].astype(np.float64)
        env.set_state(np.concatenate([[0.0], obs[:8]]), obs[8:])
        seen, reward, *_ = env.step(expert.acts[t])
        assert abs(reward - expert.rews[t]) < 0.01
        np.testing.assert_allclose(seen, expert.obs[t + 1], atol=0.02)
