"""What a memory saves and what it costs, once what it holds is counted: rate against distortion.

An experiment ``<data>-<n>classes-full-bound`` has machines that were trained with other weights of
KL(M), on episodes of n classes, and a VAE. With M drawn from q(M|X) the full bound on -ln p(X) is
a sum, and each of them is a point:

    distortion  -ln p(x|z),  rate  KL(y) + KL(z) + KL(M)/T,   in nats per image
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from km_rl.errors import written_beside
from km_rl.evaluate.figures import COLOURS, OTHER_COLOURS, STYLE, WIDTH, png
from km_rl.evaluate.results import Row
from km_rl.evaluate.table import DISTORTION

NAME = re.compile(r"(?P<data>.+?)-(?P<classes>\d+classes|1class|all)-full-bound")
"""Of an experiment."""
VAE = "vae"
FULL = "bound_sampled_memory_with_kl_memory_nats"
WEIGHT = "memory_kl_weight="


class Place(NamedTuple):
    """A model on the plane, means over seeds.

    Attributes:
        label: its kind; of a machine the weight of KL(M), where it is not the first's.
    """

    label: str
    rate: float
    distortion: float


def places(rows: Sequence[Row], experiment: str) -> list[Place]:
    """The models of one experiment, by rising rate."""
    of = {row[1:3]: row.value for row in rows if row.experiment == experiment}
    found = [
        Place(setting.rpartition(WEIGHT)[2], of[setting, FULL] - value, value)
        for (setting, metric), value in of.items()
        if metric == DISTORTION and (setting, FULL) in of
    ]
    return sorted(found, key=lambda place: place.rate)


def write_rate_distortion(folder: str | Path, rows: Sequence[Row]) -> list[Path]:
    """``folder``/<data>-rate-distortion.png for every data set that has such experiments."""
    found: dict[str, dict[str, list[Place]]] = {}
    for experiment in dict.fromkeys(row.experiment for row in rows):
        if named := NAME.fullmatch(experiment):
            panel = found.setdefault(named["data"], {})
            panel[named["classes"].replace("class", " class")] = places(rows, experiment)
    written = []
    for data, panels in found.items():
        path = Path(folder) / f"{data}-rate-distortion.png"
        with written_beside(path) as beside:
            beside.write_bytes(png(figure(panels)))
        written.append(path)
    return written


def figure(panels: Mapping[str, Sequence[Place]]) -> Figure:
    """A panel for each number of classes: a curve of machines, and the VAE with its full bound.

    Along the grey line through the VAE the sum is the same; what lies under it is a better model.
    """
    with rc_context(STYLE):
        made = Figure(figsize=(WIDTH, 2.9), layout="constrained")
        panes = made.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (title, found) in zip(panes, panels.items(), strict=True):
            _panel(axes, found)
            axes.set(title=title, xlabel="KL(y) + KL(z) + KL(M)/T", xscale="log")
        panes[0].set_ylabel("-ln p(x|z), nats per image")
    return made


def _panel(axes: Axes, found: Sequence[Place]) -> None:
    machines = [place for place in found if place.label != VAE]
    axes.plot(*_line(machines), marker="o", color=COLOURS["KM"])
    for place in found:
        if place.label == VAE:
            axes.plot(*_line([place]), "s", color=COLOURS["VAE"])
            whole = place.rate + place.distortion
            rates = [whole * n / 100 for n in range(1, 100)]
            same = [Place("", rate, whole - rate) for rate in rates if rate >= place.rate / 2]
            axes.plot(*_line(same), color=OTHER_COLOURS[1], lw=0.8)
        told = place.label if place.label in ("km", VAE) else f"weight {place.label}"
        where = (place.rate, place.distortion)
        axes.annotate(told, where, xytext=(4, 4), textcoords="offset points", size=7)


def _line(places: Sequence[Place]) -> tuple[list[float], list[float]]:
    return [place.rate for place in places], [place.distortion for place in places]
