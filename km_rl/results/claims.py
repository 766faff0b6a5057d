"""The claims of the paper, each with a rule by which recorded numbers decide about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from km_rl.evaluate.denoising import CORRUPTIONS
from km_rl.evaluate.generation import CLASSES, SETTLED, STEPS
from km_rl.results.summary import Row

HOLDS, PARTLY, NOT = "holds", "partly", "does not hold"
LATE = "late_change"
IN_TURNS = "step-cost", "B=16 T=32"
"""Experiment and setting of steps of Omniglot's sizes that are taken in turns, and so are compared
on one machine at one time."""


class NotMeasured(LookupError):
    """A row that a rule needs has not been recorded."""


class Numbers:
    """The rows of one experiment and of its exhibits; remembers which were asked for."""

    def __init__(self, rows: Sequence[Row], experiment: str) -> None:
        self._rows = {row[:3]: row for row in rows}
        self.experiment = experiment
        self.used: list[Row] = []

    def row(self, setting: str, metric: str, exhibit: str = "") -> Row:
        """That row.

        Raises:
            NotMeasured: there is none.
        """
        names = ("-".join(filter(None, (self.experiment, exhibit))), setting, metric)
        if names not in self._rows:
            raise NotMeasured(", ".join(names))
        self.used.append(self._rows[names])
        return self._rows[names]

    def elsewhere(self, experiment: str, setting: str, *metrics: str) -> list[Row] | None:
        """Those rows of another experiment, if all are there."""
        rows = [self._rows.get((experiment, setting, metric)) for metric in metrics]
        found = [row for row in rows if row is not None]
        if len(found) < len(metrics):
            return None
        self.used += found
        return found

    def __call__(self, setting: str, metric: str, exhibit: str = "") -> float:
        """The value of that row."""
        return self.row(setting, metric, exhibit).value

    def places(self, exhibit: str, model: str) -> list[tuple[str, str]]:
        """(series, metric) of every row that an exhibit has of a model."""
        start = f"{model}, "
        return [
            (setting.removeprefix(start), metric)
            for experiment, setting, metric in self._rows
            if experiment == f"{self.experiment}-{exhibit}" and setting.startswith(start)
        ]


class Finding(NamedTuple):
    """What the numbers say: one of `HOLDS`, `PARTLY` and `NOT`, and the numbers in words."""

    verdict: str
    numbers: str


class Claim(NamedTuple):
    """A claim of the paper, the rule in words and as a function, and the figure to look at."""

    said: str
    rule: str
    figure: str
    judge: Callable[[Numbers], Finding]


def _kl_dip(of: Numbers) -> Finding:
    km, vae = (of(kind, "kl_dip_percent", "training") for kind in ("km", "vae"))
    verdict = NOT if km <= 10 else PARTLY if vae > 10 else HOLDS
    return Finding(verdict, f"KM {km:.0f}%, VAE {vae:.0f}%")


def _under_vae(of: Numbers) -> Finding:
    gap = of.row("km-under-vae", "bound_nats")
    sure = gap.low is not None and gap.low > 0
    verdict = NOT if gap.value <= 0 else HOLDS if sure else PARTLY
    told = f"{_beside(gap.value)}{_between(gap)}"
    try:
        counted = of("km-under-vae", "bound_with_kl_memory_nats")
    except NotMeasured:
        return Finding(verdict, told)
    return Finding(verdict, f"{told}; with KL(M)/T counted {_beside(counted)}")


def _beside(gap: float) -> str:
    return f"{abs(gap):.1f} nats {'over' if gap <= 0 else 'under'}"


def _under_slots(of: Numbers) -> Finding:
    told, won, sure = [], [], []
    for rival in ("dnc", "lrua"):
        places = of.places("capacity", rival)
        if not places:
            raise NotMeasured(f"capacity of {rival}")
        pairs = [
            [of.row(f"{kind}, {series}", metric, "capacity") for kind in ("km", rival)]
            for series, metric in places
        ]
        under = [mine.value < other.value for mine, other in pairs]
        apart = [_apart(mine, other) for mine, other in pairs]
        won += under
        sure += apart
        told.append(
            f"under {rival.upper()} at {sum(under)} of {len(under)} places, {sum(apart)} of them "
            f"with intervals apart"
        )
    verdict = HOLDS if all(sure) else PARTLY if 2 * sum(won) > len(won) else NOT
    return Finding(verdict, "; ".join(told))


def _slower(of: Numbers) -> Finding:
    dnc, lrua = _times_in_turns(of) or _times_in_training(of)
    verdict = HOLDS if min(dnc, lrua) > 1.1 else NOT if dnc <= 1.1 else PARTLY
    return Finding(verdict, f"DNC {dnc:.1f} and LRUA {lrua:.1f} times the KM's time per image")


def _times_in_turns(of: Numbers) -> list[float] | None:
    """How much longer than the machine's a step of a DNC and of an LRUA takes."""
    if not (of.experiment.startswith("omniglot") and of.places("capacity", "dnc")):
        return None
    rows = of.elsewhere(*IN_TURNS, "dnc_ratio_to_machine", "lrua_ratio_to_machine")
    return None if rows is None else [row.value for row in rows]


def _times_in_training(of: Numbers) -> list[float]:
    seconds = {kind: of.row(kind, "training_seconds") for kind in ("km", "dnc", "lrua")}
    if len({row.hardware for row in seconds.values()}) > 1:
        raise NotMeasured("times on the same hardware")
    cost = {kind: row.value / of(kind, "images_seen") for kind, row in seconds.items()}
    return [cost[kind] / cost["km"] for kind in ("dnc", "lrua")]


def _settle(of: Numbers) -> Finding:
    # Machines of other sizes stand beside it: "slots=2, 4 classes".
    places = of.places("convergence", "km")
    found = [series for series, metric in places if metric == LATE and "," not in series]
    if len(found) < len(CLASSES):
        raise NotMeasured("convergence of memories of few classes")
    in_order = sorted(found, key=lambda series: int(series.partition(" ")[0]))
    late = {series: of(f"km, {series}", LATE, "convergence") for series in in_order}
    told = ", ".join(f"{share:.0%} ({series})" for series, share in late.items())
    verdict = _grade([share <= SETTLED for share in late.values()])
    return Finding(verdict, f"later changes up to {told} of the first")


def _repairs(of: Numbers) -> Finding:
    km, vae = [], []
    for one in CORRUPTIONS:
        query, first, last = (of(f"km, {one}", f"error@{n}", "repair") for n in (0, 1, STEPS))
        km.append(last < min(query, first))
        first, last = (of(f"vae, {one}", f"error@{n}", "repair") for n in (1, STEPS))
        vae.append(last >= first)
    told = (
        f"KM repairs {sum(km)} of {len(km)} corruptions; fed back to itself a VAE gets better on "
        f"{len(vae) - sum(vae)}"
    )
    return Finding(NOT if 2 * sum(km) < len(km) else _grade(km + vae), told)


def _interpolates(of: Numbers) -> Finding:
    jump = of("km, w", "largest_step_share", "interpolation")
    told = f"largest step {jump:.0%}"
    doubt = ("added_uncertainty_nats", "interpolation")
    try:
        w, pixels = (of(f"km, {walk}", *doubt) for walk in ("w", "pixels"))
    except NotMeasured:  # photographs have no ink
        return Finding(_grade([jump <= 0.5]), told)
    told = f"{round(w)} nats of entropy more half way against {round(pixels)}, {told}"
    return Finding(_grade([w < pixels, jump <= 0.5]), told)


def _distributed(of: Numbers) -> Finding:
    km, dnc = (of(kind, "effective_slots", "addresses") for kind in ("km", "dnc"))
    spread = km > of("km", "slots", "addresses") / 4
    together = of("dnc", "effective_slots_of_all", "addresses")
    told = (
        f"KM {km:.1f}, DNC {dnc:.1f} slots an image; the DNC's images use {together:.1f} together"
    )
    return Finding(_grade([spread, dnc < 2]), told)


def _full_covariance(of: Numbers) -> Finding:
    full = of.row("km", "bound_nats", "ablations")
    diagonal = of.row("km, diagonal_covariance=True", "bound_nats", "ablations")
    worse = full.value >= diagonal.value
    verdict = NOT if worse else HOLDS if _apart(full, diagonal) else PARTLY
    told = (
        f"full {full.value:.1f}{_between(full)}, diagonal {diagonal.value:.1f}{_between(diagonal)}"
    )
    return Finding(verdict, told)


def _apart(lower: Row, upper: Row) -> bool:
    """Whether both have 95% intervals, and the one's lies below the other's."""
    return lower.high is not None and upper.low is not None and lower.high < upper.low


def _between(row: Row) -> str:
    return "" if row.low is None else f" ({row.low:.1f} to {row.high:.1f})"


def _grade(passed: Sequence[bool]) -> str:
    return HOLDS if all(passed) else PARTLY if any(passed) else NOT


CLAIMS = (
    Claim(
        "KL dips once the machine has learned to use its memory",
        "KL(y) + KL(z) of the test set falls by over 10% within a quarter of the steps, once both "
        "count in full, and a VAE's does not; partly if both do",
        "training.png",
        _kl_dip,
    ),
    Claim(
        "The machine is better than a VAE with the same nets",
        "the 95% interval of its gap in the bound lies above 0, where KL(M) is left out of the "
        "bound as in the paper; partly if only the mean does",
        "training.png",
        _under_vae,
    ),
    Claim(
        "It is better than DNC and LRUA at every T",
        "its bound is lower, with 95% intervals apart, at each T and number of classes; partly if "
        "its mean is at most of them",
        "capacity.png",
        _under_slots,
    ),
    Claim(
        "A DNC is slower",
        "DNC and LRUA take over 1.1 times its time per image, in steps taken in turns where there "
        "are such (Omniglot's sizes), else in training; partly if only the DNC does",
        "training.png",
        _slower,
    ),
    Claim(
        "Samples settle by about the sixth iteration",
        "no change after step 6 is above a tenth of the first, for 2, 4 and 12 classes (all, if "
        "there are fewer); partly if for some",
        "convergence.png",
        _settle,
    ),
    Claim(
        "Iterative reading denoises, and a VAE fed back to itself does not",
        f"at step {STEPS} the machine's error is below the query's and step 1's, and the VAE's "
        f"is not below its step 1's, for every corruption; partly if the machine's is so for half "
        f"of them",
        "repair.png",
        _repairs,
    ),
    Claim(
        "Interpolation between addresses is smooth",
        "half way between two images the entropy of the ink exceeds that at the ends by less if "
        "the walk is in w than if it is in pixels, and no step changes the image by over half of "
        "the whole way; partly if one is so; of photographs, which have no ink, the latter alone",
        "interpolation.png",
        _interpolates,
    ),
    Claim(
        "Addresses are distributed, where a DNC's collapse",
        "an image's address uses over a quarter of the slots (a random one uses half) and a DNC's "
        "head under 2; partly if one is so",
        "addresses.png",
        _distributed,
    ),
    Claim(
        "A full covariance is better than a diagonal one",
        "its bound is lower and the 95% intervals are apart; partly if only the means are",
        "ablations.png",
        _full_covariance,
    ),
)
