"""What every test shares: checked shapes in the core, one thread, fixed seeds."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import install_import_hook

install_import_hook(["km_rl.core"], "beartype.beartype")
pytest.register_assert_rewrite("laws", "oracles", "recall_laws")
torch.set_num_threads(1)


LONGEST = ("test_scripts.py", "test_paper.py", "test_few_shot.py")
"""Files that are begun first, so that no core waits for another's last one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)
