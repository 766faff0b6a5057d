from __future__ import annotations

from pathlib import Path

import pytest
from finished_runs import finished, tiny_data, tiny_machine, tiny_rival, tiny_vae

from km_rl.evaluate.runs import read_runs
from km_rl.evaluate.table import COLUMNS, PRICED, Score, gap, score, text_table


def made_up(kind: str, bound: float, held: float = 0.0) -> Score:
    nats = dict.fromkeys(COLUMNS.values(), 1.0)
    return Score(
        kind.upper(), kind, {**nats, "bound_nats": bound, "kl_memory_nats": held}, 5, 7, 9.0
    )


def test_text() -> None:
    assert text_table([made_up("km", 44.104, 1317.2), made_up("vae", 120.0)]).splitlines() == [
        "Nats per image on the test set, lower is better.",
        "      bound  reconstruction  KL(y)  KL(z)  KL(M)/T  bound, M drawn  with KL(M)/T",
        "KM    44.10            1.00   1.00   1.00  1317.20            1.00          1.00",
        "VAE  120.00            1.00   1.00   1.00     0.00            1.00          1.00",
        "The KM is 75.9 nats under the VAE per image.",
        "What its memory holds (KL(M)/T = 1317.2) is not counted in the bound.",
    ]


def test_the_gap_says_who_is_ahead() -> None:
    scores = [made_up("km", 120.0), made_up("vae", 100.0)._replace(images=6)]
    assert gap(scores) == -20
    assert "The KM is 20.0 nats over the VAE per image." in text_table(scores)
    assert "not seen the same number of images" in text_table(scores)


def test_every_rival_has_its_sentence() -> None:
    scores = [
        made_up("km", 44.0),
        made_up("dkm", 50.0),
        made_up("dnc", 40.0),
        made_up("vae", 60.0),
    ]
    unseen = [*scores[:2], scores[2]._replace(images=6), scores[3]._replace(images=4)]
    assert text_table(unseen).splitlines()[6:] == [
        "The KM is 6.0 nats under the DKM per image.",
        "The KM is 4.0 nats over the DNC per image.",
        "The KM is 16.0 nats under the VAE per image.",
        "What its memory holds (KL(M)/T = 0.0) is not counted in the bound.",
        "The KM has not seen the same number of images as the DNC and the VAE.",
    ]
    assert gap(scores) == 16


def test_a_memory_without_a_kl_has_no_columns_about_it(tmp_path: Path) -> None:
    folders = [finished(tmp_path / kind, tiny_rival(kind)) for kind in ("dkm", "dnc")]
    dkm, dnc = (score(run, tiny_data().test) for run in read_runs(folders))
    assert dkm.nats.keys() - dnc.nats.keys() == set(PRICED) == dkm.nats.keys() & set(PRICED)
    assert dnc.nats["bound_nats"] > 0 and dkm.nats["kl_memory_nats"] > 0
    last = text_table([dnc, made_up("vae", 60.0)]).splitlines()
    assert last[2].split()[-3:] == ["-", "-", "-"]
    assert "has no KL" in last[5]


def test_one_model_has_no_gap() -> None:
    assert gap([made_up("km", 44.0)]) is None
    assert len(text_table([made_up("km", 44.0)]).splitlines()) == 3


def test_score(tmp_path: Path) -> None:
    folders = [finished(tmp_path / "a", tiny_machine()), finished(tmp_path / "b", tiny_vae())]
    km, vae = (score(run, tiny_data().test) for run in read_runs(folders))
    assert (km.label, km.images, km.seconds) == ("KM", 400, 75.0)
    assert km.parameters == sum(p.numel() for p in tiny_machine().parameters()) - 1
    drawn, held = km.nats["bound_sampled_memory_nats"], km.nats["kl_memory_nats"]
    assert drawn != km.nats["bound_nats"]
    assert km.nats["bound_with_kl_memory_nats"] == pytest.approx(drawn + held, rel=1e-2)
    assert vae.nats["bound_sampled_memory_nats"] == vae.nats["bound_nats"]
    assert set(COLUMNS.values()) <= km.nats.keys()
