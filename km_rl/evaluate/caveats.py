"""What a reader of a report has to know before comparing its bounds with others."""

from __future__ import annotations

import math
from collections.abc import Sequence

from km_rl.evaluate import page
from km_rl.evaluate.page import Row
from km_rl.evaluate.runs import Run
from km_rl.evaluate.table import FULL, PUBLISHED, Score


def what_is_free(machine: Score, T: int) -> str:
    """What its bound leaves out, in nats, for a model with a memory."""
    nats = machine.nats
    free = (
        "The paper's bound is one on ln p(X|M), and M was written from the very images that are "
        "then scored. "
    )
    if "kl_memory_nats" not in nats:
        return free + (
            "This memory is a function of them, without a posterior: what it has come to hold has "
            "no KL, is not paid for and cannot be, and no bound on ln p(X) follows."
        )
    return free + (
        f"What the memory has come to hold, KL(q(M|X) || p(M)), is not paid for: "
        f"here it is {nats['kl_memory_nats']:,.1f} nats per image (KL(M)/T). To bound ln p(X), as "
        f"a model without memory does, it has to be added, and M has to be drawn from q(M|X), not "
        f"read at its mean: drawing it moves the bound from {nats['bound_nats']:,.1f} to "
        f"{nats['bound_sampled_memory_nats']:,.1f}, and KL(M)/T makes that "
        f"{nats[FULL]:,.1f}. Where pixels are black or white even a perfect memory of {T} "
        f"different images would pay ln T = {math.log(T):.2f} nats, to say which is meant."
    )


def published(runs: Sequence[Run], scores: Sequence[Score]) -> list[str]:
    """Bounds from the literature with this report's among them, best first."""
    rows = [
        (one.bound, Row([one.model, f"{one.bound:g}", one.memory, one.paper, one.known]))
        for one in PUBLISHED
    ]
    for run, one in zip(runs, scores, strict=True):
        nats = one.nats["bound_nats"]
        memory = "no memory" if run.episodic is None else "not counted"
        rows.append(
            (nats, Row([one.label, f"{nats:.2f}", memory, "this report", "measured"], True))
        )
    head = ["", "nats per image", "KL(M)", "paper", "how we know"]
    caution = (
        " This report's test characters were never seen in training, which is harder."
        if runs[0].conditions.split == "characters"
        else ""
    )
    return [
        page.element("h2", "Against the published figures"),
        page.element(
            "p",
            "Look at what is counted before comparing: bounds on binarised Omniglot, each "
            "conditional on a memory written from the scored images where there is one. "
            "The papers' own figures have not been run again; their split is over images as far "
            "as we know, and whether they binarised statically or dynamically we do not know. "
            "This report's conditions are listed above." + caution,
            "soft",
        ),
        page.table(
            head, [row for _, row in sorted(rows, key=lambda pair: pair[0])], words=(2, 3, 4)
        ),
    ]
