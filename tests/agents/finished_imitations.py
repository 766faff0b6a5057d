"""Folders of imitations that were never run."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agents.config import GailConfig

FACTS = {
    "pairs": 50,
    "expert_return": 1000.0,
    "expert_return_std": 20.0,
    "random_return": -200.0,
    "random_return_std": 30.0,
}


def finished(folder: Path, *returns: float, facts: dict[str, Any] = FACTS, **given: Any) -> Path:
    """A run that was measured at steps 0, 100, 200, ... with these returns."""
    folder.mkdir(parents=True)
    config = asdict(GailConfig(env="Pendulum-v1", **given))
    (folder / "config.json").write_text(json.dumps({**config, "about": facts}, default=str))
    lines = [_measured(100 * i, value) for i, value in enumerate(returns)]
    if given.get("algorithm") != "bc":
        memory = given.get("discriminator", "kanerva") == "kanerva"
        lines += [_round(100 * i, memory) for i in range(1, len(returns))]
    text = "".join(json.dumps(line) + "\n" for line in sorted(lines, key=lambda x: x["step"]))
    (folder / "metrics.jsonl").write_text(text)
    return folder


def _measured(step: int, value: float) -> dict[str, float]:
    return {"step": step, "seconds": step / 10, "return/mean": value, "return/std": 5.0}


def _round(step: int, memory: bool) -> dict[str, float]:
    names = ["logit/expert", "logit/policy", "discriminator/expert_right"]
    names += ["discriminator/policy_right"]
    if memory:
        names += [f"km/{x}_slots" for x in ("expert", "policy")] + ["km/memory_drift"]
        names += ["km/surprise", "km/information_gain", "km/expert_gain"]
    values = {name: 1.0 + i / step for i, name in enumerate(names)}
    others = {"seconds/round": 10.0, "seconds/discriminator": 2.5, "rollout/return": 7.0 * step}
    return {"step": step, "seconds": step / 10, **values, **others}
