"""The logit of a pair: its sign, its laws, and that it comes from the memories."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from km_rl.errors import InputError
from km_rl.rl.discriminator import Discriminator
from km_rl.rl.evidence import EXPERT, POLICY
from km_rl.rl.options import Options

STATE, ACTION = 3, 2
VARIANTS = [
    {"features": features, "head": head, "channels": channels}
    for features, head, channels in [
        ("random", "least_squares", "a"),
        ("random", "least_squares", "both"),
        ("learned", "least_squares", "a"),
        ("learned", "conditional", "both"),
        ("learned", "ratio", "h"),
        ("random", "conditional", "a"),
        ("random", "ratio", "both"),
    ]
]


def _rows(n: int, shift: float, seed: int) -> Tensor:
    """Pairs whose action is the state's first entries plus a shift: two agents by their shift."""
    generator = torch.Generator().manual_seed(seed)
    state = torch.randn(n, STATE, generator=generator)
    noise = 0.2 * torch.randn(n, ACTION, generator=generator)
    return torch.cat([state, state[:, :ACTION] + shift + noise], -1)


def _net(expert: int = 60, policy: int = 60, **options: Any) -> Discriminator:
    torch.manual_seed(0)
    given = {"slots": 32, "hidden": 32, "noise_var": 0.1, "scale": "all", **options}
    net = Discriminator(STATE, ACTION, Options(**given))
    net.stats.update(torch.cat([_rows(200, 1.0, 8), _rows(200, -1.0, 9)]))
    net.stats.freeze()
    net.expert.add(_rows(expert, 1.0, 0))
    net.policy.add(_rows(policy, -1.0, 1))
    return net.eval()


def _train(net: Discriminator, steps: int = 60) -> None:
    """Ordinary discriminator training on the expert's own pairs and fresh ones of the policy."""
    net.train()
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    labels = torch.cat([torch.ones(60), torch.zeros(60)])
    for step in range(steps):
        batch = torch.cat([net.expert.content, _rows(60, -1.0, 100 + step)])
        loss = binary_cross_entropy_with_logits(net(batch), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    net.eval()


def _margin(net: Discriminator) -> float:
    """How much higher the logit of unseen expert pairs is than that of unseen policy pairs."""
    with torch.no_grad():
        return float(net(_rows(300, 1.0, 2)).mean() - net(_rows(300, -1.0, 3)).mean())


@pytest.mark.parametrize("options", VARIANTS)
def test_a_high_logit_means_expert_and_swapping_the_memories_turns_it_round(
    options: dict[str, Any],
) -> None:
    net = _net(**options)
    if options["features"] == "learned":
        _train(net)
    margin = _margin(net)
    assert margin > 0.5
    expert, policy = net.expert.content.clone(), net.policy.content.clone()
    net.expert.clear(), net.policy.clear()
    net.expert.add(policy), net.policy.add(expert)
    net.thaw()
    assert _margin(net) < 0


@pytest.mark.parametrize("options", VARIANTS)
def test_shuffling_the_memories_makes_the_logit_worse(options: dict[str, Any]) -> None:
    net = _net(**options)
    _train(net)
    margin = _margin(net)
    rows = torch.cat([net.expert.content, net.policy.content])
    mixed = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]
    net.expert.clear(), net.policy.clear()
    net.expert.add(mixed[:60]), net.policy.add(mixed[60:])
    net.thaw()
    assert _margin(net) < 0.6 * margin


@pytest.mark.parametrize("options", VARIANTS)
def test_the_order_in_which_pairs_came_does_not_matter(options: dict[str, Any]) -> None:
    net, rows = _net(**options, forget_rate=0.0), _rows(20, 0.0, 5)
    with torch.no_grad():
        logits = net(rows)
        for buffer in (net.expert, net.policy):
            content = buffer.content.flip(0).clone()
            buffer.clear()
            buffer.add(content)
        net.thaw()
        torch.testing.assert_close(net(rows), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", VARIANTS)
def test_held_pairs_are_scored_as_if_they_had_been_left_out(options: dict[str, Any]) -> None:
    """The weights of the others stay the same."""
    net = _net(**options, policy=40, forget_rate=0.0)
    row = net.expert.content[7:8].clone()
    with torch.no_grad():
        held = [e.log_prob[EXPERT] for e in net.evidence(row, left_out=True)]
        total = 40 / 60
        (content, policy), _ = net.written()
        without = content.keys != net.expert.key(row)
        left = content._replace(
            rows=content.rows[without],
            keys=content.keys[without],
            weights=content.weights[without],
        )
        torch.testing.assert_close(left.weights, torch.full((59,), total))
        net._frozen = net._write((left, policy))
        alone = [e.log_prob[EXPERT] for e in net.evidence(row)]
    torch.testing.assert_close(torch.stack(held), torch.stack(alone), rtol=1e-3, atol=1e-3)


def _without(net: Discriminator, row: Tensor) -> Tensor:
    """The logit of a pair by memories that never held it, with the others' weights as they are."""
    contents, _ = net.written()
    left = []
    for content in contents:
        kept = content.keys != net.expert.key(row)
        left.append(type(content)(content.rows[kept], content.keys[kept], content.weights[kept]))
    frozen = net._frozen
    net._frozen = net._write((left[0], left[1]))
    logit = net.logits_expert_is_high(row)
    net._frozen = frozen
    return logit


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("whose", ["expert", "policy", "both"])
def test_all_copies_of_a_pair_are_left_out_whoever_has_them(whose: str, copies: int) -> None:
    net = _net(head="least_squares", features="random")
    row = _rows(1, 0.0, 7)
    for name, buffer in (("expert", net.expert), ("policy", net.policy)):
        if whose in (name, "both"):
            buffer.add(row.expand(copies, -1))
    net.thaw()
    with torch.no_grad():
        left_out = net.logits_expert_is_high(row, left_out=True)
        torch.testing.assert_close(left_out, _without(net, row), rtol=1e-3, atol=1e-3)


def test_an_act_of_the_expert_is_paid_as_one_even_if_it_was_written_before() -> None:
    """In a grid the policy does just what the expert did; that is no reason to doubt it."""
    state = torch.eye(8)[:, :STATE] + torch.arange(8.0)[:, None]
    expert = torch.cat([state, torch.tensor([1.0, 0.0]).expand(8, 2)], -1)
    other = torch.cat([state, torch.tensor([0.0, 1.0]).expand(8, 2)], -1)
    net = Discriminator(STATE, ACTION, Options(slots=64)).eval()
    net.remember(expert)
    net.observe(torch.cat([expert, other]))
    with torch.no_grad():
        assert (net(expert) > net(other)).all() and net(expert).mean() > 0


def test_the_fast_path_follows_a_bias_that_is_trained() -> None:
    net, rows = _net(head="least_squares", features="random"), _rows(5, 0.0, 5)
    with torch.no_grad():
        before = net(rows)
        net.train()(rows)
        net.head.bias.add_(1.0)
        assert (net.eval()(rows) - before).abs().min() > 0.1


def test_with_the_scale_of_all_the_memories_follow_what_is_seen() -> None:
    net = Discriminator(STATE, ACTION, Options(slots=32, scale="all")).eval()
    net.remember(_rows(40, 1.0, 0))
    net.see(_rows(40, 1.0, 0))
    with torch.no_grad():
        before = net.written().memories[0].mean.clone()
        net.see(5 * _rows(400, -1.0, 1))
        assert not torch.allclose(net.written().memories[0].mean, before)


def test_when_all_is_forgotten_its_scale_is_too() -> None:
    net, rows = Discriminator(STATE, ACTION, Options(slots=32)), _rows(40, 1.0, 0)
    net.remember(5 * rows)
    assert net.forget(5 * rows) == 40
    assert not net.stats.mean.any() and (net.stats.var == 1).all() and not net.stats.count


def test_without_leave_one_out_held_pairs_look_better_than_new_ones() -> None:
    gaps = {}
    for on in (True, False):
        net = _net(leave_one_out=on, features="random", slots=128, noise_var=0.02)
        with torch.no_grad():
            (held, *_), (new, *_) = (
                net.evidence(rows, left_out=True)
                for rows in (net.expert.content, _rows(600, 1.0, 2))
            )
        gaps[on] = float(held.log_prob[EXPERT].mean() - new.log_prob[EXPERT].mean())
    assert gaps[False] > 3 * abs(gaps[True])


def test_the_logit_is_zero_where_neither_memory_knows_anything() -> None:
    net = _net(expert=0, policy=0)
    with torch.no_grad():
        torch.testing.assert_close(net(_rows(20, 0.0, 5)), torch.zeros(20), atol=1e-5, rtol=0)


@pytest.mark.parametrize("options", VARIANTS)
def test_logits_are_bounded_and_gradients_finite(options: dict[str, Any]) -> None:
    net = _net(bound=2.0, **options).train()
    logits = net(100 * _rows(50, 3.0, 5))
    assert logits.abs().max() <= 2
    logits.sum().backward()
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("head", ["least_squares", "ratio"])
def test_the_write_is_trained_too(head: str) -> None:
    """The gradient of one pair's logit reaches pairs that were only written."""
    net = _net(head=head, channels="h", features="learned").train()
    written = net.expert.rows.requires_grad_()
    assert torch.autograd.grad(net(_rows(1, 0.0, 5)).sum(), written)[0].abs().sum() > 0


@pytest.mark.parametrize("options", VARIANTS)
def test_pairs_in_training_do_not_see_themselves_in_the_memory(options: dict[str, Any]) -> None:
    net = _net(**options).train()
    rows = net.expert.content[:5]
    left_out = net.logits_expert_is_high(rows, left_out=True)
    torch.testing.assert_close(net(rows), left_out)
    assert not torch.allclose(net.logits_expert_is_high(rows), left_out)


def test_least_squares_is_weighted_ridge_regression_of_the_label() -> None:
    net = _net(expert=40, policy=60, head="least_squares", features="random", forget_rate=0.0)
    rows = _rows(20, 0.0, 5)
    w = net._channels[0].where
    W = w(net.stats(torch.cat([net.expert.content, net.policy.content]))).double()
    y = torch.cat([torch.ones(40), -torch.ones(60)]).double()
    weight = (
        torch.cat([torch.ones(40), torch.full((60,), 40 / 60)]).double() / net.options.noise_var
    )
    coefficients = torch.linalg.solve(
        W.mT * weight @ W + torch.eye(32).double(), W.mT @ (weight * y)
    )
    label = w(net.stats(rows)).double() @ coefficients
    with torch.no_grad():
        logits = net.logits_expert_is_high(rows).double()
    expected = 10 * (2 * label.clamp(-0.9999, 0.9999).atanh() / 10).tanh()
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)


def test_both_memories_weigh_the_same_and_are_trained_on_the_support() -> None:
    """As much as the lighter buffer, whose pairs weigh 1, or what is left of it."""
    faded = {"round_pairs": 10, "forget_rate": 0.5}  # of 30 pairs: 10 + 5 + 2.5, about
    many = _net(expert=60, policy=200, support=50, features="learned", forget_rate=0.0)
    for net, total in (
        (many, 60.0),
        (_net(expert=20, policy=200), 20.0),
        (_net(expert=60, policy=30, **faded), float((0.5 ** (torch.arange(30) / 10)).sum())),
        (_net(expert=60, policy=0), 60.0),
        (_net(expert=0, policy=60, forget_rate=0.0), 60.0),
    ):
        for content in net.written().contents:
            if len(content.keys):
                torch.testing.assert_close(content.weights.sum(), torch.tensor(total))
    for content in many.train().written().contents:
        assert len(content.keys) == 50
        torch.testing.assert_close(content.weights.sum(), torch.tensor(60.0))
    first, second = (many.written().contents[EXPERT].keys for _ in range(2))
    assert not torch.equal(first, second)  # another support in each step


def test_the_scale_is_the_experts_and_follows_what_is_remembered_and_forgotten() -> None:
    net = Discriminator(STATE, ACTION, Options(slots=32))
    net.see(_rows(50, -1.0, 1))
    torch.testing.assert_close(net.stats.mean, _rows(50, -1.0, 1).mean(0))
    first, second = 5 * _rows(30, 1.0, 0), _rows(40, 1.0, 3)
    for rows in (first, second):
        net.remember(rows)
    net.see(_rows(50, -1.0, 2))
    torch.testing.assert_close(net.stats.mean, torch.cat([first, second]).mean(0))
    net.forget(first)
    torch.testing.assert_close(net.stats.mean, second.mean(0))
    torch.testing.assert_close(net.stats.var, second.var(0, correction=0))


def test_without_history_only_the_last_round_is_kept() -> None:
    net = _net(policy=0, history=False, round_pairs=40)
    rows = _rows(100, -1.0, 1)
    net.policy.add(rows)
    assert torch.equal(net.policy.content, rows[-40:])
    weights = net.written().contents[POLICY].weights
    torch.testing.assert_close(weights, weights.mean().expand(40))


def test_older_rounds_weigh_less() -> None:
    net = _net(policy=200, round_pairs=100, rounds=2, forget_rate=0.5)
    content = net.written().contents[POLICY]
    weights = content.weight_of(net.policy.key(net.policy.content))
    torch.testing.assert_close(weights[0] / weights[100], torch.tensor(0.5))


def test_p_values_of_further_expert_pairs_are_uniform() -> None:
    net = _net(expert=500, policy=500, features="random", head="ratio")
    values = net.p_value(_rows(2000, 1.0, 2))
    assert 0 < values.min() and values.max() <= 1
    rows = _rows(20, 0.0, 4)
    with torch.no_grad():
        own = net.logits_expert_is_high(net.expert.content, left_out=True)
        no_higher = (own <= net.logits_expert_is_high(rows)[:, None]).sum(1)
    torch.testing.assert_close(net.p_value(rows), (1 + no_higher) / (1 + len(own)))
    assert abs(values.mean() - 0.5) < 0.05
    assert net.p_value(_rows(500, -1.0, 3)).mean() < 0.1
    assert net.p_value(torch.full_like(_rows(1, 1.0, 2), torch.nan)).isnan().all()


def test_loading_and_moving_let_the_memories_be_written_anew() -> None:
    net, other, rows = _net(), _net(expert=5), _rows(20, 0.0, 5)
    with torch.no_grad():
        before = net(rows)
        assert not torch.allclose(other(rows), before)
        other.load_state_dict(net.state_dict())
        torch.testing.assert_close(other(rows), before)
        assert net.double().written().memories[0].mean.isfinite().all()


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"slots": 0}, "slots is 0"),
        ({"noise_var": 0.0}, "noise_var is 0"),
        ({"channels": "b"}, "channels is 'b': one of h, a, both"),
        ({"forget_rate": 1.0}, "forget_rate is 1"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        _net(**options)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_pairs_that_are_no_numbers_are_refused_with_an_expert_or_without(bad: float) -> None:
    rows = _rows(4, 0.0, 0)
    rows[2, 1] = bad
    for net in (_net(), Discriminator(STATE, ACTION)):
        with pytest.raises(InputError, match="NaN or infinity"):
            net.see(rows)


def test_an_optimisers_step_is_noticed_after_a_look_at_the_memories() -> None:
    net, few = _net(features="learned", head="conditional"), _rows(3, 1.0, 4)
    optimiser = torch.optim.SGD(net.parameters(), 0.5)
    net.train()
    net(torch.cat([net.expert.content, _rows(60, -1.0, 5)])).square().mean().backward()
    net.eval()
    with torch.no_grad():
        before = net(few)  # keeps the memories and the scorer
        net.p_value(few)  # and the expert's scores
        optimiser.step()
        ranks, after = net.p_value(few), net(few)
        net.thaw()
        assert torch.equal(after, net(few)) and not torch.allclose(after, before)
        assert torch.equal(ranks, net.p_value(few))


def test_pairs_that_are_refused_are_not_remembered() -> None:
    net = Discriminator(STATE, ACTION, Options(slots=8))
    net.see(good := _rows(50, 1.0, 0))
    net.remember(good)
    scale = net.stats.mean.clone(), net.stats.var.clone()
    bad = _rows(3, 1.0, 1)
    bad[1, 0] = 1e25
    with pytest.raises(InputError, match="too large for float32"):
        net.remember(bad)
    assert torch.equal(net.expert.content, good)
    assert torch.equal(net.stats.mean, scale[0]) and torch.equal(net.stats.var, scale[1])
    net.remember(_rows(3, 1.0, 2))
    assert net.expert.count == 53


def test_when_all_of_the_expert_is_forgotten_the_scale_is_the_policys() -> None:
    net, expert, policy = Discriminator(STATE, ACTION, Options(slots=8)), *_two()
    net.see(policy)
    net.observe(policy)
    before = net.stats.mean.clone(), net.stats.var.clone()
    net.remember(expert)
    net.forget(expert)
    torch.testing.assert_close((net.stats.mean, net.stats.var), before)


def _two() -> tuple[Tensor, Tensor]:
    return _rows(40, 1.0, 0), 3 * _rows(40, -1.0, 1)
