"""How discriminators are examined on experts that were held out.

AUC is how often a further pair of the expert looks more like the expert than a pair of the even
mixture of all other policies: Mann and Whitney's U over the number of pairs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from envs.tasks import Family, HeldOut
from km_rl.results.spread import probability_of_improvement
from km_rl.rl.episodes import Pairs
from km_rl.rl.few_shot import FewShot
from km_rl.rl.tasks import Episode, Tasks, halves, rows_of

SEED = 20_250_701
"""Of the pairs that a discriminator is tested with and of what it draws then: the same for all."""
TIMED = 20
"""Repeats of which the fastest is the time to adapt."""


def examination(family: Family, most: int, policy_pairs: int, queries: int) -> Episode:
    """The same for every discriminator; of the expert, the first k pairs are the k to be told.

    Raises:
        InputError: an expert has fewer pairs in half of its episodes than are asked for.
    """
    tasks = Tasks([case.task for case in family.held_out])
    every = torch.arange(len(tasks))
    generator = torch.Generator().manual_seed(SEED)
    mixed = torch.ones(len(tasks), dtype=torch.bool)
    return tasks.draw(every, most, policy_pairs, queries, mixed, generator)


@contextmanager
def own_stream() -> Iterator[None]:
    """Random numbers from `SEED` on, so that what draws in a test does so alike whatever was drawn
    before, and what is drawn afterwards is as it would have been."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield


@own_stream()
@torch.no_grad()
def aucs(model: FewShot, exam: Episode, pairs: int) -> list[float]:
    """The AUC on each held-out task, of a model that is told ``pairs`` pairs of its expert."""
    rows = torch.cat([exam.expert_queries, exam.policy_queries], 1)
    logits = model.logits_expert_is_high(exam.expert[:, :pairs], exam.policy, rows)
    return _aucs(logits.numpy(), exam)


@torch.no_grad()
def earlier_aucs(
    model: FewShot, cases: list[HeldOut], exam: Episode, pairs: int
) -> list[float] | None:
    """The AUC against a policy's earlier rounds, of a model that saw them one by one.

    Each of a task's policies, from the random one to the one nearest to the expert, is a round. Of
    one half of its episodes a model observes as many pairs as of any round; the pairs of the other
    half are told from the expert, but for those of the last round. A model that only knows the
    last round may take the others for the expert. None where a task has one policy.
    """
    found: list[float] = []
    for case, expert, queries in zip(cases, exam.expert, exam.expert_queries, strict=True):
        rounds = list(case.task.policies.values())
        if len(rounds) < 2:
            return None
        earlier = torch.cat([rows_of(policy)[halves(policy) == 1] for policy in rounds[:-1]])
        model.clear()
        model.remember(_named(expert[:pairs], model.state))
        with own_stream():
            for policy in rounds:
                model.observe(policy.take(halves(policy) == 0))
            logits = model(torch.cat([queries, earlier])).numpy()
        n = len(queries)
        found.append(probability_of_improvement(logits[:n], logits[n:]))
    model.clear()
    return found


def learner_examination(exam: Episode, learners: Sequence[Pairs]) -> Episode:
    """The same of the first held-out experts, with pairs of a learner of each as the policy's."""
    n, m, q = len(learners), exam.policy.shape[1], exam.policy_queries.shape[1]
    told, asked = (
        torch.stack([rows_of(found)[halves(found) == half][:most] for found in learners])
        for half, most in ((0, m), (1, q))
    )
    return Episode(exam.expert[:n], told, exam.expert_queries[:n], asked)


def _named(rows: torch.Tensor, state: int) -> dict[str, torch.Tensor]:
    return {"obs": rows[:, :state], "acts": rows[:, state:]}


def oracle_aucs(cases: list[HeldOut], exam: Episode) -> list[float] | None:
    """That of the true densities' ratio; None where they are not known."""
    told = []
    state = cases[0].task.expert.state.shape[1]
    rows = torch.cat([exam.expert_queries, exam.policy_queries], 1).numpy()
    for case, x in zip(cases, rows, strict=True):
        if case.log_ratio is None:
            return None
        told.append(case.log_ratio(x[:, :state], x[:, state:]))
    return _aucs(np.stack(told), exam)


def _aucs(logits: np.ndarray, exam: Episode) -> list[float]:
    n = exam.expert_queries.shape[1]
    return [probability_of_improvement(x[:n], x[n:]) for x in logits]


@own_stream()
def adapt_ms(model: FewShot, exam: Episode, pairs: int) -> float:
    """Milliseconds to take in ``pairs`` pairs of an expert, ready to be asked: the fastest."""
    state = model.state
    told = _named(exam.expert[0, :pairs], state)
    query, times = exam.policy_queries[0, :1], []
    for _ in range(TIMED):
        model.clear()
        model.observe(_named(exam.policy[0], state))
        started = time.perf_counter()
        model.remember(told)
        model(query)
        times.append(time.perf_counter() - started)
    model.clear()
    return 1000 * min(times)
