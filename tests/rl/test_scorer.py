"""The fast path of rollouts against its readable twin."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch

from km_rl.rl.discriminator import FEW, Discriminator
from km_rl.rl.heads import Ratio
from km_rl.rl.options import Options

VARIANTS = [
    dict(zip(("features", "head", "channels"), values, strict=True))
    for values in product(
        ("learned", "random"),
        ("least_squares", "ratio", "conditional"),
        ("h", "a", "both"),
    )
]


def _net(expert: int, policy: int, **options: Any) -> Discriminator:
    torch.manual_seed(0)
    net = Discriminator(3, 2, Options(slots=16, hidden=16, **options))
    net.stats.update(torch.randn(100, 5) + 1)
    net.expert.add(torch.randn(expert, 5))
    net.policy.add(torch.randn(policy, 5) + 1)
    torch.nn.init.normal_(net.head.bias)
    if isinstance(net.head, Ratio) and net.head.correction is not None:
        torch.nn.init.normal_(net.head.correction[2].weight, std=0.1)  # type: ignore[arg-type]
    return net.eval()


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("expert, policy", [(40, 60), (0, 0)])
@torch.no_grad()
def test_both_paths_agree_on_new_pairs_and_on_held_ones(
    options: dict[str, Any], expert: int, policy: int
) -> None:
    net = _net(expert, policy, **options)
    rows = torch.cat([torch.randn(5, 5), net.expert.content[:4], net.policy.content[-3:]])
    torch.testing.assert_close(net(rows), net.logits_expert_is_high(rows), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_fast_path_follows_what_is_remembered() -> None:
    net, rows = _net(40, 60), torch.randn(FEW, 5)
    before = net(rows)
    net.expert.add(torch.randn(40, 5) - 3)
    net.thaw()
    assert not torch.allclose(net(rows), before)
    torch.testing.assert_close(net(rows), net.logits_expert_is_high(rows), rtol=1e-4, atol=1e-4)
