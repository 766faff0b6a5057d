"""What learners do early: kept, the same for a seed, and negatives to train and to test with."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from agents.few_shot.comparison import Comparison
from agents.few_shot.config import FewShotConfig
from agents.few_shot.exam import aucs, earlier_aucs, examination, learner_examination
from agents.few_shot.learners import LEARNER, _Keep, early_pairs, held_out_learners, with_learners
from agents.few_shot.settings import SETTINGS
from agents.few_shot.training import meta_trained, payer
from agents.generator import ppo_settings
from envs.make import make_vec
from envs.tasks import Family, load_family
from km_rl.errors import InputError
from km_rl.rl.few_shot import ROUNDS, FewShot
from km_rl.rl.meta import MetaDiscriminator
from km_rl.rl.meta_reward_net import FewShotRewardNet
from km_rl.rl.meta_training import MetaRecipe
from km_rl.rl.tasks import halves, rows_of

RECIPE = MetaRecipe(4, 3, 4, 16, 24, 8)


@pytest.fixture(scope="module")
def family() -> Family:
    return load_family("pointnav", train=3, held_out=2)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.few_shot.learners.COUNT", 2)
    monkeypatch.setattr("agents.few_shot.learners.EARLY", 1)


def test_learners_stand_beside_the_other_policies_and_are_made_once(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MetaDiscriminator(2, 2, slots=6, code=3, hidden=5)
    tasks = with_learners(family, model, tmp_path, 7)
    found = [task.policies[LEARNER] for task in tasks]
    assert [list(task.policies)[-1] for task in tasks] == [LEARNER] * 3
    assert torch.equal(found[0].state, found[2].state)
    assert not torch.equal(found[0].state, found[1].state)
    assert len(rows_of(found[0]).unique(dim=0)) == 512 and found[0].action.abs().max() <= 1
    again = early_pairs(model, family, family.train[1], 2 * 2 * 7 + 1)
    assert torch.equal(rows_of(again), rows_of(found[1]))
    monkeypatch.setattr("agents.few_shot.learners.early_pairs", None)
    kept = with_learners(family, model, tmp_path, 7)
    for one, other in zip(kept[0].policies[LEARNER], found[0], strict=True):
        assert torch.equal(one, other)
    assert halves(found[0]).double().mean() == 0.5
    for path in tmp_path.iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(InputError, match="is not a whole file of a learner's pairs"):
        with_learners(family, model, tmp_path, 7)


@pytest.mark.parametrize("changed", ["EARLY", "TOLD"])
def test_learners_that_learn_otherwise_are_made_anew(
    changed: str, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Mock(return_value=family.train[0].policies["random"])
    monkeypatch.setattr("agents.few_shot.learners.early_pairs", made)
    model, other = (MetaDiscriminator(2, 2, slots=6, code=3, hidden=5) for _ in range(2))
    for paying, count in ((model, 2), (model, 2), (other, 4)):
        with_learners(family, paying, tmp_path, 7)
        assert made.call_count == count
    monkeypatch.setattr(f"agents.few_shot.learners.{changed}", 3)
    with_learners(family, model, tmp_path, 7)
    assert made.call_count == 6


def test_an_episode_is_one_however_many_rounds_it_takes(family: Family) -> None:
    """Or one half of it would be told, and the other asked about."""
    T, envs, space = 3, 2, make_vec("PointNav", 1, 0).action_space
    keep = _Keep()
    starts = np.array([[1, 1], [0, 0], [0, 1], [0, 0], [0, 0], [1, 0]])
    for part in (starts[:T], starts[T:]):
        place = np.arange(T * envs, dtype=np.float32).reshape(T, envs)
        buffer = SimpleNamespace(
            episode_starts=part.astype(np.float32),
            observations=np.stack([place, place], -1),
            actions=np.full((T, envs, 2), 9.0, np.float32),
        )
        keep.model = SimpleNamespace(rollout_buffer=buffer, action_space=space)  # type: ignore[assignment]
        keep._on_rollout_end()
    found = keep.seen
    episodes = [
        [0, 2, 4, 6, 8],  # of the first environment, until it begins anew
        [1, 3],
        [5, 7, 9, 11],
        [10],
    ]
    rows = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    number = found.trajectory.tolist()
    together = {n: [row for row in rows if number[row] == n] for n in set(number)}
    assert sorted(together.values()) == sorted(episodes)
    assert found.action.max() == 1 and found.state[:, 0].tolist() == [*range(6)] * 2


@pytest.mark.parametrize(
    ("without", "name"),
    [("kanerva", "with-learners"), ("attention-pairs", "attention-with-learners")],
)
def test_a_setting_learns_from_them_and_all_are_tested_with_others(
    without: str, name: str, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)

    def drawn(model: FewShot, family: Family, task: object, seed: int):
        return family.train[0].policies["random"].take(torch.from_numpy(rng.permutation(512)))

    monkeypatch.setattr("agents.few_shot.learners.early_pairs", drawn)
    usual = meta_trained(family, without, RECIPE, tmp_path)
    other = meta_trained(family, name, RECIPE, tmp_path)
    assert not torch.equal(*(next(m.parameters()) for m in (usual, other)))
    learners = held_out_learners(family, *payer(family, RECIPE, tmp_path))
    exam = examination(family, 8, 100, 50)
    own = learner_examination(exam, learners)
    first, second = (rows_of(learners[1])[halves(learners[1]) == half] for half in (0, 1))
    assert torch.equal(own.policy[1], first[:100])
    assert torch.equal(own.policy_queries[1], second[:50])
    assert len(aucs(other, own, 8)) == 2
    folder = tmp_path / "few-shot" / "pointnav" / "kanerva-0" / "learners"
    assert len(list(folder.iterdir())) == 4


def test_earlier_rounds_are_known_by_a_memory_with_history_alone(
    family: Family, tmp_path: Path
) -> None:
    usual = meta_trained(family, "kanerva", RECIPE, tmp_path)
    without = meta_trained(family, "no-history", RECIPE, tmp_path)
    assert SETTINGS["no-history"].like == "kanerva"
    assert [p.name for p in (tmp_path / "few-shot" / "pointnav").iterdir()] == ["kanerva-0"]
    exam = examination(family, 8, 20, 30)
    assert aucs(usual, exam, 8) == aucs(without, exam, 8)
    told = [earlier_aucs(model, family.held_out, exam, 8) for model in (usual, without)]
    assert told[0] != told[1]
    assert earlier_aucs(usual, family.held_out, exam, 8) == told[0]
    case = family.held_out[1]
    policies = list(case.task.policies.values())
    without.remember({"obs": exam.expert[1, :8, :2], "acts": exam.expert[1, :8, 2:]})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        without.observe(policies[-1].take(torch.arange(256)))
    earlier = torch.cat([rows_of(p)[256:] for p in policies[:-1]])
    own, other = without(exam.expert_queries[1]), without(earlier)
    share = (own[:, None] > other).double().mean()
    assert told[1] is not None and told[1][1] == pytest.approx(float(share), abs=0.1)
    alone = [
        c._replace(task=c.task._replace(policies={"random": policies[0]})) for c in family.held_out
    ]
    assert earlier_aucs(usual, alone, exam, 8) is None


def test_a_fixed_reward_is_shown_no_rollout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    observed: list[FewShot] = []
    observe = FewShotRewardNet.observe

    def noted(net: FewShotRewardNet, transitions: Any) -> None:
        observed.append(net.model)
        observe(net, transitions)

    monkeypatch.setattr(FewShotRewardNet, "observe", noted)
    agents = ("kanerva", "kanerva-fixed", "attention-fixed")
    config = FewShotConfig(
        agents=agents,
        settings=("kanerva",),
        tasks=1,
        steps=4096,
        auc_pairs=(8,),
        meta=RECIPE,
        train=3,
        held_out=2,
        run_dir=tmp_path,
    )
    Comparison(config).measure(lambda _: None)
    times = [sum(1 for _ in same) for _, same in groupby(observed, key=id)]
    settings = ppo_settings("PointNav")
    rounds = 4096 // (settings.n_steps * settings.n_envs)
    assert times == [ROUNDS + rounds, ROUNDS, ROUNDS]


@pytest.mark.parametrize("name", [name for name, s in SETTINGS.items() if not s.observes])
def test_a_fixed_reward_takes_the_weights_of_another(
    family: Family, tmp_path: Path, name: str
) -> None:
    before = SETTINGS[name].like
    assert before is not None
    usual, fixed = (meta_trained(family, n, RECIPE, tmp_path) for n in (before, name))
    assert [p.name for p in (tmp_path / "few-shot" / "pointnav").iterdir()] == [f"{before}-0"]
    rows = torch.randn(5, 4)
    for model in (usual, fixed):
        model.remember(family.held_out[0].task.expert.take(torch.arange(8)))
        model.observe(family.held_out[0].task.policies["random"].take(torch.arange(64)))
    torch.testing.assert_close(usual(rows), fixed(rows))
