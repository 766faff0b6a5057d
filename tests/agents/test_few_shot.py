"""The few-shot comparison at its smallest: AUC, agents, and what is recorded."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from agents.few_shot import record as recording
from agents.few_shot import scores, training
from agents.few_shot.comparison import Comparison
from agents.few_shot.config import FewShotConfig
from agents.few_shot.exam import aucs, examination, oracle_aucs
from agents.few_shot.figures import auc, by_task, looks, returns, sides
from agents.few_shot.film import NoFilm
from agents.few_shot.notes import Notes
from agents.few_shot.points import Point, ends
from agents.few_shot.record import record, rows
from agents.few_shot.rivals import NearestPair, size
from agents.few_shot.scores import (
    CLASSICAL,
    Acting,
    TaskReturn,
    classical,
    share,
    stops,
)
from agents.few_shot.settings import LEADERS, SETTINGS, Setting
from agents.few_shot.training import meta_trained
from agents.generator import PPO_SETTINGS, PpoSettings, ppo
from envs.demos import load
from envs.make import make_vec
from envs.tasks import Family, load_family
from km_rl.errors import InputError, NonFiniteError
from km_rl.files import locked
from km_rl.results.summary import check_name, read
from km_rl.rl.meta import MetaDiscriminator
from km_rl.rl.meta_training import MetaRecipe, MetaTraining
from km_rl.rl.tasks import rows_of

script = import_module("scripts.few_shot")
RECIPE = MetaRecipe(6, 3, 4, 16, 24, 8)


@pytest.fixture(scope="module")
def family() -> Family:
    return load_family("pointnav", train=4, held_out=2)


def test_the_auc_is_the_share_of_pairs_in_the_right_order(family: Family) -> None:
    exam = examination(family, 8, 20, 30)
    model = NearestPair(2, 2)
    found = aucs(model, exam, 8)
    both = torch.cat([exam.expert_queries, exam.policy_queries], 1)
    logits = model.logits_expert_is_high(exam.expert[:, :8], exam.policy, both)[1]
    right = sum(float(a > b) + 0.5 * float(a == b) for a in logits[:30] for b in logits[30:])
    assert found[1] == pytest.approx(right / 900)
    told = oracle_aucs(family.held_out, exam)
    assert told is not None and np.mean(told) > np.mean(found) and min(told) > 0.85
    assert oracle_aucs(load_family("pendulum", train=1, held_out=2).held_out, exam) is None
    with pytest.raises(InputError, match="5000 pairs were to be remembered"):
        examination(family, 5000, 20, 30)


def test_a_test_asks_about_other_episodes_than_it_told(family: Family) -> None:
    exam = examination(family, 512, 256, 256)
    for i, case in enumerate(family.held_out):
        others = [c.task.expert for c in family.held_out if c is not case]
        for given, queries, sources in (
            (exam.expert, exam.expert_queries, [case.task.expert]),
            (exam.policy, exam.policy_queries, [*case.task.policies.values(), *others]),
        ):
            of = {
                tuple(row): (who, number)
                for who, found in enumerate(sources)
                for row, number in zip(
                    rows_of(found).tolist(), found.trajectory.tolist(), strict=True
                )
            }
            told, asked = (
                {of[tuple(row)] for row in rows[i].tolist()} for rows in (given, queries)
            )
            assert len(told) > 10 and len(asked) > 10 and not told & asked


def test_training_goes_on_after_ctrl_c_as_if_nothing_had_been(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = meta_trained(family, "kanerva", RECIPE, tmp_path / "whole")
    real = MetaTraining.step

    def step(self: MetaTraining) -> float:
        if self.steps == 3:
            signal.raise_signal(signal.SIGINT)
        return real(self)

    with monkeypatch.context() as patched:
        patched.setattr(MetaTraining, "step", step)
        with pytest.raises(KeyboardInterrupt, match="Interrupted after 4 steps: all is saved"):
            meta_trained(family, "kanerva", RECIPE, tmp_path)
    resumed = meta_trained(family, "kanerva", RECIPE, tmp_path)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    folder = tmp_path / "few-shot" / "pointnav" / "kanerva-0"
    loaded = MetaDiscriminator.load(folder / "model.safetensors")
    exam = examination(family, 8, 20, 30)
    assert aucs(loaded, exam, 8) == aucs(whole, exam, 8)
    with pytest.raises(InputError, match="holds a run with recipe"):
        meta_trained(family, "kanerva", replace(RECIPE, steps=7), tmp_path)
    (folder / training.TRAINING).write_bytes(b"broken")
    with pytest.raises(InputError, match="is not a whole save of this meta-training"):
        meta_trained(family, "kanerva", RECIPE, tmp_path)


def test_a_finished_training_is_loaded_while_another_process_is_at_it(
    family: Family, tmp_path: Path
) -> None:
    """Nothing of it is written, and its folder is not locked."""
    trained = meta_trained(family, "kanerva", RECIPE, tmp_path)
    folder = tmp_path / "few-shot" / "pointnav" / "kanerva-0"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    lock = locked(folder)
    loaded = meta_trained(family, "kanerva", RECIPE, tmp_path)
    lock.release()
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    for a, b in zip(trained.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(a, b)
    for lost in (
        (folder / training.MODEL).unlink,
        lambda: (folder / training.MODEL).write_bytes(b""),
    ):
        lost()
        meta_trained(family, "kanerva", RECIPE, tmp_path)
        MetaDiscriminator.load(folder / training.MODEL)


@pytest.mark.parametrize("name", ["pointnav", "pendulum"])
def test_a_score_is_0_for_a_random_policy_and_1_for_the_expert(name: Any) -> None:
    """Measured in the same episodes, so exactly, in whatever order."""
    family = load_family(name, train=1, held_out=2)
    for case in family.held_out:
        measure = TaskReturn(family, case)
        assert case.act is not None and measure.expert.mean > measure.random.mean
        ends = measure.expert.mean, measure.random.mean
        assert share(measure.of(Acting(case.act)).mean, *ends) == 1
        assert share(measure.of_random().mean, *ends) == 0
        assert share(measure.of(Acting(case.act)).mean, *ends) == 1


def test_an_expert_that_is_no_better_than_chance_gives_no_scale() -> None:
    family = load_family("pointnav", train=1, held_out=1)
    poor = family.held_out[0]._replace(act=lambda obs: -np.ones((len(obs), 2)))
    with pytest.raises(InputError, match="there is no scale for imitators: train the expert"):
        TaskReturn(family, poor)


def test_debug_takes_the_place_of_what_was_not_asked_for() -> None:
    given = FewShotConfig(preset="debug", tasks=2, meta=RECIPE).resolved()
    assert (given.tasks, given.meta, given.train, given.steps) == (2, RECIPE, 8, 4096)
    usual = {name: FewShotConfig(name).resolved().steps for name in ("pendulum", "pointnav")}
    assert usual == {"pendulum": 57_344, "pointnav": 57_344}
    assert FewShotConfig("halfcheetah-gait").resolved().steps == 1_000_000
    assert classical("bc", "HalfCheetah", 1_000_000, 0).steps == 57_344


def test_the_script_compares_goes_on_and_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.few_shot.comparison.commit", lambda: "b" * 40)
    monkeypatch.setattr("km_rl.train.provenance.commit", lambda: "a" * 40)
    flags = (
        f"--preset debug --run-dir {tmp_path} --agents kanerva bc gail-dropout true-reward".split()
    )
    script.main(flags)
    told = capsys.readouterr().out
    file = tmp_path / "debug" / "few-shot" / "pointnav" / "measured.jsonl"
    lines = file.read_text()
    assert "auc@32" in told and "oracle" in told
    for name in ("aucs", "oracle_aucs", "earlier_aucs", "adapt_ms", "meta_trained"):
        monkeypatch.setattr(f"agents.few_shot.comparison.{name}", None)
    script.main([*flags, "--record", str(tmp_path)])
    assert file.read_text() == lines
    found = {row[1:3]: row for row in read(tmp_path)}
    assert {("kanerva", "auc@8"), ("kanerva", "return"), ("oracle", "auc@32")} <= found.keys()
    assert {("kanerva", "auc_earlier@16"), ("knn", "auc_earlier@16")} <= found.keys()
    assert ("bc", "probability_kanerva_better") in found
    assert found["knn", "auc@8"].low is None
    assert found["kanerva", "state_floats@32"].value == 2 * 32 * (32 + 32)
    assert found["knn", "state_floats@32"].value == 32 * 4
    parameters = {name: found[name, "parameters"].value for name in ("kanerva", "knn")}
    assert parameters == {"kanerva": size(MetaDiscriminator(2, 2)), "knn": 0}
    assert found["true-reward", "parameters"].value == 0
    assert found["gail-dropout", "parameters"].value == pytest.approx(31_270, rel=0.2)
    ahead = found["kanerva", "auc@8"].value - found["oracle", "auc@8"].value
    assert found["oracle", "auc_kanerva_ahead@8"].value == pytest.approx(ahead, abs=1e-5)
    made = {
        setting: found[setting, metric].commit for setting, metric in found if metric == "auc@8"
    }
    assert made["kanerva"] == "a" * 40 + "+" + "b" * 40 and made["knn"] == "b" * 40
    place = tmp_path / "few-shot-pointnav-debug"
    with (place / "kanerva.csv").open(newline="") as text:
        written = list(csv.DictReader(text))
    at_8 = [float(line["value"]) for line in written if line["pairs"] == "8"]
    assert np.mean(at_8) == pytest.approx(found["kanerva", "auc@8"].value, abs=1e-4)
    curve = [line for line in written if line["metric"] == "return"]
    kept = [line for line in map(json.loads, lines.splitlines()) if "returns" in line]
    assert [int(line["step"]) for line in curve] == kept[0]["at"]
    assert {one["of"]["setting"]: one["at"][-1] for one in kept} == dict.fromkeys(
        ("kanerva", "bc", "gail-dropout", "true-reward"), 4096
    )
    one = kept[0]
    score = (one["returns"][-1] - one["random"]) / (one["expert"] - one["random"])
    assert float(curve[-1]["value"]) == pytest.approx(score, abs=1e-4)
    assert found["kanerva", "return"].value == pytest.approx(score, abs=1e-4)
    for name in ("auc.png", "returns.png"):
        assert (place / name).stat().st_size > 1000
    elsewhere = [*flags, "--record", str(tmp_path), "--run-dir", str(tmp_path / "elsewhere")]
    script.main(elsewhere)
    assert {row[1:3]: row for row in read(tmp_path)} == found
    assert (place / "measured.jsonl").read_text() == lines
    config = FewShotConfig(preset="debug", run_dir=tmp_path, agents=("kanerva", "bc"))
    assert list(Comparison(config).filmed()) == ["expert", "kanerva", "bc"]
    with pytest.raises(NoFilm, match="no policy of knn lies in"):
        Comparison(replace(config, agents=("kanerva", "knn"))).filmed()
    with pytest.raises(NoFilm, match="no policy of kanerva, bc lies in"):
        Comparison(replace(config, pairs=17)).filmed()


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return Comparison(FewShotConfig(preset="debug", run_dir=tmp_path_factory.mktemp("runs")))


def test_what_a_score_depends_on_is_in_its_key(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys() -> list[str]:
        return [str(comparison._agent_key(name, 0, "t")) for name in ("kanerva", "gail", "bc")]

    before = keys()
    assert keys() == before
    changes: list[tuple[Any, str, Any, list[bool]]] = [
        (SETTINGS, "kanerva", Setting(MetaDiscriminator, {"slots": 8}), [True, False, False]),
        (
            SETTINGS,
            "kanerva",
            Setting(MetaDiscriminator, recipe={"batch": 2}),
            [True, False, False],
        ),
        (CLASSICAL, "gail", {"discriminator": "mlp", "updates": 9}, [False, True, False]),
        (PPO_SETTINGS, "PointNav", PpoSettings(n_epochs=3), [True, True, True]),
    ]
    for table, name, value, expected in changes:
        with monkeypatch.context() as patched:
            patched.setitem(table, name, value)
            assert [a != b for a, b in zip(keys(), before, strict=True)] == expected
    monkeypatch.setattr(scores, "EPISODES", 9)
    assert all(a != b for a, b in zip(keys(), before, strict=True))


def test_a_discriminator_of_other_options_is_not_gone_on_with(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta_trained(family, "kanerva", RECIPE, tmp_path)
    monkeypatch.setitem(SETTINGS, "kanerva", Setting(MetaDiscriminator, {"slots": 8}))
    with pytest.raises(InputError, match="holds a run with options"):
        meta_trained(family, "kanerva", RECIPE, tmp_path)


def test_what_has_no_seed_is_examined_once(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = {name: Mock(return_value=[0.5] * 3) for name in ("aucs", "oracle_aucs")}
    for name, found in counted.items():
        monkeypatch.setattr(f"agents.few_shot.comparison.{name}", found)
    config = replace(comparison.config, seeds=(0, 1, 2), settings=("knn", "oracle"), agents=())
    monkeypatch.setattr(comparison, "config", config)
    points = [p for p in comparison.measure(lambda _: None) if p.metric == "auc"]
    assert {name: found.call_count for name, found in counted.items()} == {
        "aucs": 2,
        "oracle_aucs": 1,
    }
    assert {p.seed for p in points} == {0} and len(points) == 2 * 2 * 3


def test_notes_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be read .* give another --run-dir"):
        Notes(tmp_path / "file" / "measured.jsonl")


def test_lines_are_appended_and_one_that_was_cut_off_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "measured.jsonl"
    notes = Notes(path)
    assert notes.of({"a": 1}) is None
    assert notes.add({"a": 1}, {"values": [1.5]})["values"] == [1.5]
    notes.add({"a": 2}, {"values": [2.5]})
    whole = path.read_text()
    path.write_text(whole[:-5])
    again = Notes(path)
    assert again.of({"a": 1}) == {"of": {"a": 1}, "values": [1.5]} and again.of({"a": 2}) is None
    again.add({"a": 2}, {"values": [3.5]})
    found = Notes(path).of({"a": 2})
    assert found is not None and found["values"] == [3.5]
    assert path.read_text().startswith(whole[:-5] + "\n")


def test_lines_of_another_file_are_copied_when_they_are_asked_for(tmp_path: Path) -> None:
    here, recorded = tmp_path / "here.jsonl", tmp_path / "recorded.jsonl"
    for n in (1, 2):
        Notes(here).add({"a": n}, {"values": [n]})
    notes = Notes(recorded, here)
    assert notes.of({"a": 2}) == {"of": {"a": 2}, "values": [2]} and notes.of({"a": 3}) is None
    assert notes.of({"a": 2}) is not None
    assert recorded.read_text() == here.read_text().splitlines(keepends=True)[1]
    assert Notes(here, here).of({"a": 1}) is not None and len(here.read_text().splitlines()) == 2


def test_the_first_of_several_files_that_has_a_line_is_copied_from(tmp_path: Path) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    Notes(first).add({"a": 1}, {"values": [1]})
    for n in (1, 2):
        Notes(second).add({"a": n}, {"values": [-n]})
    notes = Notes(tmp_path / "here.jsonl", first, second)
    assert notes.lines == []
    assert [notes.of({"a": n}) for n in (1, 2)] == notes.lines
    assert [line["values"] for line in notes.lines] == [[1], [-2]]


def recorded_in(folder: Path, runs: Path, experiment: str, digests: list[str]) -> Comparison:
    """A comparison to be recorded where results of an experiment have a line of these experts."""
    config = FewShotConfig(preset="debug", run_dir=runs, record=folder)
    Notes(folder / experiment / "measured.jsonl").add({"digests": digests}, {"values": [1]})
    return Comparison(config)


def test_what_was_measured_for_another_experiment_is_not_measured_again(
    comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("km_rl.train.provenance.commit", lambda: "a" * 40)
    digests = comparison.digests
    more = recorded_in(tmp_path, tmp_path / "runs", "few-shot-pointnav-9tasks", digests)
    assert more.notes.lines == []
    assert more.notes.of({"digests": digests}) is not None
    assert more.notes.path == tmp_path / "few-shot-pointnav-debug" / "measured.jsonl"
    assert len(more.notes.path.read_text().splitlines()) == 1


def test_results_of_other_experts_are_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("km_rl.train.provenance.commit", lambda: "a" * 40)
    with pytest.raises(InputError, match=r"measured on other experts .*: give the same ones"):
        recorded_in(tmp_path, tmp_path / "runs", "few-shot-pointnav-debug", ["other", "experts"])


def test_a_trial_has_a_name_of_its_own(tmp_path: Path) -> None:
    usual = FewShotConfig()
    assert usual.experiment == "few-shot-pointnav"
    assert replace(usual, steps=usual.usual_steps).experiment == usual.experiment
    others = [
        {"pairs": 4},
        {"steps": 2048},
        {"train": 50},
        {"held_out": 9},
        {"tasks": 1},
        {"meta": MetaRecipe(steps=300)},
        {"meta": MetaRecipe(learning_rate=1e-3)},
        {"preset": "debug"},
        {"family": "pendulum"},
        {"family": "halfcheetah-velocity"},
        {"family": "halfcheetah-gait", "experts": (Path("a/one.npz"), Path("b/two.npz"))},
        {"family": "halfcheetah-gait", "experts": (Path("a/one.npz"), Path("b/three.npz"))},
        {"family": "halfcheetah-velocity", "experts": (Path("runs/mine/policy.safetensors"),)},
    ]
    names = [replace(usual, **other).experiment for other in others]  # type: ignore[arg-type]
    assert names[1] == "few-shot-pointnav-2048steps" and names[6].endswith("learning-rate-0-001")
    assert names[-1] == "few-shot-halfcheetah-velocity-by-mine"
    (tmp_path / "my agents").mkdir()
    of_folder = replace(usual, family="halfcheetah-gait", experts=(tmp_path / "my agents",))
    assert of_folder.experiment == "few-shot-halfcheetah-gait-of-my-agents"
    assert len({*names, usual.experiment}) == len(others) + 1
    for name in names:
        check_name(name)
    assert replace(usual, seeds=(0, 1), meta=MetaRecipe(seed=3)).experiment == usual.experiment


def test_the_curve_of_an_agent_is_the_mean_over_tasks_and_seeds() -> None:
    points = [
        Point(agent, "return", 16, f"task {t}", seed, 0.1 * seed + t + step / 10, step)
        for agent in ("kanerva", "bc")
        for seed in range(3)
        for t in range(2)
        for step in (0, 5, 10)
    ]
    ended = ends(points)
    assert len(ended) == 12 and {p.step for p in ended} == {10}
    (axes,) = returns(points).axes
    lines = {str(line.get_label()): line for line in axes.lines}
    xy = {name: np.array(line.get_xydata()) for name, line in lines.items()}
    np.testing.assert_allclose(xy["kanerva"], [[0, 0.6], [5, 1.1], [10, 1.6]])
    across = [float(xy[name][0, 1]) for name in ("bc", "expert", "random policy")]
    assert across == pytest.approx([1.6, 1, 0])
    (band,) = axes.collections
    found = np.array(band.get_paths()[0].vertices)[:, 1]
    half = 4.3027 * 0.1 / 3**0.5  # Student's t of three seeds, 0.1 apart
    assert [found.min(), found.max()] == pytest.approx([0.6 - half, 1.6 + half], abs=1e-4)
    few = [p for p in points if p.seed < 2]
    assert not returns(few).axes[0].collections


@pytest.mark.parametrize(
    ("steps", "round_steps", "expected"),
    [
        (57_344, 2048, [7, 14, 21, 28]),
        (57_344, 4096, [4, 7, 11, 14]),
        (4096, 2048, [1, 2]),
        (9, 2048, [1]),
    ],
)
def test_scores_are_measured_after_whole_rounds(
    steps: int, round_steps: int, expected: list[int]
) -> None:
    assert stops(steps, round_steps) == [n * round_steps for n in expected]


def test_an_episode_of_each_held_out_expert_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "demos.npz"
    script.main(["--preset", "debug", "--tasks", "8", "--demonstrations", str(path)])
    assert capsys.readouterr().out == f"{path}\n"
    episodes = load(path)
    case = load_family("pointnav", train=8, held_out=3).held_out[2]
    assert case.seen is not None and case.reward is not None and len(episodes) == 3
    np.testing.assert_allclose(episodes[2].acts, case.seen[1][0], atol=1e-6)
    paid = [case.reward(x) for x in np.asarray(episodes[2].obs)[1:]]
    np.testing.assert_allclose(episodes[2].rews, paid, atol=1e-5)


def test_every_curve_of_a_panel_looks_otherwise() -> None:
    names = [*SETTINGS, "oracle", "true-reward", "gail", "gail-dropout", "gail-expert-scale", "bc"]
    rivals, parts = sides(names)
    assert {*rivals, *parts} == {*names} and {*rivals} & {*parts} == {*LEADERS}
    assert "no-history" in parts and "attention" in rivals
    for panel in (rivals, parts, names):
        assert len(set(looks(panel).values())) == len(panel)
    assert sides(["kanerva"]) == [["kanerva"]] and sides(["bc", "knn"]) == [["bc", "knn"]]
    points = [
        Point(n, "auc", k, "t", 0, 0.5) for n in ("kanerva", "knn", "left-out") for k in (8, 32)
    ]
    drawn = [[line.get_label() for line in axes.lines] for axes in auc(points).axes]
    assert drawn == [["kanerva", "knn"], ["kanerva", "left-out"]]


def test_each_agent_stands_in_the_column_of_its_expert() -> None:
    """Velocities in their order; of each agent where it ended, and of none on the way."""
    tasks = {"velocity 9: 0.5 m/s": 0.25, "velocity 1: 2 m/s": 0.5, "velocity 2: 10 m/s": 0.75}
    points = [
        Point(name, "return", 16, task, seed, value + end, end)
        for name in ("kanerva", "bc")
        for task, value in reversed(tasks.items())
        for seed in range(2)
        for end in (1, 0)
    ]
    (axes,) = by_task(points).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.5 m/s", "2 m/s", "10 m/s"]
    for line in axes.lines[:2]:
        at, found = np.round(np.asarray(line.get_xdata())), np.array([*tasks.values()]) + 1
        np.testing.assert_array_equal(line.get_ydata(), found[at.astype(int)])
        assert len(at) == 6
    more = [Point("bc", "return", 16, f"pendulum {n}", 0, 0.5) for n in (11, 9)]
    for given, told in ((more, ["9", "11"]), (more[:1], ["pendulum 11"])):
        (axes,) = by_task(given).axes
        assert [tick.get_text() for tick in axes.get_xticklabels()] == told


def test_an_agent_that_lost_its_weights_is_told_of() -> None:
    learner = ppo(make_vec("Pendulum", 1, 0), 0, PpoSettings(n_envs=1, n_steps=16, batch_size=16))

    def go() -> None:
        for weights in learner.policy.parameters():
            weights.data.fill_(np.nan)

    measure: Any = Mock()
    with pytest.raises(NonFiniteError, match=r"gail, a task: stopped after 0 steps.*--seeds"):
        scores._returns("gail, a task", measure, learner, go, 16, [16])
    measure.of.assert_called_once()


def test_intervals_are_there_from_three_seeds_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    points = [
        Point(
            setting,
            "return",
            16,
            f"task {t}",
            seed,
            shift + rng.normal(0, 0.1),
            commit="d",
            hardware="cpu",
        )
        for setting, shift in (("kanerva", 1.0), ("bc", 0.0))
        for seed in range(3)
        for t in range(4)
    ]
    found = {row[1:3]: row for row in rows(points, "few-shot-pointnav", "c")}
    row = found["kanerva", "return"]
    assert row.low is not None and row.low < row.value < (row.high or 0) and row.seeds == 3
    assert found["bc", "probability_kanerva_better"][3:7] == (1, None, None, 3)
    assert len(record(points, "few-shot-pointnav", "c", tmp_path)) == 5
    with pytest.raises(InputError, match="recorded of 3 seeds where 2 would take"):
        record([p for p in points if p.seed], "few-shot-pointnav", "c", tmp_path)


def test_what_is_recorded_later_joins_the_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a setting that is recorded again the new numbers alone are drawn."""
    drawn: list[list[Point]] = []

    def remember(points: Sequence[Point]) -> Figure:
        drawn.append(list(points))
        return returns(points)

    monkeypatch.setattr(recording, "FIGURES", [("return", "returns.png", remember)])

    def of(setting: str, value: float) -> list[Point]:
        point = Point(setting, "return", 16, "a, b", 0, value, 0, "d", "cpu")
        return [point, point._replace(step=100, value=value + 1)]

    for points in (of("kanerva", 0.25), of("bc", 0.5), of("kanerva", 0.75)):
        record(points, "few-shot-pointnav", "c", tmp_path)
    later = of("bc", 0.5) + of("kanerva", 0.75)
    assert drawn[-1] == [p._replace(commit="", hardware="") for p in later]
    (tmp_path / "few-shot-pointnav" / "bc.csv").write_text("step,metric\n1,return\n")
    with pytest.raises(InputError, match=r"bc.csv' cannot be read .*: restore it from git"):
        record(of("kanerva", 0.75), "few-shot-pointnav", "c", tmp_path)


@pytest.mark.parametrize(("metric", "at"), [("auc", "@8"), ("return", "")])
def test_the_memory_is_compared_on_the_same_tasks_and_seeds(metric: str, at: str) -> None:
    """What is a tenth better everywhere is so with certainty, however far apart seeds lie."""
    level = {"kanerva": 0.1, "kanerva-mixup-fixed": 0.3, "attention": 0.0, "oracle": 0.5}
    points = [
        Point(
            name,
            metric,
            8,
            f"{t}",
            seed,
            level[name] + (name != "oracle") * seed + t,
            0,
            name,
            "cpu",
        )
        for name in level
        for seed in range(1 if name == "oracle" else 4)
        for t in range(3)
    ]
    found = {row[1:3]: row for row in rows(points, "few-shot-pointnav", "c")}
    ahead = found["attention", f"{metric}_kanerva_ahead{at}"]
    assert ahead[3:6] == pytest.approx((0.1, 0.1, 0.1)) and ahead.commit == "kanerva+attention"
    ahead = found["oracle", f"{metric}_kanerva_ahead{at}"]
    assert ahead.value == pytest.approx(1.1) and ahead.low is not None and ahead.seeds == 4
    ahead = found["attention", f"{metric}_kanerva-mixup-fixed_ahead{at}"]
    assert ahead.value == pytest.approx(0.3)
    assert ahead.commit == "kanerva-mixup-fixed+attention"
    both = found["kanerva", f"{metric}_kanerva-mixup-fixed_ahead{at}"]
    other = found["kanerva-mixup-fixed", f"{metric}_kanerva_ahead{at}"]
    assert both.value == pytest.approx(-other.value) == pytest.approx(0.2)
    assert ("kanerva", f"{metric}_kanerva_ahead{at}") not in found
    alone = found["oracle", metric + at]
    assert alone.seeds == 1 and alone.low is None


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("--settings best", "--settings names 'best'"),
        ("--agents oracle", "--agents names 'oracle'"),
        ("--pairs 0", "--pairs is 0"),
        ("--pairs 5000", "5000 pairs were to be remembered and 256 of other episodes"),
        ("--preset full --train 2 --held-out 3 --tasks 9", "--tasks is 9 where 3 experts"),
        ("--seeds", "The seeds are none"),
        ("--meta.seed 7", "--meta.seed is 7: give --seeds"),
        ("--family halfcheetah-velocity --experts nowhere", "There is no expert at 'nowhere'"),
        ("--experts mine.npz", "1 experts were given where pointnav has its own"),
    ],
)
def test_bad_input_is_one_sentence(
    flags: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        script.main(["--preset", "debug", "--run-dir", str(tmp_path), *flags.split()])
    told = capsys.readouterr().err
    assert stopped.value.code == 2 and sentence in told
    assert len(told.splitlines()) == 1
