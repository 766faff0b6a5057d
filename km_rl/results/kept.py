"""What the results keep of a run beside its numbers: thinned curves and small figures."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from km_rl.errors import written_beside
from km_rl.evaluate.csv_file import number
from km_rl.evaluate.report import PICTURES
from km_rl.results.scored import Scored

CURVES = (
    "bits_per_dim",
    "bound_nats",
    "bound_with_kl_memory_nats",
    "kl_y_nats",
    "kl_z_nats",
    "kl_memory_nats",
    "reconstruction_nats",
)
MOST_STEPS = 60
"""Points of a curve that are kept."""
MOST_BYTES = 400_000
"""Size of a figure that is kept; a larger one is reduced."""


def curves(one: Scored) -> Iterator[tuple[str, str, str, str]]:
    """Step, metric, value and seed: the test set's terms and the bound in training, thinned."""
    for metric in ("train/bits_per_dim", "train/bound", *(f"test/{name}" for name in CURVES)):
        points = [(row["step"], row[metric]) for row in one.run.metrics if metric in row]
        for step, value in thinned(points):
            yield str(int(step)), metric, number(round(value, 4)), str(one.seed)


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `MOST_STEPS` of the points, evenly apart, with the first and the last."""
    if len(points) <= MOST_STEPS:
        return list(points)
    apart = (len(points) - 1) / (MOST_STEPS - 1)
    return [points[round(apart * i)] for i in range(MOST_STEPS)]


def copy_pictures(folder: Path, place: Path) -> list[Path]:
    """The figures of a report, each made smaller than `MOST_BYTES`; returns the copies."""
    copies = []
    for picture in sorted((folder / PICTURES).glob("*.png")):
        png = picture.read_bytes()
        copies.append(place / picture.name)
        with written_beside(copies[-1]) as beside:
            beside.write_bytes(png if len(png) < MOST_BYTES else _reduced(png))
    return copies


def _reduced(png: bytes) -> bytes:
    """The same picture in 64 colours, and at half the size until it is small enough."""
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    while True:
        file = io.BytesIO()
        image.quantize(64).save(file, "png", optimize=True)
        if file.tell() < MOST_BYTES:
            return file.getvalue()
        image = image.reduce(2)
