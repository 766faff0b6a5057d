r"""From what the memories say about a pair to the logit that it is the expert's.

By Bayes' rule, with as many pairs of the one as of the other, the logit of a pair x is

.. math:: \ln p(x \mid \text{expert}) - \ln p(x \mid \text{policy})

so **high means expert**, the sign of imitation's GAIL, whose reward is :math:`-\ln(1 - D)` with
:math:`D = \mathrm{sigmoid}(\text{logit})`.

* `LeastSquares`: the memories hold, at the address of each pair, whose it is: 1 the expert's, -1
  the policy's. Merged, they are one regression of this label, whose best answer is
  :math:`m = (p_E - p_\pi) / (p_E + p_\pi)`, so the logit is :math:`2\,\mathrm{artanh}\,m`. This is
  the least-squares discriminator (Mao et al. 2017) in closed form, with nothing to train.
* `Ratio`: the memories hold the codes of their pairs, and the logit is the log ratio of what they
  predict, with a learned temperature for each channel; ``conditional`` lets a small network on all
  that both say correct it.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from km_rl.nn.mlp import mlp
from km_rl.rl.evidence import BOTH, EXPERT, POLICY, Evidence

SURE = 1 - 1e-4
"""The largest label that is believed: a regression may overshoot."""
BOUND = 10.0
"""The longest logit that is paid for."""


def bounded(logits: Tensor, bound: float = BOUND) -> Tensor:
    """Logits that are no longer than ``bound``, in the same order."""
    return bound * (logits / bound).tanh()


def softplus_inverse(x: Tensor) -> Tensor:
    """ln(e^x - 1), without overflow."""
    return x + (-(-x).expm1()).log()


class LeastSquares(nn.Module):
    """The logit of the label that both memories, merged, predict; the mean over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, evidence: list[Evidence]) -> Tensor:
        """Evidence of three memories, the third both merged -> logits (N,)."""
        label = torch.stack([e.read[BOTH][:, 0] for e in evidence]).mean(0)
        return 2 * label.clamp(-SURE, SURE).atanh() + self.bias


class Ratio(nn.Module):
    """The log-likelihood ratio of codes, with a temperature and perhaps a correction.

    Args:
        codes: the width of each channel's codes.
        hidden: width of the correcting perceptron; None for no correction.
        temperature: where each channel's starts; with C the logit is the log ratio itself.
    """

    def __init__(self, codes: list[int], hidden: int | None, temperature: float = 1.0) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))
        start = torch.full((len(codes),), float(temperature))
        self.raw_temperature = nn.Parameter(softplus_inverse(start))
        self.correction: nn.Sequential | None = None
        if hidden is not None:
            self.correction = mlp(sum(2 * (2 * C + 4) for C in codes), hidden, 1)
            nn.init.zeros_(cast(nn.Linear, self.correction[2]).weight)

    @property
    def temperature(self) -> Tensor:
        """What a nat per entry of the code counts in the logit, for each channel."""
        return softplus(self.raw_temperature)

    def forward(self, evidence: list[Evidence]) -> Tensor:
        """Evidence of two memories -> logits (N,)."""
        ratios = torch.stack([_mean_log_ratio(e) for e in evidence], -1)
        logit = ratios @ self.temperature + self.bias
        if self.correction is not None:
            told = torch.cat([_statistics(e) for e in evidence], -1)
            logit = logit + self.correction(told)[:, 0]
        return logit


def _mean_log_ratio(evidence: Evidence) -> Tensor:
    """ln p(z|w, M_E) - ln p(z|w, M_pi), in nats per entry of the code: (N,)."""
    log_prob = evidence.log_prob / evidence.residual.shape[-1]
    return log_prob[EXPERT] - log_prob[POLICY]


def _statistics(evidence: Evidence) -> Tensor:
    """All that both memories say about each pair, on scales of about 1: (N, 2 (2 C + 4))."""
    C = evidence.residual.shape[-1]
    scalars = torch.stack(
        [evidence.log_var, evidence.distance.log1p(), evidence.log_prob / C, evidence.gain / C], -1
    )
    told = torch.cat([evidence.read, evidence.residual, scalars], -1)
    return told.movedim(0, 1).flatten(1)
