from __future__ import annotations

import pytest

from km_rl.data import DATASETS, load
from km_rl.errors import InputError


def test_strokes_needs_no_data():
    splits = load("strokes")
    assert splits.train.images.shape == (3000, 1, 28, 28)
    assert splits.test.images.shape == (1000, 1, 28, 28)


def test_omniglot_is_looked_for_in_the_folder_given(tmp_path):
    with pytest.raises(InputError, match=str(tmp_path)):
        load("omniglot", tmp_path, split="characters")


def test_unknown_names():
    with pytest.raises(InputError, match=f"'mnist' is not known: .* {', '.join(DATASETS)}"):
        load("mnist")
    with pytest.raises(InputError, match="Split 'characters' of strokes is not known"):
        load("strokes", split="characters")
