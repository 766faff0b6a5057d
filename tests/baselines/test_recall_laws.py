"""Every associative memory obeys the laws of recall."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from recall_laws import FEW, SIZE, CudaLaws, Empty, RecallLaws, flipped, random_patterns
from torch import Tensor

from km_rl.baselines.hopfield import Hopfield, ModernHopfield
from km_rl.baselines.key_value import KeyValueStore
from km_rl.baselines.machines import NaturalRecall
from km_rl.baselines.rbm import RBM
from km_rl.baselines.sdm import SparseDistributedMemory

MEMORIES: dict[str, Empty] = {
    "hebbian": partial(Hopfield.empty, SIZE),
    "hebbian-synchronous": partial(Hopfield.empty, SIZE, update="synchronous"),
    "pseudo-inverse": partial(Hopfield.empty, SIZE, "pseudo-inverse"),
    "pseudo-inverse-synchronous": partial(
        Hopfield.empty, SIZE, "pseudo-inverse", update="synchronous"
    ),
    "modern": partial(ModernHopfield.empty, SIZE, FEW, 0.5),
    "key-value": partial(KeyValueStore.empty, SIZE, FEW),
    "sdm": partial(SparseDistributedMemory.empty, SIZE, 2000),
    "natural": partial(NaturalRecall.empty, SIZE, 128),
}


@pytest.mark.parametrize("empty", MEMORIES.values(), ids=MEMORIES)
class TestRecall(RecallLaws, CudaLaws):
    """One suite over all that write exactly."""


class TestRBM:
    """A net that learns by samples obeys them in the mean, and only what it was shown last."""

    def test_what_is_written_is_likelier_and_restored(self) -> None:
        patterns = random_patterns(FEW)
        rbm = RBM.empty(SIZE, 32).write(patterns)
        wrong = (rbm.read(flipped(patterns, 6), steps=2) != patterns).float().mean()
        assert wrong < 0.02
        F = rbm.free_energy((patterns > 0).float())
        assert F.max() < rbm.free_energy((random_patterns(50, seed=1) > 0).float()).min()

    @pytest.mark.cuda
    def test_patterns_on_a_gpu_are_read_there(self) -> None:
        patterns: Tensor = random_patterns(FEW).cuda()
        read = RBM.empty(SIZE, 32).write(patterns).read(flipped(patterns, 6))
        assert (read != patterns).float().mean() < 0.02
        assert torch.equal(read.abs(), torch.ones_like(read))
