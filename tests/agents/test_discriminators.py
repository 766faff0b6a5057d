"""The rivals: each tells two agents apart in imitation's way, and does what its paper says."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from imitation.rewards.reward_nets import RewardNet
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from agents.discriminators import AddToLoss, Bottleneck, Nearest, perceptron

OBS = gym.spaces.Box(-np.inf, np.inf, (2,), dtype=np.float64)
ACT = gym.spaces.Box(-1, 1, (1,), dtype=np.float32)


def _pairs(n: int, centre: float, seed: int) -> Tensor:
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed)) + centre


def _logits(net: RewardNet, pairs: Tensor) -> Tensor:
    return net(pairs[:, :2], pairs[:, 2:], pairs[:, :2], torch.zeros(len(pairs)))


def _train(net: RewardNet, steps: int = 100) -> None:
    net.train()
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    labels = torch.cat([torch.ones(64), torch.zeros(64)])
    for _ in range(steps):
        pairs = torch.cat([_pairs(64, 1.0, 0), _pairs(64, -1.0, 1)])
        loss = binary_cross_entropy_with_logits(_logits(net, pairs), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    net.eval()


@pytest.mark.parametrize("name", ["mlp", "dropout", "vail", "knn"])
def test_each_tells_unseen_pairs_of_two_agents_apart(name: str) -> None:
    torch.manual_seed(0)
    nets = {
        "mlp": lambda: perceptron(OBS, ACT, 0.0),
        "dropout": lambda: perceptron(OBS, ACT, 0.5),
        "vail": lambda: Bottleneck(OBS, ACT),
        "knn": lambda: Nearest(OBS, ACT),
    }
    net = nets[name]()
    _train(net)
    with torch.no_grad():
        expert, policy = (_logits(net, _pairs(200, c, 5)) for c in (1.0, -1.0))
    assert (expert[:, None] > policy).float().mean() > 0.9


def test_what_is_added_to_the_loss_has_the_gradient_of_a_term_of_it() -> None:
    x, y = (torch.tensor(v, requires_grad=True) for v in (2.0, 3.0))
    (AddToLoss.apply(x, 5 * y) ** 2).backward()
    assert (float(x.grad), float(y.grad)) == (4.0, 5.0)  # type: ignore[arg-type]


def test_beta_rises_while_too_much_is_told_and_falls_to_zero_otherwise() -> None:
    torch.manual_seed(0)
    tight, loose = (Bottleneck(OBS, ACT, information=i, step=0.01) for i in (0.0, 1e3))
    _train(tight, 50)
    _train(loose, 50)
    assert float(tight.beta) > 0.1 and float(loose.beta) == 0


def test_the_constraint_makes_the_code_tell_less() -> None:
    told = {}
    for step in (0.0, 0.1):
        torch.manual_seed(0)
        net = Bottleneck(OBS, ACT, information=0.1, step=step)
        net.beta.zero_()
        _train(net, 200)
        with torch.no_grad():
            mean, _ = net.encoder(net.stats(_pairs(200, 1.0, 5))).chunk(2, -1)
        told[step] = float(mean.square().sum(-1).mean())
    assert told[0.1] < 0.5 * told[0.0]


def test_the_distance_is_to_the_nearest_other_pair_in_units_of_the_experts_own() -> None:
    net = Nearest(OBS, ACT).eval()
    expert = torch.tensor([[0.0, 0, 0], [1, 0, 0], [3, 0, 0]])
    net.expert.add(expert)  # nearest others at 1, 1 and 2: the median is 1
    with torch.no_grad():
        net.raw_slope.fill_(float(torch.tensor(1.0).expm1().log()))
        logits = _logits(net, torch.tensor([[0.0, 0, 0], [1, 2, 0], [3, 0, 0.5]]))
    torch.testing.assert_close(logits, torch.tensor([0.0, -1.0, 0.5]), rtol=1e-4, atol=1e-4)
