"""A memory that adapts by writing: against re-writing from scratch, and finite differences."""

from __future__ import annotations

import itertools
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import few_shot_tasks
import pytest
import torch
from few_shot_tasks import ACTION, STATE
from oracles import log_marginal
from torch import Tensor

from km_rl.errors import InputError
from km_rl.rl.episodes import Pairs
from km_rl.rl.heads import bounded
from km_rl.rl.meta import MetaDiscriminator
from km_rl.rl.meta_training import (
    CLIP_NORM,
    FINAL_SHARE,
    MetaRecipe,
    MetaTraining,
    cross_entropy,
    negative_log_likelihood,
)
from km_rl.rl.tasks import Episode, Task, Tasks, halves, rows_of

TINY = {"slots": 6, "code": 3, "hidden": 5}
RECIPE = MetaRecipe(steps=8, batch=3, most_pairs=16, policy_pairs=12, query_pairs=8)
VARIANTS = [
    {"channels": c, "head": h, **TINY}
    for c, h in itertools.product(("h", "a", "both"), ("ratio", "conditional"))
]
GENERATIVE = {"channels": "h", "head": "ratio", "generative": True, **TINY}
VARIANTS.append(GENERATIVE)


def _net(**options: object) -> MetaDiscriminator:
    """A net none of whose parts is at its start."""
    torch.manual_seed(0)
    net = MetaDiscriminator(STATE, ACTION, **(TINY | options))
    for parameter in net.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return net.eval()


def _pairs(n: int, centre: float = 0.0, seed: int = 0) -> Pairs:
    return few_shot_tasks.drawn(n, centre, torch.Generator().manual_seed(seed))


def _rows(n: int, centre: float = 0.0, seed: int = 0) -> Tensor:
    return rows_of(_pairs(n, centre, seed))


def _told(net: MetaDiscriminator, n: int = 100) -> Tensor:
    """What it says about some rows, by the slow path."""
    return net(_rows(n, 0.5, seed=9))


@pytest.mark.parametrize("options", VARIANTS)
def test_what_is_remembered_scores_as_what_is_given_at_once(options: dict[str, object]) -> None:
    net = _net(**options)
    expert, policy, rows = _rows(20, 1.0), _rows(30, -1.0, 1), _rows(80, 0.0, 2)
    net.remember(_pairs(20, 1.0))
    net._keep(net.expert, net.write(net.policy, policy))
    given = net.logits_expert_is_high(expert[None], policy[None], rows[None])[0]
    torch.testing.assert_close(net(rows), given, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(net(rows[:9]), given[:9], rtol=1e-3, atol=1e-3)


def test_the_order_of_what_is_remembered_does_not_matter() -> None:
    one, other = _net(), _net()
    given = _pairs(20, 1.0)
    one.remember(given)
    for part in torch.randperm(20).split(7):
        other.remember(given.take(part))
    torch.testing.assert_close(_told(one), _told(other), rtol=1e-5, atol=1e-6)


def test_what_is_forgotten_was_never_there() -> None:
    one, other = _net(), _net()
    one.remember(_pairs(20, 1.0))
    other.remember(_pairs(300, -2.0, 1))
    other.remember(_pairs(20, 1.0))
    assert not torch.allclose(_told(one), _told(other), atol=0.1)
    other.forget(_pairs(300, -2.0, 1))
    for a, b in zip(one.expert, other.expert, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(_told(one), _told(other))


def test_what_was_not_remembered_is_not_forgotten() -> None:
    net = _net()
    net.remember(_pairs(20, 1.0))
    before = _told(net)
    with pytest.raises(InputError, match="had not been remembered"):
        net.forget(_pairs(30, -1.0, 1))
    torch.testing.assert_close(_told(net), before, rtol=0, atol=0)
    net.forget(_pairs(20, 1.0))
    with pytest.raises(InputError, match="had not been remembered"):
        net.forget(_pairs(20, 1.0))


def test_merged_memories_are_one_written_by_both_teachers() -> None:
    one, other, both = _net(), _net(), _net()
    one.remember(_pairs(20, 1.0))
    other.remember(_pairs(30, -1.0, 1))
    both.remember(_pairs(20, 1.0))
    both.remember(_pairs(30, -1.0, 1))
    one.merge(other)
    torch.testing.assert_close(_told(one), _told(both))
    next(other.priors.parameters()).data += 1
    with pytest.raises(InputError, match="differently trained"):
        one.merge(other)


def test_memories_move_with_the_net_and_are_of_its_weights_alone() -> None:
    net = _net()
    net.remember(_pairs(20, 1.0))
    told, precision = _told(net), net.expert[0].precision
    torch.testing.assert_close(_told(net.double().float()), told)
    assert net.expert[0].precision.dtype == precision.dtype == torch.float64
    net.load_state_dict(_net().state_dict())
    torch.testing.assert_close(_told(net), _told(_net()))


@pytest.mark.cuda
def test_memories_move_to_the_gpu() -> None:
    net = _net()
    net.remember(_pairs(20, 1.0))
    rows = _rows(30, seed=5)
    told = net(rows)
    net.cuda()
    torch.testing.assert_close(net(rows.cuda()).cpu(), told, rtol=1e-3, atol=1e-3)
    net.observe(_pairs(20, -1.0))
    given = rows.cuda()[None]
    logits = net.logits_expert_is_high(given, given, torch.cat([given, given], 1), left_out=True)
    assert logits.is_cuda and logits.isfinite().all()


def test_a_memory_of_the_policy_keeps_three_quarters_of_its_history() -> None:
    net = _net()
    net.observe(_pairs(400, -1.0))
    first = net.policy[0]
    net.observe(_pairs(400, 1.0))
    written = net.policy[0].precision - first.prior_precision
    kept = 0.75 * (first.precision - first.prior_precision)
    assert (torch.linalg.eigvalsh(written - kept) > -1e-9).all()


def test_without_history_only_the_last_round_is_known() -> None:
    net, other = _net(history=False), _net()
    for each in (net, other):
        each.remember(_pairs(20, 1.0))
        each.observe(_pairs(50, 1.0, 3))
        each.observe(_pairs(50, -1.0, 4))
    assert not torch.allclose(_told(net), _told(other), atol=1e-2)
    other.clear()
    other.remember(_pairs(20, 1.0))
    other.observe(_pairs(50, -1.0, 4))
    torch.testing.assert_close(_told(net), _told(other), rtol=1e-4, atol=1e-5)


def test_as_many_pairs_are_known_of_the_policy_with_history_and_without() -> None:
    """Of one pair over and over, the sum of squares says how many; fading, it is a little less."""
    same = _pairs(1).take(torch.zeros(500, dtype=torch.long))
    with_history, without = _net(), _net(history=False)
    for net in (with_history, without):
        for _ in range(30):
            net.observe(same)
    own, other = (
        float((net.policy[0].precision - net.prior()[0].precision).detach().trace())
        for net in (with_history, without)
    )
    assert own == pytest.approx(other, rel=1e-3)


def test_a_discriminator_that_scored_few_pairs_can_be_copied_to_another_process() -> None:
    net = _net()
    net.remember(_pairs(20, 1.0))
    before = _told(net, 3)
    copied = pickle.loads(pickle.dumps(net))
    torch.testing.assert_close(_told(copied, 3), before, rtol=0, atol=0)


def test_what_is_carried_of_an_expert_does_not_grow() -> None:
    net = _net()
    assert net.state_floats == 2 * 6 * (6 + 3)
    net.remember(_pairs(50))
    assert net.state_floats == 2 * 6 * (6 + 3)


@pytest.mark.parametrize("left_out", [False, True])
def test_a_generative_memory_tells_the_density_of_actions_with_the_memory_integrated_out(
    left_out: bool,
) -> None:
    net = _net(**GENERATIVE).double()
    given = expert, policy = _rows(6, 1.0).double(), _rows(5, -1.0, 1).double()
    rows = torch.cat(given) if left_out else _rows(4, 0.0, 2).double()
    told = net.log_probs(expert[None], policy[None], rows[None], left_out)
    channel, prior = net._channels[0]
    R, U = (x.detach() for x in prior())
    noise_var = float(prior.noise_var.detach())

    def density(x: Tensor) -> float:
        w = channel.where(net.stats(x)).detach()
        return log_marginal(R, U, w, net.stats(x)[:, STATE:], noise_var)

    for mine, ours, start in zip(given, told, (0, 6), strict=True):
        for i, row in enumerate(rows):
            kept = [x for j, x in enumerate(mine) if not left_out or start + j != i]
            before = torch.stack(kept)
            expected = density(torch.cat([before, row[None]])) - density(before)
            assert float(ours[0, i]) == pytest.approx(expected, rel=1e-8)
    net.head = MetaDiscriminator(STATE, ACTION, **GENERATIVE).double().head
    logits = net.logits_expert_is_high(expert[None], policy[None], rows[None], left_out)
    torch.testing.assert_close(logits, bounded(told[0] - told[1]))


def test_a_generative_memory_learns_policies_and_not_to_tell_them_apart() -> None:
    tasks = Tasks(few_shot_tasks.tasks(n=200))
    recipe = MetaRecipe(60, 6, most_pairs=32, policy_pairs=32, query_pairs=32, learning_rate=1e-2)
    options = {**GENERATIVE, "slots": 16, "hidden": 16}
    torch.manual_seed(0)
    net = MetaDiscriminator(STATE, ACTION, **options)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    training = MetaTraining(net, tasks, recipe)
    g = torch.Generator().manual_seed(1)
    episode = tasks.draw(torch.arange(6), 16, 32, 32, torch.zeros(6, dtype=torch.bool), g)
    at_first = float(negative_log_likelihood(net, episode, recipe).detach())
    for _ in range(recipe.steps):
        training.step()
    moved = {n for n, p in net.named_parameters() if not torch.equal(p, before[n])}
    assert {n.split(".")[0] for n in before} - {n.split(".")[0] for n in moved} == {"head"}
    assert float(negative_log_likelihood(net, episode, recipe).detach()) < at_first - 0.2
    told = float(cross_entropy(net, episode, recipe).detach())
    shuffled = episode._replace(expert=episode.expert.roll(1, 0))
    assert told < 0.6 < float(cross_entropy(net, shuffled, recipe).detach())


@pytest.mark.parametrize("options", VARIANTS)
def test_pairs_left_out_score_as_if_the_memories_had_been_written_without_them(
    options: dict[str, object],
) -> None:
    net = _net(**options).double()
    expert, policy = _rows(6, 1.0).double(), _rows(5, -1.0, 1).double()
    rows = torch.cat([expert, policy])
    told = net.logits_expert_is_high(expert[None], policy[None], rows[None], left_out=True)[0]
    for i in range(11):
        mine = torch.arange(11) != i
        own, other = (x[None] for x in (expert[mine[:6]], policy[mine[6:]]))
        alone = net.logits_expert_is_high(own, other, rows[None, i : i + 1])
        torch.testing.assert_close(told[i], alone[0, 0], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("left_out", [False, True])
def test_gradients_flow_through_the_write(left_out: bool) -> None:
    net = _net().double()
    expert, policy = (_rows(n, c).double()[None].requires_grad_() for n, c in ((4, 1.0), (3, 0)))
    names = [name for name, _ in net.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in net.parameters()]

    def total(expert: Tensor, policy: Tensor, *values: Tensor) -> Tensor:
        rows = torch.cat([expert, policy], 1)
        given = (expert, policy, rows, left_out)
        called = dict(zip(names, values, strict=True))
        return torch.func.functional_call(
            _Loss(net), {f"net.{n}": v for n, v in called.items()}, given
        )

    assert torch.autograd.gradcheck(total, (expert, policy, *values), fast_mode=True)


class _Loss(torch.nn.Module):
    def __init__(self, net: MetaDiscriminator) -> None:
        super().__init__()
        self.net = net

    def forward(self, *given: Any) -> Tensor:
        logits = self.net.logits_expert_is_high(*given)
        return (logits * torch.arange(1, logits.numel() + 1).to(logits)).sum()


def test_batches_of_episodes_are_scored_one_by_one_alike() -> None:
    net = _net()
    expert, policy, rows = (
        _rows(3 * n, c, n).view(3, n, -1) for n, c in ((7, 1.0), (9, 0), (5, 0))
    )
    together = net.logits_expert_is_high(expert, policy, rows)
    for i in range(3):
        alone = net.logits_expert_is_high(expert[i : i + 1], policy[i : i + 1], rows[i : i + 1])
        torch.testing.assert_close(together[i], alone[0], rtol=1e-4, atol=1e-4)


def test_shuffled_memories_make_it_worse() -> None:
    tasks = Tasks(few_shot_tasks.tasks(n=200))
    recipe = MetaRecipe(80, 6, most_pairs=32, policy_pairs=32, query_pairs=32, learning_rate=1e-2)
    net = MetaDiscriminator.fit(tasks, recipe, slots=16, code=8, hidden=16)
    g = torch.Generator().manual_seed(1)
    episode = tasks.draw(torch.arange(6), 16, 32, 32, torch.ones(6, dtype=torch.bool), g)
    told = float(cross_entropy(net, episode, recipe).detach())
    shuffled = episode._replace(expert=episode.expert.roll(1, 0))
    assert told < 0.45 < float(cross_entropy(net, shuffled, recipe).detach())


def test_mixup_asks_about_points_on_the_way_from_a_policy_to_an_expert() -> None:
    net, tasks = _net(), Tasks(few_shot_tasks.tasks())
    g = torch.Generator().manual_seed(1)
    episode = tasks.draw(torch.arange(3), 8, 8, 5, torch.zeros(3, dtype=torch.bool), g)
    own, other = episode.expert_queries, episode.policy_queries
    share = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])[:, None]
    mixed = share * own + (1 - share) * other
    told = lambda rows: net.logits_expert_is_high(episode.expert, episode.policy, rows).sigmoid()
    p, q, m = told(own), told(other), told(mixed)
    apart = -(p.log().mean() + (1 - q).log().mean()) / 2
    between = -(share[:, 0] * m.log() + (1 - share[:, 0]) * (1 - m).log()).mean()
    found = cross_entropy(net, episode, replace(RECIPE, queries="mixup"))
    torch.testing.assert_close(found, (apart + between) / 2)
    torch.testing.assert_close(cross_entropy(net, episode, RECIPE), apart)


def test_mixup_makes_the_logit_rise_evenly() -> None:
    tasks = Tasks(few_shot_tasks.tasks(n=200))
    recipe = MetaRecipe(150, 6, most_pairs=32, policy_pairs=32, query_pairs=32, learning_rate=1e-2)
    g = torch.Generator().manual_seed(1)
    episode = tasks.draw(torch.arange(6), 16, 32, 32, torch.zeros(6, dtype=torch.bool), g)
    steepest = []
    for queries in ("held_out", "mixup"):
        ours = replace(recipe, queries=queries)
        net = MetaDiscriminator.fit(tasks, ours, slots=16, code=8, hidden=16)
        way = torch.linspace(0, 1, 11)[:, None, None, None]
        points = torch.lerp(episode.policy_queries, episode.expert_queries, way)
        given = episode.expert, episode.policy
        p = torch.stack([net.logits_expert_is_high(*given, x).sigmoid() for x in points])
        rise = p.detach().mean((1, 2)).diff()
        assert (rise > 0).all()
        steepest.append(float(rise.max() / rise.mean()))
    assert steepest[1] < 0.8 * steepest[0]


@pytest.mark.parametrize("queries", ["held_out", "mixup", "left_out", "written"])
def test_training_goes_on_from_its_state_bit_by_bit(queries: str) -> None:
    tasks = Tasks(few_shot_tasks.tasks())
    recipe = replace(RECIPE, queries=queries)  # type: ignore[arg-type]
    whole, first, second = (MetaTraining(_net(), tasks, recipe) for _ in range(3))
    losses = [whole.step() for _ in range(6)]
    assert [first.step() for _ in range(3)] == losses[:3]
    second.restore(first.state())
    assert [second.step() for _ in range(3)] == losses[3:]


def test_a_file_holds_the_whole_discriminator(tmp_path: Path) -> None:
    net = MetaDiscriminator.fit(few_shot_tasks.tasks(), RECIPE, **TINY)
    net.save(tmp_path / "meta.safetensors")
    back = MetaDiscriminator.load(tmp_path / "meta.safetensors")
    for one in (net, back):
        one.remember(_pairs(9, 1.0))
    assert torch.equal(_told(net), _told(back))
    assert bool(back.stats.frozen)


def test_training_shows_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    MetaDiscriminator.fit(few_shot_tasks.tasks(), RECIPE, **TINY)
    shown = capsys.readouterr().err
    assert "fit: 100%" in shown and "8/8" in shown and "loss 0." in shown


def test_the_step_size_falls_from_the_first_step_to_the_last() -> None:
    training = MetaTraining(
        MetaDiscriminator(STATE, ACTION, **TINY), Tasks(few_shot_tasks.tasks()), RECIPE
    )
    found = []
    for training.steps in range(RECIPE.steps + 1):
        found.append(training._learning_rate())
    assert found == sorted(found, reverse=True)
    assert found[0] == RECIPE.learning_rate
    assert found[-1] == pytest.approx(FINAL_SHARE * RECIPE.learning_rate)


def test_a_long_gradient_is_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adam's step hardly shows it, so its first moment, a tenth of the gradient, is looked at."""
    monkeypatch.setattr("km_rl.rl.meta_training.cross_entropy", lambda *a: 1e4 * cross_entropy(*a))
    training = MetaTraining(
        MetaDiscriminator(STATE, ACTION, **TINY), Tasks(few_shot_tasks.tasks()), RECIPE
    )
    training.step()
    moments = [state["exp_avg"].square().sum() for state in training.optimiser.state.values()]
    assert float(sum(moments)) ** 0.5 == pytest.approx(0.1 * CLIP_NORM, rel=1e-3)


def test_as_many_pairs_are_told_as_an_agent_may_have() -> None:
    """Drawn log-uniformly: 1, 2 and 3, 4 to 7 and 8 to 15 pairs alike often, 16 hardly."""
    recipe = replace(RECIPE, least_pairs=1)
    training = MetaTraining(
        MetaDiscriminator(STATE, ACTION, **TINY), Tasks(few_shot_tasks.tasks()), recipe
    )
    told = torch.tensor([training._episode().expert.shape[1] for _ in range(600)])
    assert told.min() == 1 and told.max() <= recipe.most_pairs
    octaves = told.log2().floor().long().bincount(minlength=5)[:4] / len(told)
    assert (octaves - 1 / torch.tensor(17.0).log2()).abs().max() < 0.06


def test_a_training_that_runs_away_is_stopped() -> None:
    with pytest.raises(ArithmeticError, match="covariance holds NaN or infinity"):
        MetaDiscriminator.fit(few_shot_tasks.tasks(), replace(RECIPE, learning_rate=1e30), **TINY)


TYPO: Any = "left-out"


@pytest.mark.parametrize(
    ("tasks", "recipe", "sentence"),
    [
        (few_shot_tasks.tasks(1), RECIPE, "1 tasks were given: at least two"),
        (
            [*few_shot_tasks.tasks(2), *few_shot_tasks.tasks(1, state=4)],
            RECIPE,
            r"'expert 0' has states and actions of \(4, 2\) entries where",
        ),
        (
            [
                t._replace(policies={f"p{i}": t.expert})
                for i, t in enumerate(few_shot_tasks.tasks())
            ],
            RECIPE,
            r"has the policies \['p1'\] where",
        ),
        (few_shot_tasks.tasks(), replace(RECIPE, most_pairs=512), "512 pairs in each half of an"),
        (few_shot_tasks.tasks(n=1), replace(RECIPE, most_pairs=4), "'expert 0' has 1 pairs"),
        (few_shot_tasks.tasks(), replace(RECIPE, most_pairs=3), "most_pairs is 3"),
        (few_shot_tasks.tasks(), replace(RECIPE, batch=0), "batch is 0"),
        (few_shot_tasks.tasks(), replace(RECIPE, queries=TYPO), "queries is 'left-out'"),
    ],
)
def test_bad_tasks_are_refused(tasks: list, recipe: MetaRecipe, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        MetaDiscriminator.fit(tasks, recipe, **TINY)


def test_more_pairs_than_there_are_and_other_sizes_are_refused() -> None:
    tasks = Tasks(few_shot_tasks.tasks())
    every = torch.arange(6)
    with pytest.raises(InputError, match="31 pairs were to be remembered and 1 of other episodes"):
        tasks.draw(every, 31, 1, 1, every > 0, torch.Generator())
    with pytest.raises(InputError, match="4 entries of a state and 2 of an action"):
        _net().remember(few_shot_tasks.drawn(5, 0.0, torch.Generator(), state=4))
    with pytest.raises(InputError, match="head is 'best'"):
        _net(head="best")
    with pytest.raises(InputError, match="channels 'both' and head 'ratio': it predicts actions"):
        _net(generative=True, head="ratio")
    generative = _net(generative=True, head="ratio", channels="h", noise_var=1.0)
    with pytest.raises(InputError, match="'mixup' where a generative model was given"):
        MetaTraining(generative, tasks, replace(RECIPE, queries="mixup"))


def _episode(of_policy: int, mixed: bool) -> Episode:
    """Of two tasks, with 40 pairs of a policy and 20 further ones."""
    tasks = [
        Task(f"{i}", _pairs(90, 1.0, i), {"p": _pairs(of_policy, 0.0, 10 + i)}) for i in (0, 1)
    ]
    generator = torch.Generator().manual_seed(0)
    mixture = torch.full((2,), mixed)
    return Tasks(tasks).draw(torch.arange(2), 5, 40, 20, mixture, generator)


@pytest.mark.parametrize("mixed", [False, True])
def test_no_pair_of_a_policy_is_both_remembered_and_asked_about(mixed: bool) -> None:
    episode = _episode(90, mixed)
    for rows in torch.cat([episode.policy, episode.policy_queries], 1):
        assert len(rows.unique(dim=0)) == 60


def test_a_policy_of_few_pairs_repeats_them() -> None:
    assert _episode(9, False).policy.shape == (2, 40, STATE + ACTION)


def _episodes_of(task: int, who: int) -> Pairs:
    """Twelve episodes of six pairs, whose states say in which task, whose and which they are."""
    found = _pairs(72, 0.0, 10 * task + who)
    number = torch.randperm(12).repeat(6)
    state = torch.stack([torch.full((72,), task), torch.full((72,), who), number], 1).float()
    return found._replace(state=state, trajectory=number)


@pytest.mark.parametrize("mixed", [False, True])
def test_what_is_asked_about_is_of_other_episodes_than_what_is_told(mixed: bool) -> None:
    tasks = Tasks([Task(f"{i}", _episodes_of(i, 0), {"p": _episodes_of(i, 1)}) for i in range(3)])
    which, g, roles = torch.arange(3), torch.Generator().manual_seed(0), set()
    for _ in range(20):
        drawn = tasks.draw(which, 30, 30, 30, torch.full((3,), mixed), g)
        for expert, policy, *queries in zip(*drawn, strict=True):
            for told, asked in zip((expert, policy), queries, strict=True):
                first, second = (
                    {tuple(row) for row in rows[:, :STATE].tolist()} for rows in (told, asked)
                )
                assert not first & second
                roles.add(min(episode for *_, episode in first))
    assert roles == {0.0, 1.0}


def test_pairs_of_unknown_episodes_are_halved_row_by_row() -> None:
    assert halves(_pairs(5)).tolist() == [0, 1, 0, 1, 0]
    known = _pairs(5)._replace(trajectory=torch.tensor([4, 9, 9, 4, 7]))
    assert halves(known).tolist() == [0, 1, 1, 0, 1]
    known = _pairs(5)._replace(trajectory=torch.tensor([4, 8, 8, 4, 2]))
    assert halves(known).tolist() == [1, 0, 0, 1, 0]


def test_a_task_is_told_apart_from_others_and_never_from_itself() -> None:
    given = few_shot_tasks.tasks(3, n=20)
    marked = [
        t._replace(
            expert=t.expert._replace(state=torch.full_like(t.expert.state, i)),
            policies={"random": t.expert._replace(state=torch.full_like(t.expert.state, 9.0))},
        )
        for i, t in enumerate(given)
    ]
    tasks, which = Tasks(marked), torch.tensor([0, 1, 2])
    g = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(40):
        mixed = torch.tensor([True, False, True])
        episode = tasks.draw(which, 5, 30, 7, mixed, g)
        assert (episode.expert[..., 0] == which[:, None]).all()
        assert (episode.expert_queries[..., 0] == which[:, None]).all()
        assert not (episode.policy[..., 0] == which[:, None]).any()
        assert len(episode.policy[1, :, 0].unique()) == 1
        seen |= {float(x) for x in episode.policy[1, :1, 0]}
        own = torch.cat([episode.expert, episode.expert_queries], 1)[0]
        assert len(own.unique(dim=0)) == 12
    assert seen == {0.0, 2.0, 9.0}


def test_what_is_no_task_and_no_option_is_told_and_float64_is_taken() -> None:
    first, *others = few_shot_tasks.tasks()
    with pytest.raises(
        InputError, match=r"has a dict where pairs are expected: give km_rl.rl.pairs"
    ):
        Tasks([first, others[0]._replace(expert={"obs": 1})])  # type: ignore[arg-type]
    wide = first.expert._replace(state=first.expert.state.double())
    assert Tasks([first._replace(expert=wide), *others]).digest == Tasks([first, *others]).digest
    with pytest.raises(InputError, match="There is no option 'slot' of MetaDiscriminator"):
        MetaDiscriminator(STATE, ACTION, slot=3)
