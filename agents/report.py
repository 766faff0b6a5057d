"""What imitation runs have come to: one run's report.html, or a comparison of several.

``report([folder])`` writes ``report.html`` into the run's folder; ``report(folders)`` writes
``comparison.html`` into the first one's. Both need nothing else: their figures are inside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents import figures
from agents.runs import Curve, Imitation, Summary, read_runs, returns_table, settings
from km_rl.evaluate import page
from km_rl.evaluate.figures import png
from km_rl.evaluate.page import Row
from km_rl.evaluate.report import duration
from km_rl.files import written_beside
from km_rl.results.spread import Estimate

COLUMNS = (
    "return",
    "expert",
    "random policy",
    "share of the expert",
    "steps",
    "training time",
    "discriminator's share",
)
SUMMARY_COLUMNS = ("runs", "mean", "IQM", "beats the first")


def report(folders: Sequence[str | Path]) -> Path:
    """Write the page of one run, or of several.

    Raises:
        InputError: runs that cannot be read or compared, or a folder that cannot be written.
    """
    runs = read_runs(folders)
    single = len(runs) == 1
    title = f"{runs[0].method if single else 'Imitation'} on {runs[0].config['env']}"
    sections = [_returns(runs), *(_inside(runs[0]) if single else [])]
    parts = [page.element("h1", title), *_results(runs), *sections, _conditions(runs)]
    path = runs[0].folder / ("report.html" if single else "comparison.html")
    with written_beside(path) as beside:
        beside.write_text(page.page(title, parts))
    return path


def text_table(folders: Sequence[str | Path]) -> str:
    """For the terminal: what the run has come to, or the settings of several runs."""
    runs = read_runs(folders)
    if len(runs) == 1:
        named = zip(COLUMNS, _cells(runs[0]), strict=True)
        return "\n".join([str(runs[0].folder), *(f"  {name:22}{cell}" for name, cell in named)])
    summaries = returns_table(folders)
    rows = [("", *SUMMARY_COLUMNS), *(_summary(one).cells for one in summaries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    return "\n".join(lines)


def _cells(run: Imitation) -> list[str]:
    """The run under `COLUMNS`."""
    share, own = run.share_of_expert, run.share_of_discriminator
    return [
        f"{run.last('return/mean'):,.1f} +- {run.last('return/std'):,.1f}",
        _return(run.fact("expert_return"), run.fact("expert_return_std")),
        _return(run.fact("random_return"), run.fact("random_return_std")),
        "-" if share is None else f"{share:.1%}",
        f"{run.steps:,} of {run.config['steps']:,}",
        duration(run.seconds),
        "-" if own is None else f"{own:.1%}",
    ]


def _return(mean: float | None, std: float | None) -> str:
    return "-" if mean is None or std is None else f"{mean:,.1f} +- {std:,.1f}"


def _results(runs: Sequence[Imitation]) -> list[str]:
    parts = [
        page.element("h2", "Results"),
        page.element(
            "p",
            "Look at the return first: the environment's own, which no imitator is shown, as mean "
            "and standard deviation across episodes. The share is (learner - random) / (expert - "
            "random). The discriminator's share of the training time is its updates and the calls "
            "for a reward.",
            "soft",
        ),
        page.table(["", *COLUMNS], [Row([run.folder.name, *_cells(run)]) for run in runs]),
    ]
    if len(runs) > 1:
        summaries = returns_table([run.folder for run in runs])
        parts += [
            page.element("h2", "Settings"),
            page.element(
                "p",
                "Last return of each run, over seeds: the mean, with its 95% interval by "
                "Student's t; from four runs on the interquartile mean (IQM), with one by the "
                "bootstrap from five on; and how often a run beats one of the first setting.",
                "soft",
            ),
            page.table(["", *SUMMARY_COLUMNS], [_summary(one) for one in summaries]),
        ]
    return parts


def _summary(summary: Summary) -> Row:
    better = "-" if summary.better is None else f"{summary.better:.2f}"
    estimates = [e and _estimate(e) for e in (summary.spread.mean, summary.spread.iqm)]
    return Row([summary.setting, str(summary.spread.n), *(e or "-" for e in estimates), better])


def _estimate(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:,.1f}"
    return f"{estimate.value:,.1f} [{estimate.low:,.1f}, {estimate.high:,.1f}]"


def _returns(runs: Sequence[Imitation]) -> str:
    """The true return against steps; of bc, which takes none, only where it ended."""
    single, marks = len(runs) == 1, ("expert", "random")
    drawn = {
        label: [_return_curve(run, whole=single) for run in group]
        for label, group in settings(runs).items()
    }
    values = [runs[0].fact(f"{name}_return") for name in marks]
    x_label = "pairs shown" if single and runs[0].method == "bc" else "environment steps"
    figure = figures.returns(drawn, dict(zip(figures.MARKS, values, strict=True)), x_label)
    return page.figure(
        "Return against steps",
        f"Look at how near the line comes to the expert's. Each point is the mean over "
        f"{runs[0].config.get('evaluate_episodes')} episodes, always from the same starts, of the "
        f"policy acting deterministically; a band is the 95% interval over three or more seeds.",
        png(figure),
    )


def _return_curve(run: Imitation, whole: bool) -> Curve:
    curve = run.curve("return/mean")
    return curve if whole or run.method != "bc" else curve.end


def _inside(run: Imitation) -> list[str]:
    """What the discriminator does; a part that was not logged is left out."""
    drawn = []
    for title, look_for, shown in INSIDE:
        curves = {
            panel: {label: curve for label, name in names.items() if (curve := run.curve(name))[0]}
            for panel, names in shown.items()
        }
        if all(curves.values()):
            drawn.append(page.figure(title, look_for, png(figures.panels(curves))))
    return drawn


INSIDE: Sequence[tuple[str, str, Mapping[str, Mapping[str, str]]]] = (
    (
        "Logit margins",
        "Look at the gap: where it closes, the discriminator no longer tells the policy from the "
        "expert, because the one is good or the other is not learned. A high logit means expert.",
        {
            "logit": {"expert": "logit/expert", "policy": "logit/policy"},
            "told rightly": {
                "expert": "discriminator/expert_right",
                "policy": "discriminator/policy_right",
            },
        },
    ),
    (
        "Memory health",
        "Look for slots in use that do not fall to a few, and for a drift that settles: the share "
        "by which a round changes what the policy's memory holds.",
        {
            "slots in use": {"expert": "km/expert_slots", "policy": "km/policy_slots"},
            "drift": {"policy": "km/memory_drift"},
        },
    ),
    (
        "Surprise",
        "Look for a fall: what the policy does is then known to its own memory. Of new pairs, in "
        "nats, before they are written; what the expert's memory would gain is high where the "
        "expert never was.",
        {
            "surprise": {"policy": "km/surprise"},
            "information gain, by memory": {
                "expert": "km/expert_gain",
                "policy": "km/information_gain",
            },
        },
    ),
)
"""Title, what to look for, and panels of logged names."""


def _conditions(runs: Sequence[Imitation]) -> str:
    """What the first run was given; how the others differ is in their labels."""
    facts = [(name.replace("_", " "), _fact(value)) for name, value in runs[0].given.items()]
    return page.element("h2", "Conditions") + page.facts(facts)


def _fact(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {_fact(x)}" for name, x in value.items())
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
