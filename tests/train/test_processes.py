"""Two processes on one machine: they draw different episodes, agree, and stop together."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
import torch
from tiny_runs import Signals, draw, go, untimed, weights

from km_rl.train.loop import Interrupted


def worker(rank: int, port: int, folder: Path, signal_at: int) -> None:
    """One of two processes, as a launcher starts them; only the second is sent a signal."""
    environment = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({k: str(v) for k, v in environment.items()}, MASTER_ADDR="127.0.0.1")
    torch.set_num_threads(1)
    drawing = Signals(signal.SIGINT, signal_at) if rank == 1 else draw
    try:
        go(folder, drawing, checkpoint_every=100)
        stopped = False
    except Interrupted:
        stopped = True
    assert stopped == (signal_at > 0)
    torch.distributed.destroy_process_group()


def two(folder: Path, signal_at: int = 0) -> None:
    """Run two workers to their end; an error in one is raised here."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(worker, (port, folder, signal_at), nprocs=2)


@pytest.mark.slow
def test_two_processes_train_as_one_and_resume_bit_by_bit(tmp_path: Path) -> None:
    two(tmp_path / "whole")
    two(tmp_path / "cut", signal_at=3)
    assert torch.load(tmp_path / "cut" / "training.pt")["progress"]["step"] == 3
    two(tmp_path / "cut")
    assert untimed(tmp_path / "cut") == untimed(tmp_path / "whole")
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert untimed(tmp_path / "whole")[-1]["images"] == 6 * 2 * 8
    go(tmp_path / "alone")
    assert weights(tmp_path / "alone") != weights(tmp_path / "whole")
