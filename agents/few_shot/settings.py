"""What is compared: the memory, the memory without one of its parts, and its rivals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from agents.few_shot.rivals import Attention, DeepSet, NearestPair, Perceptron, matched, size
from km_rl.rl.few_shot import FewShot
from km_rl.rl.meta import MetaDiscriminator
from km_rl.rl.tasks import Tasks


class Setting(NamedTuple):
    """What is compared: a kind of model, its options, and how its training differs.

    Attributes:
        trained: on episodes of other experts.
        like: the setting that it is but for what changes after training, whose weights it takes.
        observes: what an agent does is shown to it; if not, the reward stays what it was at first.
        learners: early rollouts of learners, which the memory paid, stand beside the policies that
            it is trained with.
    """

    model: type[FewShot]
    options: Mapping[str, Any] = {}
    recipe: Mapping[str, Any] = {}
    trained: bool = True
    like: str | None = None
    learners: bool = False
    observes: bool = True


MEMORY, MENDED = "kanerva", "kanerva-mixup-fixed"
"""The memory, and the same as agents get furthest by it: see docs/few-shot.md."""
LEADERS = (MEMORY, MENDED)
"""Held against every other setting."""
MIXUP: Mapping[str, Any] = {"queries": "mixup"}
BOTH: Mapping[str, Any] = {"keys": "both"}
SETTINGS: Mapping[str, Setting] = {
    MEMORY: Setting(MetaDiscriminator),
    "kanerva-ratio": Setting(MetaDiscriminator, {"head": "ratio"}),
    "kanerva-h": Setting(MetaDiscriminator, {"channels": "h"}),
    "kanerva-a": Setting(MetaDiscriminator, {"channels": "a"}),
    "kanerva-mixup": Setting(MetaDiscriminator, {}, MIXUP),
    "kanerva-fixed": Setting(MetaDiscriminator, like=MEMORY, observes=False),
    MENDED: Setting(MetaDiscriminator, like="kanerva-mixup", observes=False),
    "left-out": Setting(MetaDiscriminator, {}, {"queries": "left_out"}),
    "no-leave-one-out": Setting(MetaDiscriminator, {}, {"queries": "written"}),
    "no-history": Setting(MetaDiscriminator, {"history": False}, like=MEMORY),
    "generative": Setting(
        MetaDiscriminator,
        {"channels": "h", "head": "ratio", "generative": True, "noise_var": 1.0},
    ),
    "with-learners": Setting(MetaDiscriminator, learners=True),
    "attention": Setting(Attention, {"keys": "state"}),
    "attention-pairs": Setting(Attention, BOTH),
    "attention-mixup": Setting(Attention, BOTH, MIXUP),
    "attention-fixed": Setting(Attention, BOTH, like="attention-pairs", observes=False),
    "attention-mixup-fixed": Setting(Attention, BOTH, like="attention-mixup", observes=False),
    "attention-with-learners": Setting(Attention, BOTH, learners=True),
    "deep-set": Setting(DeepSet),
    "mlp-finetuned": Setting(Perceptron),
    "mlp-scratch": Setting(Perceptron, trained=False),
    "knn": Setting(NearestPair, trained=False),
}
"""By name; ``kanerva`` is the memory, ``oracle`` is there wherever densities are known.

The AUC of ``no-history`` is the memory's, for a test shows the policy in one round: what differs
is ``auc_earlier`` and where agents get. ``generative`` starts from the variance of actions as its
noise: from 0.1 most of its training goes into learning that. The reward of a ``fixed`` one knows
a random policy alone.
"""
ORACLE = "oracle"
UNSIZED = (NearestPair,)


def build(setting: Setting, tasks: Tasks) -> FewShot:
    """A model at its start; rivals have as many parameters as the memory, as nearly as can be."""
    sizes = tasks.state, tasks.rest
    if setting.model is MetaDiscriminator or setting.model in UNSIZED:
        return setting.model.build(*sizes, **setting.options)
    parameters = size(MetaDiscriminator.build(*sizes))
    return matched(setting.model, *sizes, parameters, **setting.options)


def made_of(name: str, tasks: Tasks) -> dict[str, Any]:
    """All that a setting is, as it may be written down."""
    setting = SETTINGS[name]
    model = build(setting, tasks)
    told = {"kind": model.kind, **model.spec, "trained": setting.trained}
    told |= {"recipe": dict(setting.recipe)} | ({} if setting.observes else {"observes": False})
    before = MEMORY if setting.learners else setting.like
    return told if before is None else {**told, "after": made_of(before, tasks)}
