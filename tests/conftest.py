"""What every test shares: checked shapes in the core, one thread, fixed seeds."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import install_import_hook

install_import_hook(["km_rl.core"], "beartype.beartype")
pytest.register_assert_rewrite("laws", "oracles", "recall_laws")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)
