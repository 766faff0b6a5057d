from __future__ import annotations

import json
import re
import sys
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import torch
from finished_runs import finished, tiny_data, tiny_machine, tiny_rival, tiny_vae

from km_rl.baselines.vae import VAE
from km_rl.errors import InputError
from km_rl.evaluate import report as module
from km_rl.evaluate.evaluation import Made, is_there
from km_rl.evaluate.report import duration, report
from km_rl.evaluate.runs import Model, read_runs

SCRIPT = Path(__file__).parents[2] / "scripts" / "evaluate.py"
ALWAYS = ["Results", "Training", "Reconstructions", "Denoising by iterative reading"]
MACHINE = [
    "What is free in this bound",
    "Samples from memory, by reading step",
    "Interpolation between two addresses",
    "Address weights",
]
PUBLISHED = "Against the published figures"
AS_IT_IS = "of the same weights, with these settings and by this commit."


@pytest.fixture(autouse=True)
def tiny_test_set(monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny_data()
    monkeypatch.setattr(module, "load", lambda dataset, data_dir, split: data)


def sections(html: str) -> list[str]:
    return re.findall("<h2>(.*?)</h2>", html)


def test_machine_and_vae_on_omniglot(tmp_path: Path) -> None:
    vae = finished(tmp_path / "v", tiny_vae(), dataset="omniglot")
    km = finished(tmp_path / "k", tiny_machine(), dataset="omniglot", split="images")
    told: list[str] = []
    path = report([vae, km], passes=1, tell=told.append)
    assert path == km / "report.html"
    html = path.read_text()
    assert sections(html) == [
        ALWAYS[0],
        MACHINE[0],
        PUBLISHED,
        *ALWAYS[1:3],
        MACHINE[1],
        ALWAYS[3],
        *MACHINE[2:],
    ]
    for published in ("68.3", "112.7", "77.2", "66.24", "recalled, not checked"):
        assert published in html
    for condition in ("split images", "dynamic", "K x C = 4 x 3", "T = 4 images", "an abacus"):
        assert condition in html
    assert told[0].splitlines()[2].startswith("KM") and "nats" in told[0]


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    km = finished(tmp_path / "<k>", tiny_machine())
    html = report([km], passes=1).read_text()
    made = [ALWAYS[0], MACHINE[0], *ALWAYS[1:3], MACHINE[1], ALWAYS[3], *MACHINE[2:]]
    assert sections(html) == made
    sources = re.findall(r'(?:src|href)\s*=\s*"(.{0,22})', html)
    assert sources == ["data:image/png;base64,"] * 6
    assert not re.search(r"https?:|url\(|@import|<script|<link", html)
    assert "<k>" not in html and "&lt;k&gt;" in html
    pictures = sorted((km / "figures").glob("*.png"))
    assert len(pictures) == 6
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    assert not list(km.rglob("*.partial"))


def test_a_vae_alone_and_its_numbers(tmp_path: Path) -> None:
    vae = finished(tmp_path / "v", tiny_vae())
    assert sections(report([vae], passes=1).read_text()) == ALWAYS
    numbers = json.loads((vae / "evaluate.json").read_text())
    (model,) = numbers["models"]
    assert model["kl_y_nats"] == model["kl_memory_nats"] == 0
    assert model["bound_nats"] == pytest.approx(model["reconstruction_nats"] + model["kl_z_nats"])
    assert (model["run"], model["images"], model["seconds"]) == (".", 400, 75)
    assert numbers["conditions"]["test images"] == "12, 1 pass, seed 0"
    assert numbers["gap_nats"] is None


@pytest.mark.parametrize("kind", ["dkm", "dnc"])
def test_a_rival_with_a_memory(tmp_path: Path, kind: str) -> None:
    rival = finished(tmp_path / kind, tiny_rival(kind), dataset="omniglot")
    vae = finished(tmp_path / "v", tiny_vae(), dataset="omniglot")
    page = report([vae, rival], passes=1)
    html = page.read_text()
    assert page.parent == rival
    made = [ALWAYS[0], MACHINE[0], PUBLISHED, *ALWAYS[1:3], MACHINE[1], ALWAYS[3], MACHINE[3]]
    assert sections(html) == made
    priced = kind == "dkm"
    assert ("this memory is a function of them" in html.lower()) != priced
    assert ("what it holds is not counted" in html) != priced
    (model, _) = json.loads((rival / "evaluate.json").read_text())["models"]
    assert ("kl_memory_nats" in model) == priced


@pytest.mark.parametrize("conditions", [{"episode_length": 1}, {"classes": 1}, {"classes": 2}])
def test_the_smallest_episodes(tmp_path: Path, conditions: dict[str, int]) -> None:
    km = finished(tmp_path / "k", tiny_machine(), **conditions)
    assert len(sections(report([km], passes=1).read_text())) == 8


def test_images_of_another_shape(tmp_path: Path) -> None:
    folder = finished(tmp_path / "v", VAE.build((3, 32, 32), filters=2, code=3))
    with pytest.raises(InputError, match=r"\(3, 32, 32\).*\(1, 28, 28\)"):
        report([folder])


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    folder = finished(tmp_path / "v", tiny_vae())
    (folder / "figures").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        report([folder], passes=1)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1 min 00 s"), (432, "7 min 12 s"), (7380, "2 h 03 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = spec_from_file_location("evaluate_script", SCRIPT)
    assert spec is not None and spec.loader is not None
    made = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "evaluate_script", made)
    spec.loader.exec_module(made)
    return made


def test_the_script_refuses_in_one_sentence(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        script.main([str(tmp_path / "nowhere")])
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_script_prints_table_and_path(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finished(tmp_path / "v", tiny_vae())
    script.main([str(folder), "--passes", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Nats per image") and lines[-1] == str(folder / "report.html")


def test_a_thorough_report_is_not_replaced_by_a_lesser_one(tmp_path: Path) -> None:
    folder = finished(tmp_path / "a", tiny_vae())
    report([folder], passes=1, commit="abc")
    held = json.loads((folder / "evaluate.json").read_text())
    held["settings"]["thorough"] = True
    (folder / "evaluate.json").write_text(json.dumps(held))
    report([folder], passes=1, commit="abd", anew=False)
    assert json.loads((folder / "evaluate.json").read_text()) == held
    tiny_vae().save(folder / "model.safetensors")
    report([folder], passes=1, commit="abd", anew=False)
    assert json.loads((folder / "evaluate.json").read_text())["commit"] == "abd"


def test_what_is_there_is_not_evaluated_again(tmp_path: Path) -> None:
    """It is known by its weights, its settings and its code, if that was a commit."""
    one, other = (finished(tmp_path / name, tiny_vae()) for name in "ab")
    told: list[str] = []
    for _ in range(2):
        path = report([one], passes=1, tell=told.append, commit="abc", anew=False)
    assert told[0].startswith("Nats") and told[1:] == [f"{path} is there, {AS_IT_IS}"]
    held = json.loads((one / "evaluate.json").read_text())
    settings: dict[str, int | str | None] = {"passes": 1, "limit": None, "seed": 0}
    settings |= {"thorough": False, "data": tiny_data().digest}
    assert (held["commit"], held["settings"]) == ("abc", settings)
    digest = sha256((one / "model.safetensors").read_bytes()).hexdigest()[:16]
    assert held["models"][0]["digest"] == digest
    made = Made("abc", settings)
    assert is_there(read_runs([one]), made)
    assert not is_there(read_runs([one, other]), made) and not is_there(read_runs([other]), made)
    others: dict[str, int | str] = {"passes": 2, "limit": 8, "seed": 1, "thorough": True}
    for name, value in (others | {"data": "others"}).items():
        assert not is_there(read_runs([one]), Made("abc", settings | {name: value}))
    assert not is_there(read_runs([one]), Made("abd", settings))
    for unknown in (None, "abc-dirty"):
        (one / "evaluate.json").write_text(json.dumps({**held, "commit": unknown}))
        assert not is_there(read_runs([one]), Made(unknown, settings))
    (one / "evaluate.json").write_text(json.dumps(held))
    tiny_vae().save(one / "model.safetensors")
    assert not is_there(read_runs([one]), made)
    told.clear()
    report([one], passes=1, tell=told.append, commit="abc", anew=False)
    assert told[0].startswith("Nats")


def test_numbers_that_went_wrong_leave_the_report_that_is_there(tmp_path: Path) -> None:
    folder = finished(tmp_path / "v", tiny_vae())
    report([folder], passes=1)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    broken = tiny_vae()
    with torch.no_grad():
        next(broken.encoder.parameters()).fill_(torch.nan)
    broken.save(folder / "model.safetensors")
    with pytest.raises(InputError, match="VAE's bound_nats is nan where a finite number"):
        report([folder], passes=1)
    after = {path: path.read_bytes() for path in before if path.name != "model.safetensors"}
    assert all(before[path] == content for path, content in after.items())


def test_a_report_that_cannot_be_written_whole_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = finished(tmp_path / "v", tiny_vae())
    report([folder], passes=1)
    (folder / "figures" / "gone.png").write_text("of an older report")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_points", full)
    with pytest.raises(InputError, match="No space left"):
        report([folder], passes=2)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    monkeypatch.undo()
    monkeypatch.setattr(module, "load", lambda dataset, data_dir, split: tiny_data())
    report([folder], passes=2)
    assert not (folder / "figures" / "gone.png").exists()


def test_an_evaluation_holds_when_its_runs_are_moved_together(tmp_path: Path) -> None:
    models: dict[str, Model] = {"k": tiny_machine(), "v": tiny_vae()}
    both = [finished(tmp_path / "a" / name, model) for name, model in models.items()]
    report(both, passes=1, commit="abc")
    (tmp_path / "a").rename(tmp_path / "b")
    moved = [tmp_path / "b" / path.name for path in both]
    told: list[str] = []
    report(moved, passes=1, commit="abc", anew=False, tell=told.append)
    assert told[0].endswith(AS_IT_IS)


def test_an_unfinished_run_is_named(tmp_path: Path) -> None:
    told: list[str] = []
    folder = finished(tmp_path / "v", tiny_vae(), steps=300)
    page = report([folder], passes=1, tell=told.append).read_text()
    sentence = "VAE is unfinished: it stands at step 50 of 300."
    assert told[0].splitlines()[-1] == sentence and sentence in page
    assert read_runs([finished(tmp_path / "w", tiny_vae(), steps=50)])[0].unfinished is None
