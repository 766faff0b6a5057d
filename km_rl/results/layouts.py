"""How the tables of the README and of docs/ are laid out: which metrics, under which heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from km_rl.evaluate.runs import MODELS
from km_rl.evaluate.table import FULL


class Pivot(NamedTuple):
    """A table with a row for each setting: its columns with their metrics, and decimals.

    Attributes:
        notes: what is said of a column under the table.
    """

    columns: Mapping[str, str]
    decimals: int
    notes: Mapping[str, str] = {}


FEW_SHOT = Pivot(
    {
        **{f"AUC, {k}": f"auc@{k}" for k in (8, 32, 128, 512)},
        "earlier rounds, 16": "auc_earlier@16",
        "learners, 16": "auc_learner@16",
        "ms to adapt": "adapt_ms@512",
        "return": "return",
        "IQM": "return_iqm",
        "lead": "return_kanerva_ahead",
        "P(improvement)": "probability_kanerva_better",
        "lead, both": "return_kanerva-mixup-fixed_ahead",
        "P, both": "probability_kanerva-mixup-fixed_better",
    },
    3,
    {
        "AUC, 8": "AUC, 8: told 8 pairs.",
        "ms to adapt": "To adapt: to be told 512 pairs, on a core.",
        "return": "Return: 0 is a random policy's, 1 the expert's; of the agents of all tasks.",
        "IQM": "IQM: its interquartile mean.",
        "lead": "Lead: by how much the agents of kanerva end above those of the row, seed by seed "
        "and task by task.",
        "P(improvement)": "P(improvement): how often an agent of kanerva ends above one of the "
        "row on the same task.",
        "lead, both": "Both: the same two of kanerva-mixup-fixed.",
    },
)
PIVOTS = {
    "retrieval": Pivot(
        {
            "random": "error_percent_random",
            "strokes": "error_percent_strokes",
            "Omniglot": "error_percent_omniglot",
            "Omniglot, block": "error_percent_omniglot_block",
            "Omniglot, few": "error_percent_omniglot_early",
            "bits per number": "bits_per_number",
        },
        2,
    ),
    "retrieval-cost": Pivot(
        {
            f"{verb}, {n:,}": f"{verb}_us@{n}"
            for verb in ("write", "read")
            for n in (100, 1000, 10_000)
        },
        0,
    ),
    "retrieval-facts": Pivot(
        {
            "patterns per unit": "patterns_per_unit",
            "critical distance": "critical_distance",
            "expected": "critical_distance_expected",
            "by Kanerva": "critical_distance_by_kanerva",
            "doublings per unit": "doublings_per_unit",
            "limit": "doublings_per_unit_limit",
        },
        3,
    ),
    "memory-speed": Pivot(
        {
            "floor": "floor_us_per_item",
            "forward": "forward_us_per_item",
            "over floor": "ratio_to_floor",
            "and backward": "forward_backward_us_per_item",
            "item by item": "sequential_us_per_item",
        },
        2,
    ),
    "step-cost": Pivot(
        {
            "VAE": "vae_ms",
            "KM": "machine_ms",
            "KM over VAE": "ratio_to_vae",
            "DKM": "dkm_ms",
            "DKM over KM": "dkm_ratio_to_machine",
            "LRUA": "lrua_ms",
            "LRUA over KM": "lrua_ratio_to_machine",
            "DNC": "dnc_ms",
            "DNC over KM": "dnc_ratio_to_machine",
        },
        2,
    ),
    "discriminator-cost": Pivot(
        {
            "update": "update_us_per_pair",
            "net's": "mlp_update_us_per_pair",
            "over net's": "update_ratio_to_mlp",
            "reward call": "reward_call_us_per_pair",
            "net's call": "mlp_reward_call_us_per_pair",
            "memory's share": "memory_share_of_reward_call",
            "read, ms": "memory_read_ms_of_8_rows",
            "remember, ms": "remember_1000_pairs_ms",
            "forget, ms": "forget_1000_pairs_ms",
        },
        2,
    ),
    "few-shot-teachers": Pivot(
        {"from the first": "from_first", "from the second": "from_second"}, 3
    ),
    "few-shot-between": Pivot(
        {
            "reward": "reward_own",
            "0 to 0.1 m/s off": "share@0.1",
            "0.1 to 0.25": "share@0.25",
            "0.25 to 0.5": "share@0.5",
            "0.5 to 0.75": "share@0.75",
        },
        3,
    ),
    "gail-novelty": Pivot({"AUC": "auc"}, 2),
}
"""By experiment; settings that have none of the columns are left out."""


def pivot_of(experiment: str) -> Pivot | None:
    """The layout of an experiment's table, if it is none of those for runs."""
    comparison = FEW_SHOT if experiment.startswith("few-shot-") else None
    return PIVOTS.get(experiment, comparison)


BY_CLASSES = {
    "KM": ("km", FULL),
    "VAE": ("vae", FULL),
    "KM that never writes": ("km, unwritten=True", FULL),
    "KM under VAE": ("km-under-vae", FULL),
    "KL(M)/T of KM": ("km", "kl_memory_nats"),
}
"""The columns of full bounds by classes in an episode: whose they are, first those of the models
that were trained, and their metrics."""
WEIGHTS = {
    "1": "km",
    "0.1": "km, memory_kl_weight=0.1",
    "0": "km, memory_kl_weight=0.0, sample_memory=False",
}
BY_WEIGHT = {
    f"{told} at {weight}": (setting, metric)
    for told, metric in (
        ("stored", "kl_memory_nats"),
        ("bound", "bound_nats"),
        ("counted", FULL),
    )
    for weight, setting in WEIGHTS.items()
}
"""The same by the weight of KL(M) that machines were trained with."""
RETURNS = {
    "return": "return",
    "IQM": "return_iqm",
    "last tenth": "late_return",
    "stochastic": "rollout_return",
    "normalised": "share_of_expert",
    "P(improvement)": "probability_kanerva_better",
}
"""The columns of an imitation and their metrics."""
NOTES = {
    "IQM": "IQM: the interquartile mean of four seeds or more [bootstrap; of five it holds the "
    "truth some 89% of the time].",
    "last tenth": "Last tenth: mean over that of the steps.",
    "stochastic": "Stochastic: actions drawn from the policy, over training's last 100 episodes; "
    "elsewhere an action is the policy's mean.",
    "normalised": "Normalised: 0% is a random policy, 100% the demonstrations that were shown.",
    "P(improvement)": "P(improvement): how often a run of kanerva ends above one of the row.",
    "minutes": "Minutes: of the fastest run, on a core.",
}
"""What is said of a column under the table."""
LABELS = {kind: kind.upper() for kind in MODELS} | {
    f"km-under-{kind}": f"KM under {kind.upper()}" for kind in MODELS if kind != "km"
}
"""Settings that have a name, in the order of the table; others follow."""
