"""The rivals of the memory, as large as it is: what they take in, forget, and learn."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from gymnasium.spaces import flatdim
from tqdm import tqdm

from agents.discriminators import perceptron
from agents.few_shot.exam import adapt_ms, aucs, earlier_aucs, examination
from agents.few_shot.rivals import Attention, DeepSet, NearestPair, Perceptron, size
from agents.few_shot.scores import (
    by_classical,
    by_few_shot,
    by_true_reward,
    matched_width,
)
from agents.few_shot.settings import SETTINGS, build
from envs.make import make_vec
from envs.tasks import Family, load_family
from km_rl.errors import InputError, NonFiniteError
from km_rl.rl.few_shot import FewShot
from km_rl.rl.meta import MetaDiscriminator
from km_rl.rl.meta_training import MetaRecipe, MetaTraining
from km_rl.rl.tasks import Tasks

RIVALS: dict[str, Callable[[], FewShot]] = {
    "attention": partial(Attention, 2, 2, "state", 12),
    "attention-pairs": partial(Attention, 2, 2, "both", 12),
    "deep-set": partial(DeepSet, 2, 2, 12),
    "nearest": partial(NearestPair, 2, 2),
}


@pytest.fixture(scope="module")
def family() -> Family:
    return load_family("pointnav", train=4, held_out=2)


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The progress bars of agents."""
    found: list[Any] = []

    def shown(**given: Any) -> Any:
        found.append(tqdm(**given))
        return found[-1]

    monkeypatch.setattr("agents.few_shot.scores.progress_bar", shown)
    return found


@pytest.mark.parametrize("name", RIVALS)
def test_a_pair_left_out_scores_as_if_it_had_not_been_given(name: str) -> None:
    model = RIVALS[name]().double()
    expert, policy = torch.randn(1, 5, 4).double(), torch.randn(1, 7, 4).double()
    both = torch.cat([expert, policy], 1)
    told = model.logits_expert_is_high(expert, policy, both, left_out=True)[0]
    for i in range(12):
        kept = torch.arange(12) != i
        given = expert[:, kept[:5]], policy[:, kept[5:]]
        alone = model.logits_expert_is_high(*given, both[:, i : i + 1])[0, 0]
        torch.testing.assert_close(told[i], alone)


@pytest.mark.parametrize("name", RIVALS)
def test_rivals_take_pairs_in_and_forget_them(name: str) -> None:
    model = RIVALS[name]()
    first, second, policy = (
        {"obs": torch.randn(n, 2), "acts": torch.randn(n, 2)} for n in (5, 6, 70)
    )
    query = torch.randn(9, 4)
    model.clear()
    model.remember(first)
    model.observe(policy)
    told = model(query)
    model.remember(second)
    assert not torch.allclose(model(query), told)
    model.remember(first)
    model.forget(first)
    model.forget(second)
    torch.testing.assert_close(model(query), told)
    with pytest.raises(InputError, match="had not been remembered"):
        model.forget(second)


@pytest.mark.parametrize("name", [*RIVALS, "perceptron"])
def test_a_rival_that_knows_nothing_tells_nothing_apart(name: str) -> None:
    model = RIVALS.get(name, lambda: Perceptron(2, 2, 16, updates=2).eval())()
    query, pairs = torch.randn(9, 4), {"obs": torch.randn(5, 2), "acts": torch.randn(5, 2)}
    for take_in in (None, model.remember, model.observe):
        model.clear()
        if take_in is not None:
            take_in(pairs)
        assert torch.equal(model(query), torch.zeros(9))


def test_a_perceptron_learns_the_pairs_it_is_given_side_by_side() -> None:
    model = Perceptron(2, 2, 16).eval()
    expert = torch.randn(2, 16, 4) + torch.tensor([2.0, -2.0])[:, None, None]
    policy, queries = torch.randn(2, 64, 4), torch.randn(2, 50, 4)
    own = queries + torch.tensor([2.0, -2.0])[:, None, None]
    logits = model.logits_expert_is_high(expert, policy, torch.cat([own, queries], 1))
    assert (logits[:, :50].mean(1) > logits[:, 50:].mean(1) + 1).all()
    with pytest.raises(InputError, match="cannot leave a pair out"):
        model.logits_expert_is_high(expert, policy, expert, left_out=True)


def test_what_learns_in_a_test_does_so_whatever_was_drawn_before(family: Family) -> None:
    model, exam = Perceptron(2, 2, 16, updates=20).eval(), examination(family, 8, 20, 30)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append([aucs(model, exam, 8), earlier_aucs(model, family.held_out, exam, 8)])
        adapt_ms(model, exam, 8)
        assert torch.equal(torch.get_rng_state(), before)
    assert found[0] == found[1]


def test_a_perceptron_that_pays_learns_when_it_is_shown_something(
    family: Family, monkeypatch: pytest.MonkeyPatch, bars: list[Any]
) -> None:
    model = Perceptron(2, 2, 16, updates=20).eval()
    counted = Mock(wraps=Perceptron._learned)
    monkeypatch.setattr(Perceptron, "_learned", lambda *given: counted(*given))
    case = family.held_out[0]
    told = case.task.expert.take(torch.arange(16))
    learned = by_few_shot("mlp-scratch", model, family, case, told, 4096, 0)
    assert learned.returns.steps == [0, 2048, 4096]
    assert [(bar.desc, bar.n, bar.total) for bar in bars] == [
        (f"mlp-scratch, {case.task.name}", 4096, 4096)
    ]
    assert counted.call_count == 2
    query = torch.randn(9, 4)
    model.observe(case.task.policies["random"])
    before = model(query)
    torch.manual_seed(0)
    model.observe(case.task.policies["half-trained"])
    assert not torch.equal(model(query), before) and counted.call_count == 4
    before = model(query)
    model.load_state_dict(Perceptron(2, 2, 16).state_dict(), strict=False)
    assert not torch.equal(model(query), before) and counted.call_count == 5


def test_pairs_are_carried_by_those_that_look_at_them_again() -> None:
    told = {"obs": torch.randn(9, 2), "acts": torch.randn(9, 2)}
    carried = {}
    for name, new in RIVALS.items():
        model = new()
        model.remember(told)
        carried[name] = model.state_floats
    assert carried == {"attention": 36, "attention-pairs": 36, "deep-set": 12, "nearest": 36}


@pytest.mark.parametrize("sizes", [(2, 2), (17, 6)])
def test_rivals_have_as_many_parameters_as_the_memory(sizes: tuple[int, int]) -> None:
    memory = size(MetaDiscriminator(*sizes))
    tasks = Tasks.__new__(Tasks)
    tasks.state, tasks.rest = sizes
    for setting in SETTINGS.values():
        if setting.model not in (MetaDiscriminator, NearestPair):
            assert size(build(setting, tasks)) == pytest.approx(memory, rel=0.2)


@pytest.mark.parametrize("env", ["PointNav", "HalfCheetah"])
def test_gails_net_has_as_many_parameters_as_the_memory(env: str) -> None:
    venv = make_vec(env, 1, 0)
    spaces = venv.observation_space, venv.action_space
    memory = size(MetaDiscriminator(*map(flatdim, spaces)))
    width = matched_width(*map(flatdim, spaces))
    assert size(perceptron(*spaces, width=width)) == pytest.approx(memory, rel=0.2)


@pytest.mark.parametrize("name", ["gail", "gail-dropout", "gail-expert-scale", "bc"])
def test_agents_of_classical_imitation_have_nets_of_that_width(
    name: str, family: Family, bars: list[Any]
) -> None:
    case = family.held_out[0]
    told = case.task.expert.take(torch.arange(16))
    learned = by_classical(name, family, case, told, 9, 0)
    memory = size(MetaDiscriminator(2, 2))
    assert name == "bc" or learned.parameters == pytest.approx(memory, rel=0.2)
    assert learned.returns.steps[0] == 0 and len(learned.returns.values) == len(
        learned.returns.steps
    )
    assert learned.expert > learned.random
    (bar,), end = bars, learned.returns.steps[-1]
    assert (bar.desc, bar.n, bar.total) == (f"{name}, {case.task.name}", end, end)
    assert (bar.unit, bar.leave) == ("step", False)


def test_an_agent_that_the_task_pays_is_told_nothing_of_an_expert(
    family: Family, bars: list[Any]
) -> None:
    case = family.held_out[0]
    learned = by_true_reward(family, case, 4096, 0)
    assert learned.returns.steps == [0, 2048, 4096] and learned.parameters == 0
    assert [(bar.desc, bar.n) for bar in bars] == [(f"true-reward, {case.task.name}", 4096)]
    venv = learned.learner.get_env()
    assert venv is not None and case.reward is not None
    venv.reset()
    obs, rewards, _, _ = venv.step(np.full((venv.num_envs, 2), 0.5))
    assert rewards == pytest.approx([case.reward(one) for one in np.asarray(obs)], rel=1e-5)
    again = by_true_reward(family, case, 4096, 0)
    assert again.returns.values == learned.returns.values
    assert by_true_reward(family, case, 4096, 1).returns.values != learned.returns.values


def test_a_training_that_runs_away_is_stopped(family: Family) -> None:
    recipe = MetaRecipe(2, 2, most_pairs=16, policy_pairs=16, query_pairs=16, learning_rate=1e30)
    training = MetaTraining(DeepSet(2, 2, 12), Tasks(family.train), recipe)
    training.step()
    before = [parameter.clone() for parameter in training.model.parameters()]
    with pytest.raises(NonFiniteError, match=r"at step 2: the loss is nan .* lower learning rate"):
        training.step()
    assert training.steps == 1
    assert all(map(torch.equal, before, training.model.parameters()))
