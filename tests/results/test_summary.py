from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from finished_runs import finished, tiny_machine, tiny_rival, tiny_vae

from km_rl.errors import InputError
from km_rl.evaluate.csv_file import number
from km_rl.evaluate.runs import Model, read_runs
from km_rl.evaluate.table import FULL, PRICED
from km_rl.files import locked
from km_rl.results.kept import MOST_BYTES, RUNS
from km_rl.results.readme import folded, with_tables
from km_rl.results.scored import COSTS, NATS, thinned
from km_rl.results.seeds import ONE_BY_ONE, part_names, record_runs
from km_rl.results.summary import Row, before_recording, command_of, read, record, span, spanned

ROOT = Path(__file__).parents[2]
ABOUT = {"hardware": "an abacus", "commit": "0123456789abcdef"}
ROW = Row("step-cost", "km-over-vae", "ratio", 1.25, None, None, 1, "an abacus", "python x", "abc")
IMAGES = "12, 4 passes, seed 0"


def command(kind: str, seed: int) -> str:
    return f"python /a/scripts/train_generative.py --model {kind} --seed {seed} --data-dir /a/b"


def entry(run: str, bound: float) -> dict[str, Any]:
    costs = {"images": 400, "seconds": 75.0, "parameters": 7_654_321}
    return {"run": run, **dict.fromkeys(NATS, 1.5), **costs, "bound_nats": bound}


def evaluated(
    holder: Path, entries: list[dict[str, Any]], images: str = IMAGES, commit: str | None = None
) -> None:
    """The first entry is the holder's, others are of runs beside it."""
    for one in entries:
        folder = holder if one is entries[0] else holder.parent / Path(one["run"]).name
        one.setdefault("digest", read_runs([folder])[0].digest)
    about = {"commit": commit, "conditions": {"test images": images}}
    content = {**about, "models": entries, "gap_nats": None}
    (holder / "evaluate.json").write_text(json.dumps(content))
    (holder / "figures").mkdir(exist_ok=True)
    (holder / "figures" / "samples.png").write_bytes(f"a picture in {holder.name}".encode())


def trained(place: Path, kind: str, n: int, **config: Any) -> Path:
    about = {**ABOUT, "command": command(kind, n), **config.pop("about", {})}
    tiny: dict[str, Callable[[], Model]] = {"km": tiny_machine, "vae": tiny_vae}
    model: Model = tiny[kind]() if kind in tiny else tiny_rival(kind)
    settings = {"steps": 50, "seed": n, **config}
    return finished(place / f"strokes-{kind}-{n}", model, about=about, **settings)


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Two seeds of each model, each pair evaluated together from within the folder of runs."""
    made = []
    for seed in (0, 1):
        km, vae = (trained(tmp_path, kind, seed) for kind in ("km", "vae"))
        evaluated(km, [entry(km.name, 60.0 + 2 * seed), entry(vae.name, 100.0 + 4 * seed)])
        made += [vae, km]
    return made


def recorded(runs: list[Path], **options: Any) -> dict[tuple[str, str], Row]:
    results = runs[0].parent / "results"
    record_runs(runs, results, **options)
    return {(row.setting, row.metric): row for row in read(results)}


def test_means_and_intervals_over_seeds(runs: list[Path]) -> None:
    rows = recorded(runs)
    metrics = {(kind, metric) for kind in ("km", "vae") for metric in (*NATS, *COSTS)}
    assert rows.keys() == metrics | {("km-under-vae", metric) for metric in ("bound_nats", FULL)}
    t = 12.7062  # 97.5% of Student's t with one degree of freedom
    for setting, middle, deviation in (("km", 61, 1), ("vae", 102, 2), ("km-under-vae", 41, 1)):
        row = rows[setting, "bound_nats"]
        expected = (middle, middle - t * deviation, middle + t * deviation)
        np.testing.assert_allclose(row[3:6], expected, rtol=1e-5)  # type: ignore[arg-type]
        assert (row.experiment, row.seeds, row.hardware) == ("strokes", 2, "an abacus")
    assert rows["km", "parameters"][3:6] == (7_654_321, 7_654_321, 7_654_321)
    assert (rows["vae", "images_seen"].value, rows["vae", "training_seconds"].value) == (400, 75)


def test_the_command_holds_for_all_seeds_and_on_any_machine(runs: list[Path]) -> None:
    rows = recorded(runs)
    km, vae, both = (rows[s, "bound_nats"].command for s in ("km", "vae", "km-under-vae"))
    script = "python scripts/train_generative.py --model"
    assert km == f"{script} km --data-dir DIR --seed 0..1"
    assert both == f"{km} && {vae}"


@pytest.mark.parametrize(
    ("flags", "commands"),
    [
        ({3: ""}, ["--seed 3"]),
        ({1: "", 4: ""}, ["--seed 1,4"]),
        ({0: "", 1: "", 2: ""}, ["--seed 0..2"]),
        ({0: "--steps 9 --k 2", 1: "--k 2 --steps 9"}, ["--steps 9 --k 2 --seed 0..1"]),
        ({2: "", 1: "--k=9", 3: ""}, ["--k=9 --seed 1", "--seed 2..3"]),
    ],
)
def test_seeds_in_the_command(tmp_path: Path, flags: dict[int, str], commands: list[str]) -> None:
    made = []
    for seed, own in flags.items():
        about = {"command": f"{command('vae', seed)} --run_dir=/tmp {own}"}
        made.append(trained(tmp_path, "vae", seed, about=about))
        evaluated(made[-1], [entry(str(made[-1]), 1.0)])
    made_by = recorded(made)["vae", "bound_nats"].command
    script = "python scripts/train_generative.py --model vae --data-dir DIR"
    assert made_by == " && ".join(f"{script} {own}" for own in commands)


def test_several_commits_and_machines(runs: list[Path], tmp_path: Path) -> None:
    other = trained(tmp_path, "km", 2, about={"commit": "fed", "hardware": "a slide rule"})
    evaluated(other, [entry(str(other), 70.0)])
    rows = recorded([*runs, other])
    row, times = rows["km", "bound_nats"], rows["km", "training_seconds"]
    assert (row.commit, row.hardware) == ("0123456789abcdef+fed", "an abacus + a slide rule")
    assert (row.seeds, times.seeds, times.hardware) == (3, 2, "an abacus")


def test_times_are_of_the_machine_that_most_runs_stood_on(tmp_path: Path) -> None:
    other = trained(tmp_path / "other", "km", 0, about={"hardware": "a slide rule"})
    more = [trained(tmp_path / "more", "km", seed) for seed in (2, 3)]
    for run in (other, *more):
        evaluated(run, [entry(str(run), 70.0)])
    times = recorded([other, *more])["km", "training_seconds"]
    assert (times.seeds, times.hardware) == (2, "an abacus")


def test_a_time_of_two_machines_is_no_time(tmp_path: Path) -> None:
    made = trained(tmp_path, "vae", 0, about={"hardware": "an abacus + a slide rule"})
    evaluated(made, [entry(str(made), 1.0)])
    rows = recorded([made])
    assert ("vae", "bound_nats") in rows and ("vae", "training_seconds") not in rows


def test_one_seed_has_no_interval(runs: list[Path]) -> None:
    rows = recorded(runs[:2])
    assert rows["km", "bound_nats"][3:7] == (60, None, None, 1)
    assert rows["km-under-vae", "bound_nats"][3:7] == (40, None, None, 1)


def test_curves_and_pictures(runs: list[Path]) -> None:
    recorded(runs, experiment="strokes-again")
    place = runs[0].parent / "results" / "strokes-again"
    assert {path.name for path in place.iterdir()} == {
        "km.csv",
        "vae.csv",
        "samples.png",
        ONE_BY_ONE,
        RUNS,
        ".lock",
    }
    assert (place / "samples.png").read_bytes() == b"a picture in strokes-km-0"
    lines = list(csv.DictReader((place / "km.csv").open()))
    assert lines[0] == {"step": "10", "metric": "train/bound", "value": "10", "seed": "0"}
    assert lines[7] == {"step": "30", "metric": "test/bound_nats", "value": "3.6667", "seed": "0"}
    assert len(lines) == 2 * 6 * 5 and {line["seed"] for line in lines} == {"0", "1"}


def test_curves_are_thinned() -> None:
    points = [(float(step), 0.0) for step in range(1000)]
    kept = [step for step, _ in thinned(points)]
    assert len(kept) == 60 and (kept[0], kept[-1]) == (0, 999)
    assert set(np.diff(kept)) == {16, 17}
    assert thinned(points[:60]) == points[:60]


def test_large_pictures_are_reduced(runs: list[Path]) -> None:
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    picture = runs[1] / "figures" / "samples.png"
    Image.fromarray(noise).save(picture)
    assert picture.stat().st_size > MOST_BYTES
    recorded(runs)
    copy = runs[0].parent / "results" / "strokes" / "samples.png"
    assert copy.stat().st_size < MOST_BYTES and Image.open(copy).size == (450, 450)


def test_recording_again_changes_nothing(runs: list[Path]) -> None:
    recorded(runs)
    files = [path for path in (runs[0].parent / "results").rglob("[!.]*") if path.is_file()]
    before = [path.read_bytes() for path in files]
    recorded(runs[::-1])
    assert [path.read_bytes() for path in files] == before and len(files) == 7


def test_an_evaluation_with_experiments_goes_before_a_run_s_own_without(runs: list[Path]) -> None:
    vae, km = runs[:2]
    thorough = {"experiments": {"repair": [["blank block", None, "error@1", 3.0]]}}
    evaluated(km, [entry(km.name, 60.0), {**entry(vae.name, 100.0), **thorough}])
    evaluated(vae, [entry(vae.name, 100.0)])
    assert recorded([vae, km])["vae, blank block", "error@1"].value == 3.0


def test_not_evaluated(runs: list[Path], tmp_path: Path) -> None:
    lonely = trained(tmp_path, "vae", 2)
    with pytest.raises(
        InputError, match=r"vae-2' has not been .*`python scripts/evaluate.py .*2`"
    ):
        recorded([*runs, lonely])
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("change", [{"digest": "0123456789abcdef"}, {"kl_y_nats": None}])
def test_an_evaluation_that_is_out_of_date(tmp_path: Path, change: dict[str, Any]) -> None:
    run = trained(tmp_path, "vae", 0)
    old = {**entry(str(run), 1.0), **change}
    evaluated(run, [{name: value for name, value in old.items() if value is not None}])
    with pytest.raises(InputError, match="has not been evaluated since"):
        recorded([run])


def test_a_rival_that_was_trained_again(runs: list[Path]) -> None:
    """What the machine's report says of the one before is not recorded; its own counts."""
    vae, km, *_ = runs
    tiny_vae().save(vae / "model.safetensors")
    with pytest.raises(InputError, match=r"vae-0' has not .*`python scripts/evaluate.py .*vae-0`"):
        recorded(runs)
    evaluated(vae, [entry(str(vae), 90.0)])
    tiny_machine().save(km / "model.safetensors")
    evaluated(km, [entry(km.name, 60.0), {**entry(vae.name, 1.0), "digest": "of another"}])
    assert recorded(runs[:2])["km-under-vae", "bound_nats"].value == 30


def test_who_evaluated_stands_beside_who_trained(runs: list[Path]) -> None:
    for seed, km in enumerate(runs[1::2]):
        mine, theirs = entry(km.name, 60.0), entry(runs[2 * seed].name, 100.0)
        evaluated(km, [mine, theirs], commit=("fed", "abc")[seed])
    rows = recorded(runs)
    assert {row.commit for row in rows.values()} == {"0123456789abcdef+fed+abc"}


def test_other_test_images(runs: list[Path]) -> None:
    evaluated(runs[0], [entry("vae-0", 5.0)], "8, 1 pass, seed 0")
    assert recorded(runs)["vae", "bound_nats"].value == 102
    evaluated(runs[1], [entry("strokes-km-0", 5.0)])
    with pytest.raises(InputError, match=r"different test images .*12, 4 passes.*8, 1 pass"):
        recorded(runs)


@pytest.mark.parametrize("text", ["{", "[]", '{"conditions": {}}', '{"models": []}'])
def test_an_evaluation_that_is_none(runs: list[Path], text: str) -> None:
    (runs[1] / "evaluate.json").write_text(text)
    with pytest.raises(InputError, match=r"cannot be read as an evaluation"):
        recorded(runs)


@pytest.mark.parametrize(
    ("kind", "config", "said"),
    [
        ("km", {"steps": 60}, "has done 50 of its 60 steps"),
        ("km", {"steps": None}, "has steps = None"),
        ("km", {"slots": 5}, "slots=None.*slots=5"),
        ("vae", {"learning_rate": 1}, "learning_rate=None.*learning_rate=1"),
        ("vae", {"split": "characters"}, "split=images.*split=characters"),
        ("km", {"seed": 1}, "both km with seed 1"),
        ("km", {"about": {"command": None}}, "do not say the command"),
        ("km", {"about": {"commit": None}}, "do not say the commit"),
    ],
)
def test_runs_that_do_not_belong(
    runs: list[Path], tmp_path: Path, kind: str, config: dict[str, Any], said: str
) -> None:
    odd = trained(tmp_path / "odd", kind, 7, **config)
    evaluated(odd, [entry(str(odd), 1.0)])
    with pytest.raises(InputError, match=said):
        recorded([*runs, odd])
    assert not (tmp_path / "results").exists()


def test_runs_may_differ_in_what_does_not_matter(runs: list[Path], tmp_path: Path) -> None:
    other = trained(tmp_path, "vae", 2, log_every=7, threads=9, slots=5)
    evaluated(other, [entry(str(other), 1.0)])
    with pytest.raises(InputError, match="slots"):
        recorded([*runs, other])
    (tmp_path / "results").mkdir()
    assert recorded([*runs[1::2], other])["vae", "bound_nats"].value == 1


def test_a_rival_has_its_own_gap_and_no_price_that_it_lacks(
    runs: list[Path], tmp_path: Path
) -> None:
    dnc = trained(tmp_path, "dnc", 1, key=9)
    numbers = entry(str(dnc), 70.0)
    evaluated(dnc, [{name: value for name, value in numbers.items() if name not in PRICED}])
    rows = recorded([*runs, dnc])
    assert rows["km-under-dnc", "bound_nats"].value == 8
    assert rows["km-under-vae", "bound_nats"].value == 41
    assert {metric for kind, metric in rows if kind == "dnc"} == {*NATS, *COSTS} - {*PRICED}
    made = with_tables("<!-- results: strokes --><!-- /results -->", list(rows.values()))
    labels = [line.split("|")[1].strip() for line in made.splitlines() if line.startswith("| ")]
    assert labels[2:] == ["KM", "DNC", "VAE", "KM under DNC", "KM under VAE"]


def test_memories_of_different_sizes_are_not_compared(runs: list[Path], tmp_path: Path) -> None:
    dnc = trained(tmp_path, "dnc", 0, slots=5)
    evaluated(dnc, [entry(str(dnc), 1.0)])
    with pytest.raises(InputError, match=r"slots=None.*slots=5"):
        recorded([*runs, dnc])


def test_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run folder"):
        record_runs([tmp_path], tmp_path / "results")


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"dataset": "omniglot", "preset": "paper-omniglot"}, "omniglot-images-dynamic"),
        ({"dataset": "strokes", "preset": "strokes"}, "strokes"),
        ({"dataset": "strokes", "preset": "debug"}, "debug"),
        ({"binarisation": "static"}, "strokes-images-static"),
    ],
)
def test_the_name_of_the_experiment(tmp_path: Path, config: dict[str, str], name: str) -> None:
    run = trained(tmp_path, "vae", 0, **config)
    evaluated(run, [entry(str(run), 1.0)])
    assert recorded([run])["vae", "bound_nats"].experiment == name


def test_rows_are_replaced_kept_and_sorted(tmp_path: Path) -> None:
    record([ROW, ROW._replace(experiment="memory-speed", low=1.0, high=1.5)], tmp_path)
    record([ROW._replace(value=2.0), ROW._replace(metric="km_ms", value=1 / 3)], tmp_path)
    assert read(tmp_path) == [
        ROW._replace(experiment="memory-speed", low=1.0, high=1.5),
        ROW._replace(metric="km_ms", value=0.333333),
        ROW._replace(value=2.0),
    ]
    header = (tmp_path / "summary.csv").read_text().splitlines()[0]
    assert header == "experiment,setting,metric,value,low,high,seeds,hardware,command,commit"
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["commands.csv", "summary.csv"]


def test_a_command_stands_once_and_its_name_in_each_line(tmp_path: Path) -> None:
    rows = [ROW._replace(metric=f"m{i}", command=f"python {i % 2}.py, twice") for i in range(6)]
    record(rows, tmp_path)
    commands, summary = (
        (tmp_path / f"{name}.csv").read_text() for name in ("commands", "summary")
    )
    assert commands.count("python 0.py, twice") == commands.count("python 1.py, twice") == 1
    assert "python" not in summary and read(tmp_path) == rows
    (tmp_path / "commands.csv").write_text("name,command\n")
    with pytest.raises(InputError, match=r"Line 2 of .*commands\.csv has no command .*: restore"):
        read(tmp_path)


def test_fewer_seeds_do_not_take_the_place_of_more(tmp_path: Path) -> None:
    record([ROW._replace(seeds=3)], tmp_path)
    with pytest.raises(InputError, match=r"ratio' is recorded of 3 seeds where 1 .* as many"):
        record([ROW], tmp_path)
    record([ROW._replace(seeds=4, value=2.0)], tmp_path)
    assert [row.value for row in read(tmp_path)] == [2.0]


def test_other_demonstrations_do_not_take_the_place_of_those_recorded(tmp_path: Path) -> None:
    record([ROW._replace(command="python x --demos a.npz --seed 0")], tmp_path)
    for other, told in (("--demos=b.npz", "b.npz"), ("--seed 0", "the shipped demonstrations")):
        with pytest.raises(InputError, match=rf"ratio' is recorded of a.npz where {told} would"):
            record([ROW._replace(command=f"python x {other}")], tmp_path)
    record([ROW._replace(command="python x --demos=a.npz --seed 0 1", value=2.0)], tmp_path)
    assert [row.value for row in read(tmp_path)] == [2.0]


def test_what_is_known_of_a_training_stays_and_of_other_weights_goes(runs: list[Path]) -> None:
    """Evaluated again with fewer experiments, as among ablations; then trained anew."""
    vae, other = runs[0], runs[2]
    thorough = {"experiments": {"repair": [["blank block", None, "error@1", 3.0]]}}
    shown = runs[0].parent / "results" / "strokes" / "repair.csv"
    evaluated(vae, [{**entry(vae.name, 100.0), **thorough}])
    recorded([vae])
    before = shown.read_text()
    evaluated(vae, [entry(vae.name, 101.0)])
    assert recorded([vae])["vae", "bound_nats"].value == 101 and shown.read_text() == before
    metrics = vae / "metrics.jsonl"
    metrics.write_text(metrics.read_text().replace("11.0", "12.0"))
    recorded([vae])
    thorough["experiments"]["repair"][0][3] = 1.0
    evaluated(other, [{**entry(other.name, 100.0), **thorough}])
    recorded([other])
    (line,) = csv.DictReader(shown.open())
    assert (line["seed"], line["value"]) == ("1", "1")


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_vae_is_evaluated_beside_a_machine_that_paid_for_its_memory(
    tmp_path: Path, weight: float
) -> None:
    thorough = {"experiments": {"related": [["", None, "nats@1", 3.0]]}}
    km, vae = (
        trained(tmp_path, kind, 4, memory_kl_weight=weight * (kind == "km"))
        for kind in ("km", "vae")
    )
    evaluated(km, [{**entry(x.name, 60.0), **thorough} for x in (km, vae)])
    rows = recorded([km, vae], experiment="strokes-full-bound")
    told = rows["vae", "nats@1"].command.split(" && ")
    both = "runs/strokes-km-4 runs/strokes-vae-4" if weight else "runs/strokes-vae-4"
    assert told[-1] == f"python scripts/evaluate.py {both}"
    assert len(told) == (3 if weight else 2) and "--model vae" in told[-2]
    alone = rows["km", "nats@1"].command
    assert alone.endswith("evaluate.py runs/strokes-km-4") and alone.count(" && ") == 1


def test_an_experiment_is_made_in_several_sittings(runs: list[Path], tmp_path: Path) -> None:
    """The same whether all seeds are given at once or one after the other, in any order."""
    experiments = {"writes": [["", None, "nats", 3.0], ["a", 4.0, "nats", 0.5]]}
    for seed, km in enumerate(runs[1::2]):
        vae = runs[2 * seed]
        for run, bound in ((km, 60.0 + 2 * seed), (vae, 100.0 + 4 * seed)):
            evaluated(run, [{**entry(run.name, bound), "experiments": experiments}])
    at_once, one_by_one = tmp_path / "at once", tmp_path / "one by one"
    record_runs(runs, at_once)
    for part in (runs[:2], runs[3:], runs[2:3]):
        record_runs(part, one_by_one)
    files = [path.relative_to(at_once) for path in at_once.rglob("*.*[vl]")]
    assert len(files) == 6
    for file in files:
        assert (one_by_one / file).read_bytes() == (at_once / file).read_bytes()
    pictures = [
        (place / "strokes" / "samples.png").read_bytes() for place in (at_once, one_by_one)
    ]
    assert pictures == [b"a picture in strokes-km-0"] * 2
    assert "/a/" not in (at_once / "strokes" / RUNS).read_text()


def test_a_seed_that_differs_from_those_recorded_is_refused(
    runs: list[Path], tmp_path: Path
) -> None:
    recorded(runs)
    odd = trained(tmp_path, "vae", 2, learning_rate=1)
    evaluated(odd, [entry(str(odd), 1.0)])
    with pytest.raises(InputError, match=r"vae-0, which is recorded' was .*=None .*vae-2' with"):
        recorded([odd])
    (tmp_path / "results" / "strokes" / RUNS).write_text("{")
    with pytest.raises(InputError, match=r"cannot be read .* restore the folder from git"):
        recorded(runs)


def test_a_seed_on_fewer_test_images_than_those_recorded_is_refused(
    runs: list[Path], tmp_path: Path
) -> None:
    for seed, size in ((0, 12), (1, 8)):
        vae = runs[2 * seed]
        evaluated(vae, [{**entry(str(vae), 100.0), "test_images": size}])
    recorded(runs[:1])
    with pytest.raises(InputError, match=r"different images, .*vae-0, which is recorded' on 12"):
        recorded(runs[2:3])


def test_a_run_of_other_settings_does_not_take_a_recorded_one_s_place(
    runs: list[Path], tmp_path: Path
) -> None:
    recorded(runs)
    other = trained(tmp_path / "other", "vae", 1, steps=25)
    evaluated(other, [entry(str(other), 1.0)])
    kept = (tmp_path / "results" / "strokes" / RUNS).read_text()
    with pytest.raises(InputError, match=r"vae-1, which is recorded' was .*steps=50"):
        record_runs([other], tmp_path / "results")
    assert (tmp_path / "results" / "strokes" / RUNS).read_text() == kept


def test_what_an_evaluation_was_told_is_in_the_command_and_the_same_for_all(
    runs: list[Path], tmp_path: Path
) -> None:
    for vae, passes in ((runs[0], 3), (runs[2], 2)):
        evaluated(vae, [{**entry(str(vae), 100.0), "test_images": 12}])
        told = json.loads((vae / "evaluate.json").read_text())
        settings = {"passes": passes, "limit": 64, "seed": 0, "thorough": True}
        (vae / "evaluate.json").write_text(json.dumps({**told, "settings": settings}))
    made_by = recorded(runs[:1])["vae", "bound_nats"].command
    assert made_by.endswith("evaluate.py runs/strokes-vae-0 --passes 3 --limit 64")
    with pytest.raises(InputError, match=r"--passes 2 --limit 64 and .* 12 with --passes 3"):
        recorded(runs[2:3])


def test_runs_of_more_processes_are_not_averaged_with_others(runs: list[Path]) -> None:
    for vae, images in ((runs[0], 400), (runs[2], 800)):
        evaluated(vae, [{**entry(vae.name, 100.0), "images": images}])
    recorded(runs[:1])
    with pytest.raises(InputError, match=r"saw 16 images in a step and .* 8: give"):
        recorded(runs[2:3])


def test_ablations_differ_from_the_machine_whoever_was_recorded_first(tmp_path: Path) -> None:
    vae = trained(tmp_path, "vae", 0)
    full = trained(tmp_path, "km", 0, memory_kl_weight=1.0, sample_memory=True)
    free = trained(tmp_path / "free", "km", 0)
    for run, bound in ((vae, 100.0), (full, 60.0), (free, 50.0)):
        evaluated(run, [entry(str(run), bound)])
    recorded([vae], experiment="strokes-full-bound")
    rows = recorded([full], experiment="strokes-full-bound", ablations=True)
    record_runs([full, free], tmp_path / "results", "strokes-full-bound", ablations=True)
    rows = {(row.setting, row.metric): row for row in read(tmp_path / "results")}
    assert rows["km", "bound_nats"].value == 60 and rows["km-under-vae", "bound_nats"].value == 40
    assert rows["km, memory_kl_weight=0.0, sample_memory=None", "bound_nats"].value == 50


def test_runs_that_were_evaluated_from_mixed_paths_are_recorded_anywhere(
    runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written as the way from the first run's folder, so that the runs may be moved together."""
    km, vae = runs[1], runs[0]
    evaluated(km, [entry(".", 60.0), {**entry(f"../{vae.name}", 100.0)}])
    monkeypatch.chdir("/")
    assert recorded([km, vae])["km-under-vae", "bound_nats"].value == 40


def test_what_was_recorded_before_runs_were_kept_stays(runs: list[Path], tmp_path: Path) -> None:
    """One more seed does not take the place of two, nor another model the place of both."""
    recorded(runs)
    place = tmp_path / "results" / "strokes"
    (place / RUNS).unlink()
    before = (place / "km.csv").read_bytes()
    with pytest.raises(InputError, match="recorded of 2 seeds where 1 would take"):
        recorded(runs[:2])
    dnc = trained(tmp_path, "dnc", 0)
    evaluated(dnc, [{k: v for k, v in entry(str(dnc), 70.0).items() if k not in PRICED}])
    rows = recorded([dnc])
    assert rows["km", "bound_nats"].seeds == 2 and rows["dnc", "bound_nats"].value == 70
    assert (place / "km.csv").read_bytes() == before


def test_a_run_recorded_before_a_setting_was_added_has_its_usual_value(
    runs: list[Path], tmp_path: Path
) -> None:
    recorded(runs)
    kept = tmp_path / "results" / "strokes" / RUNS
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    assert all(line["config"].pop("cosines") is False for line in lines)
    kept.write_text("".join(json.dumps(line) + "\n" for line in lines))
    more = trained(tmp_path, "km", 2, cosines=False)
    evaluated(more, [entry(str(more), 70.0)])
    assert recorded([more])["km", "bound_nats"].seeds == 3
    assert '"cosines": false' in kept.read_text()


def test_a_rival_is_not_the_model_whose_parts_differ() -> None:
    assert part_names(["km", "km, slots=16", "vae"]) == {
        "km": "as it is",
        "km, slots=16": "slots=16",
        "vae": "VAE",
    }


def test_one_process_records_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("km_rl.results.summary.WAIT", 0.1)
    with (
        locked(tmp_path),
        pytest.raises(InputError, match=r"Another process writes to .* wait until it has ended"),
    ):
        record([ROW], tmp_path)
    record([ROW], tmp_path)
    assert read(tmp_path) == [ROW]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (6_144_000.0, "6144000"),
        (123456.789, "123457"),
        (1234567.8, "1234570"),
        (44.1040001, "44.104"),
        (-1e-9, "-0.000000001"),
        (-0.0, "0"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text == number(float(text))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"value": float("nan")}, "finite"),
        ({"command": ""}, "no command"),
        ({"commit": ""}, "no commit"),
        ({"experiment": "../up"}, "cannot be the name"),
    ],
)
def test_rows_that_are_no_result(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        record([ROW._replace(**change)], tmp_path)


@pytest.mark.parametrize("text", ["", "a,b\n", ",".join(Row._fields) + "\nx,y,z\n"])
def test_a_summary_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "summary.csv").write_text(text)
    with pytest.raises(InputError, match="restore"):
        read(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be "):
        record([ROW], tmp_path / "file" / "results")


def test_the_table_of_an_experiment(runs: list[Path]) -> None:
    rows = list(recorded(runs).values())
    text = "Before\n<!-- results: strokes -->\nold\n<!-- /results -->\nAfter\n"
    made = with_tables(text, rows)
    commands = [row.command for row in rows if row.metric == "kl_y_nats"]
    assert made.splitlines() == [
        "Before",
        "<!-- results: strokes -->",
        "",
        "|  | bound | reconstruction | KL(y) | KL(z) | KL(M)/T | bound, M drawn | with KL(M)/T |",
        "| --- | --: | --: | --: | --: | --: | --: | --: |",
        "| KM | 61.0 ± 12.7 | 1.5 | 1.5 | 1.5 | 1.5 | 1.5 | 1.5 |",
        "| VAE | 102.0 ± 25.4 | 1.5 | 1.5 | 1.5 | 1.5 | 1.5 | 1.5 |",
        "| KM under VAE | 41.0 ± 12.7 |  |  |  |  |  | 0.0 |",
        "",
        "Nats per image of the test set, lower is better. Under: by how much, in the unit of its "
        "column, seed by seed. ± is half the 95% interval over seeds (Student's t). 2 seeds.",
        "",
        "<details><summary>Hardware, commits and commands (0..2 for 0, 1 and 2, a command each, "
        "DIR for the folder of the data)</summary>",
        "",
        "2 seeds, an abacus, commit `0123456789`.",
        "",
        "```sh",
        *commands,
        "```",
        "",
        "</details>",
        "",
        "<!-- /results -->",
        "After",
    ]
    assert with_tables(made, rows) == made


def test_the_table_of_an_imitation_has_the_best_setting_first() -> None:
    made = ("a core", "python scripts/gail.py --seed 0..2", "abc")
    rows = [
        Row("gail-x-1demo", "mlp", "return", 100.0, 50.0, 150.0, 3, *made),
        Row("gail-x-1demo", "mlp", "return_iqm", 110.0, 60.0, 160.0, 3, *made),
        Row("gail-x-1demo", "mlp", "probability_kanerva_better", 0.75, None, None, 3, *made),
        Row("gail-x-1demo", "kanerva", "return", 1200.0, 1100.0, 1300.0, 3, *made),
        Row("gail-x-1demo", "kanerva", "return_iqm", 1250.0, 1150.0, 1350.0, 3, *made),
        Row("gail-x-1demo", "kanerva", "late_return", 1222.2, 1000.0, 1300.0, 3, *made),
        Row("gail-x-1demo", "kanerva", "rollout_return", 1111.4, 1000.0, 1200.0, 3, *made),
        Row("gail-x-1demo", "kanerva", "share_of_expert", 0.5, None, None, 3, *made),
        Row("gail-x-1demo", "kanerva", "training_seconds", 90.0, None, None, 3, *made),
    ]
    table = with_tables("<!-- results: gail-x-1demo --><!-- /results -->", rows)
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    assert lines[2:] == [
        "| kanerva | 1,200 [1,100, 1,300] | 1,250 [1,150, 1,350] | 1,222 | 1,111 | 50% |  | 3 "
        "| 1.5 |",
        "| mlp | 100 [50, 150] | 110 [60, 160] |  |  |  | 0.75 | 3 |  |",
    ]
    assert "[95% interval, Student's t]" in table and "±" not in table


def test_what_no_imitation_has_measured_has_no_column_and_two_runs_no_probability() -> None:
    made = ("a core", "python scripts/gail.py --seed 0..1", "abc")
    rows = [
        Row("gail-x-1demo", "mlp", "return", 110.0, None, None, 2, *made),
        Row("gail-x-1demo", "mlp", "probability_kanerva_better", 0.75, None, None, 2, *made),
        Row("gail-x-1demo", "kanerva", "return", 1250.0, 1150.0, 1350.0, 3, *made),
    ]
    table = with_tables("<!-- results: gail-x-1demo --><!-- /results -->", rows)
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    assert lines == [
        "|  | return | seeds |",
        "| --- | --: | --: |",
        "| kanerva | 1,250 [1,150, 1,350] | 3 |",
        "| mlp | 110 | 2 |",
    ]


def test_the_table_of_a_few_shot_comparison() -> None:
    made = ("a core", "python scripts/few_shot.py", "abc")
    rows = [
        Row("few-shot-pointnav", "kanerva", "auc@8", 0.95, 0.94, 0.97, 3, *made),
        Row("few-shot-pointnav", "kanerva", "adapt_ms@512", 2.0, 1.5, 2.5, 3, *made),
        Row("few-shot-pointnav", "bc", "return", 0.5, 0.4, 0.6, 3, *made),
        Row("few-shot-pointnav", "mlp-scratch", "adapt_ms@512", 3789.8, 3126.4, 4453.2, 3, *made),
    ]
    table = with_tables("<!-- results: few-shot-pointnav --><!-- /results -->", rows)
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    assert lines == [
        "|  | AUC, 8 | ms to adapt | return |",
        "| --- | --: | --: | --: |",
        "| bc |  |  | 0.500 ± 0.100 |",
        "| kanerva | 0.950 ± 0.015 | 2.000 ± 0.500 |  |",
        "| mlp-scratch |  | 3790 ± 663 |  |",
    ]
    assert "over seeds (Student's t)" in table


@pytest.mark.parametrize(("seeds", "cells"), [(1, "0.500 |"), (3, "0.500 | 0.900 |")])
def test_a_few_shot_comparison_of_any_size_tells_no_probability_of_one_seed(
    seeds: int, cells: str
) -> None:
    name, made = "few-shot-pointnav-4tasks", (seeds, "a core", "python scripts/few_shot.py", "abc")
    rows = [
        Row(name, "bc", "return", 0.5, None, None, *made),
        Row(name, "bc", "probability_kanerva_better", 0.9, None, None, *made),
    ]
    table = with_tables(f"<!-- results: {name} --><!-- /results -->", rows)
    assert f"| bc | {cells}\n" in table and ("P(imp" in table) == (seeds == 3)


def test_a_lead_of_nothing_has_no_sign() -> None:
    name, made = "few-shot-pendulum", (3, "a core", "python scripts/few_shot.py", "abc")
    rows = [Row(name, "true-reward", "return_kanerva_ahead", -0.0004, -0.1, 0.1, *made)]
    table = with_tables(f"<!-- results: {name} --><!-- /results -->", rows)
    assert "| true-reward | 0.000 ± 0.100 |" in table


@pytest.mark.parametrize(
    ("low", "high", "cell", "cut"),
    [(0.7, 0.9, "0.800 ± 0.100", False), (0.5, 1.0, "0.800 [0.500, 1.000]", True)],
)
def test_an_interval_that_is_cut_at_1_is_told_itself(
    low: float, high: float, cell: str, cut: bool
) -> None:
    """Half its length would be less than what lies on its longer side."""
    name, made = "few-shot-pointnav-4tasks", (3, "a core", "python scripts/few_shot.py", "abc")
    rows = [Row(name, "bc", "probability_kanerva_better", 0.8, low, high, *made)]
    table = with_tables(f"<!-- results: {name} --><!-- /results -->", rows)
    assert f"| bc | {cell} |" in table and ("[ ] is that interval" in table) == cut


def test_settings_stand_by_the_size_of_their_numbers() -> None:
    parts = ("slots=128", "x=0.1", "slots=16", "x=0.01", "x=0.0")
    settings = (*(f"km, {part}" for part in parts), "vae", "km", "another")
    rows = [Row("z", one, "bound_nats", 1.0, None, None, 1, "x", "y", "abc") for one in settings]
    table = with_tables("<!-- results: z --><!-- /results -->", rows)
    last = ["km, slots=16", "km, slots=128", "km, x=0.0", "km, x=0.01", "km, x=0.1"]
    shown = ["KM", "VAE", "another", *last]
    assert re.findall(r"^\| ([^|]+) \| 1\.0", table, re.MULTILINE) == shown


def test_a_table_of_some_of_the_settings(runs: list[Path]) -> None:
    rows = list(recorded(runs).values())
    marker = "<!-- results: strokes of vae; km -->"
    made = with_tables(f"{marker}\n<!-- /results -->", rows)
    assert with_tables(made, rows) == made
    lines = made.splitlines()
    assert lines[0] == marker
    assert [line.split(" | ")[0] for line in lines[4:7]] == ["| KM", "| VAE", ""]
    assert "Under" not in made
    alone = with_tables("<!-- results: strokes of vae -->\n<!-- /results -->", rows)
    assert "--model vae" in alone
    assert "--model km" not in alone


def test_metrics_of_fewer_seeds_are_named() -> None:
    name, made = "few-shot-pointnav-4tasks", ("a core", "python scripts/few_shot.py")
    rows = [
        Row(name, "bc", "return", 0.5, None, None, 1, *made, "abc"),
        Row(name, "kanerva", "auc@8", 0.9, None, None, 3, *made, "abc"),
        Row(name, "kanerva", "return", 0.5, None, None, 1, *made, "abc"),
        Row(name, "kanerva", "auc@32", 0.9, None, None, 3, *made, "def"),
    ]
    table = with_tables(f"<!-- results: {name} --><!-- /results -->", rows)
    assert " bc, kanerva (return): 1 seed. kanerva (AUC, 8; AUC, 32): 3 seeds.\n" in table
    assert "\nbc, kanerva (return): 1 seed, a core, commit `abc`." in table
    assert " kanerva (AUC, 8; AUC, 32): 3 seeds, a core, commit `abc`+`def`.\n" in table


def test_the_table_of_what_has_no_layout() -> None:
    other = ROW._replace(experiment="other")
    rows = [other._replace(setting="B=1 T=2", commit="d-dirty"), ROW, other]
    made = with_tables("<!-- results: other --><!-- /results -->", rows).splitlines()
    assert made[2:6] == [
        "| setting | metric | value |",
        "| --- | --- | --: |",
        "| B=1 T=2 | ratio | 1.25 |",
        "| km-over-vae | ratio | 1.25 |",
    ]
    told = "B=1 T=2: 1 seed, an abacus, commit `d-dirty`. km-over-vae: 1 seed, an abacus, "
    assert made[7] == "1 seed."
    assert made[11] == f"{told}commit `abc`."
    assert made[13:15] == ["```sh", "python x"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!-- results: mnist -->\n<!-- /results -->", "'mnist' has no results.*step-cost"),
        ("<!-- results: step-cost of km -->\n<!-- /results -->", "no setting 'km': .* km-over-"),
        ("<!-- results: step-cost -->\n", "1 markers .* 0 of them are closed"),
        ("<!-- results: step-cost -->\n" * 2 + "<!-- /results -->", "1 of them"),
        ("<!-- /results -->", "markers"),
    ],
)
def test_markers_that_are_wrong(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        with_tables(text, [ROW])


def test_memories_stand_in_rows_and_their_errors_in_columns() -> None:
    numbers = {"error_percent_random": 12.5, "error_percent_omniglot": 3.25, "stored_numbers": 9}
    rows = [
        ROW._replace(experiment="retrieval", setting=setting, metric=metric, value=value)
        for setting in ("sdm", "km")
        for metric, value in numbers.items()
    ]
    made = with_tables("<!-- results: retrieval --><!-- /results -->", rows).splitlines()
    assert made[2].startswith("|  | random | Omniglot |")
    assert made[4:6] == [f"| {name} | 12.50 | 3.25 |" for name in ("KM", "sdm")]


@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{x.name}" for x in sorted((ROOT / "docs").glob("*.md")))]
)
def test_a_page_shows_what_the_summary_says(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert with_tables(text, read(ROOT / "results")) == text, "run scripts/results.py --tables"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = spec_from_file_location("results_script", ROOT / "scripts" / "results.py")
    assert spec is not None and spec.loader is not None
    made = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "results_script", made)
    spec.loader.exec_module(made)
    return made


def test_the_script_records_then_writes_tables(
    script: ModuleType, runs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    place = runs[0].parent
    readme = place / "README.md"
    readme.write_text("<!-- results: mine -->\n<!-- /results -->\n")
    options = ["--experiment", "mine", "--tables", "--pages", str(readme)]
    script.main([*map(str, runs), "--folder", str(place / "out"), *options])
    printed = capsys.readouterr().out.splitlines()
    verdicts = place / "out" / "README.md"
    assert printed[-3:] == [str(place / "out" / "summary.csv"), str(readme), str(verdicts)]
    assert all(Path(path).exists() for path in printed) and len(printed) == 8
    assert "| KM | 61.0" in readme.read_text()


@pytest.mark.parametrize("arguments", [[], ["nowhere"], ["--tables", "--pages", "nowhere"]])
def test_the_script_refuses_in_one_sentence(
    script: ModuleType, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        script.main(arguments)
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_command_names_no_folder_of_this_machine() -> None:
    given = ["--data-dir", "/a/b", "--run-dir=/c", "--seeds", "2", "--demos", "/d/e.npz"]
    given += ["--x=/y.npz", "--record", "/f/results"]
    told = "python scripts/novelty.py --data-dir DIR --seeds 2 --demos e.npz --x=y.npz "
    told += "--record results"
    assert command_of("novelty", ["--record=/f/results"]).endswith("novelty.py --record=results")
    assert command_of("novelty", ["--record", "."]).endswith("novelty.py --record .")
    assert command_of("novelty", given) == told


def test_commands_of_fewer_seeds_are_told_once() -> None:
    made = ("a core", "python x --seed 0..2", "abc")
    fewer = ("a core", "python x --seed 0..1 && python y --seed 0,3", "abc")
    rows = [
        Row("z", "km", "bound_nats", 1.0, None, None, 3, *made),
        Row("z", "km-under-vae", "bound_nats", 1.0, None, None, 2, *fewer),
    ]
    block = with_tables("<!-- results: z -->\n<!-- /results -->", rows)
    assert "--seed 0..2\npython y --seed 0,3\n```" in block and "--seed 0..1" not in block


def test_seeds_are_told_and_read_back() -> None:
    for seeds in ([0], [0, 1, 2], [0, 3], [2, 3]):
        assert spanned(span(seeds)) == seeds


@pytest.mark.parametrize(
    ("seeds", "said"),
    [("0..2", "0..2 for 0, 1 and 2"), ("0,3", "0,3 for each of these"), ("7", "")],
)
def test_what_stands_for_several_commands_is_told(seeds: str, said: str) -> None:
    title = folded([f"python train.py --seed {seeds}"]).split("\n")[0]
    told = f" ({said}, a command each)" if said else ""
    assert title == f"<details><summary>Commands{told}</summary>"


def test_what_could_not_be_recorded_is_refused_before_it_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("km_rl.results.summary.commit_to_record", lambda: "abc")
    record([ROW._replace(seeds=3)], tmp_path)
    assert before_recording(tmp_path) == "abc"
    mine = lambda row: row.experiment == "step-cost"
    assert before_recording(tmp_path / "new", 1, mine) == "abc"
    assert before_recording(tmp_path, 3, mine) == "abc"
    assert before_recording(tmp_path, 1, lambda row: not mine(row)) == "abc"
    with pytest.raises(InputError, match=r"3 seeds of step-cost, km-over-vae where 2 would take"):
        before_recording(tmp_path, 2, mine)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="give another folder"):
        before_recording(tmp_path / "file" / "results")
