"""What a memory saves and what it costs, once what it holds is counted: rate against distortion.

An experiment ``<data>-<n>classes-full-bound`` has machines that were trained with other weights of
KL(M), on episodes of n classes, and a VAE; see `full_bound`. With M drawn from q(M|X) the full
bound on -ln p(X) is a sum, and each model is a point:

    distortion  -ln p(x|z),  rate  KL(y) + KL(z) + KL(M)/T,   in nats per image

On the grey line the sum is the VAE's: what lies under it has a better full bound, wherever it
stands. The bar of a point is the 95% interval of its sum over seeds; it is drawn along the rate,
where most of the sum's spread is. Whether machine and VAE differ is not read off it: the gap that
a panel tells is paired by seed, and its interval stands in the results as ``km-under-vae``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import cycle, groupby
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from km_rl.evaluate.figures import COLOURS, OTHER_COLOURS, STYLE, WIDTH, png
from km_rl.evaluate.table import DISTORTION, FULL
from km_rl.files import written_beside
from km_rl.results.full_bound import COUNTED, NAME, UNWRITTEN, spoken
from km_rl.results.summary import Row

WEIGHT = re.compile(r"memory_kl_weight=([^,]+)")
"""In a setting; one without it is of the machine with the weight `COUNTED`."""
GAP = "km-under-vae"
"""The setting under which the gap between the machine and the VAE is recorded."""
LABELS = {
    "km": ("KM, by the weight of KL(M)", "o-"),
    UNWRITTEN: ("KM that never writes", "D"),
}
"""What a kind is called and how it is drawn; others by their name, as squares."""
BELOW: dict[str, Any] = {"xytext": (-4, -4), "ha": "right", "va": "top"}
ABOVE: dict[str, Any] = {"xytext": (4, 4), "ha": "left", "va": "bottom"}
"""Where a weight stands, in turn: clear of its neighbours' and of the line that joins them."""
MOST_COLUMNS = 3
LINE = 100
"""Points of the grey line."""


class Place(NamedTuple):
    """A model on the plane, means over seeds in nats per image.

    Attributes:
        kind: km, `UNWRITTEN` or a rival.
        weight: of KL(M), in the training of a machine that writes; None for others.
        half: of the full bound's 95% interval; 0 where there is one seed.
        lead: of a machine with weight `COUNTED`, how far its full bound is under the VAE's.
    """

    kind: str
    weight: float | None
    rate: float
    distortion: float
    half: float = 0.0
    lead: float | None = None

    @property
    def full(self) -> float:
        """The full bound."""
        return self.rate + self.distortion


def places(rows: Sequence[Row], experiment: str) -> list[Place]:
    """The models of one experiment, those of each kind together by rising rate."""
    of = {row[1:3]: row for row in rows if row.experiment == experiment}
    found = [
        _place(setting, of[setting, FULL], row.value, of.get((GAP, FULL)))
        for (setting, metric), row in of.items()
        if metric == DISTORTION and (setting, FULL) in of
    ]
    return sorted(found, key=lambda place: (place.kind, place.rate))


def _place(setting: str, full: Row, distortion: float, gap: Row | None) -> Place:
    kind = UNWRITTEN if f"{UNWRITTEN}=True" in setting else setting.partition(",")[0]
    told = WEIGHT.search(setting)
    weight = None if kind != "km" else float(told[1]) if told else COUNTED
    half = 0.0 if full.low is None or full.high is None else (full.high - full.low) / 2
    lead = gap.value if gap and weight == COUNTED else None
    return Place(kind, weight, full.value - distortion, distortion, half, lead)


def write_rate_distortion(folder: str | Path, rows: Sequence[Row]) -> list[Path]:
    """``folder``/<data>-rate-distortion.png for every data set that has such experiments."""
    found: dict[str, dict[str, list[Place]]] = {}
    for experiment in dict.fromkeys(row.experiment for row in rows):
        if named := NAME.fullmatch(experiment):
            panels = found.setdefault(named["data"], {})
            panels[spoken(named["classes"])] = places(rows, experiment)
    written = []
    for data, panels in found.items():
        path = Path(folder) / f"{data}-rate-distortion.png"
        with written_beside(path) as beside:
            beside.write_bytes(png(figure(panels)))
        written.append(path)
    return written


def _size(title: str) -> float:
    """The number of classes in a title, by which panels are in order."""
    number = title.partition(" ")[0]
    return math.inf if number == "all" else int(number)


def figure(panels: Mapping[str, Sequence[Place]]) -> Figure:
    """A panel for each number of classes, all to one scale: machines by weight, and the VAE."""
    columns = min(MOST_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    with rc_context(STYLE):
        made = Figure(figsize=(WIDTH, 0.4 + 2.5 * rows), layout="constrained")
        first = None
        for number, title in enumerate(sorted(panels, key=_size), start=1):
            axes = made.add_subplot(rows, columns, number, sharex=first, sharey=first)
            axes.set(title=title, xlabel="KL(y) + KL(z) + KL(M)/T", xscale="log")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))
            axes.margins(0.14)
            _panel(axes, panels[title])
            first = first or axes
        made.supylabel("-ln p(x|z), nats per image", size=STYLE["font.size"])
        shown = [axes.get_legend_handles_labels() for axes in made.axes]
        of = {name: one for both in shown for one, name in zip(*both, strict=True)}
        named = sorted(of)
        handles = [of[name] for name in named]
        made.legend(handles, named, loc="outside upper right", ncols=max(1, len(named)))
    return made


def _panel(axes: Axes, found: Sequence[Place]) -> None:
    for kind, group in groupby(found, key=lambda place: place.kind):
        _points(axes, kind, list(group))
    of = {(place.kind, place.weight): place for place in found}
    if vae := of.get(("vae", None)):
        axes.plot(*_same(vae, found), color=OTHER_COLOURS[1], lw=0.8, label="the VAE's full bound")
        km = of.get(("km", COUNTED))
        if km and km.lead is not None:
            told = f"weight {COUNTED:g}: {_apart(km.lead)} the VAE"
            axes.text(0.98, 0.98, told, transform=axes.transAxes, ha="right", va="top", size=7)


def _points(axes: Axes, kind: str, found: Sequence[Place]) -> None:
    """The places of one kind, the machine's joined and with their weights."""
    rates, distortions = [p.rate for p in found], [p.distortion for p in found]
    label, style = LABELS.get(kind, (kind.upper(), "s"))
    colour = COLOURS["KM" if kind == UNWRITTEN else kind.upper()]
    look: dict[str, Any] = {"fmt": style, "ms": 4, "lw": 1.2, "color": colour}
    axes.errorbar(rates, distortions, xerr=[p.half for p in found], label=label, **look)
    for place, side in zip(found, cycle((BELOW, ABOVE)), strict=False):
        if place.weight is not None:
            told, where = f"{place.weight:g}", (place.rate, place.distortion)
            axes.annotate(told, where, textcoords="offset points", size=7, **side)


def _apart(nats: float) -> str:
    return f"{abs(nats):.1f} nats {'under' if nats >= 0 else 'over'}"


def _same(vae: Place, found: Sequence[Place]) -> tuple[list[float], list[float]]:
    """Where the sum is the VAE's, as wide and as low as the places are."""
    left = min(place.rate for place in found) / 1.5
    right = max(vae.rate * 1.5, vae.full - min(place.distortion for place in found))
    rates = [left * (right / left) ** (n / LINE) for n in range(LINE + 1)]
    return rates, [vae.full - rate for rate in rates]
