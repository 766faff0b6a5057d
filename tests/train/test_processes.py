"""Two processes on one machine: they draw different episodes, agree, and stop together."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
import torch
from tiny_runs import Signals, draw, go, untimed, weights
from torch import Tensor

from km_rl.train.loop import Interrupted


def launched(rank: int, port: int) -> None:
    """Be one of two processes, as a launcher starts them."""
    environment = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({k: str(v) for k, v in environment.items()}, MASTER_ADDR="127.0.0.1")
    torch.set_num_threads(1)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def worker(rank: int, port: int, folder: Path, signal_at: int) -> None:
    """One of two processes; only the second is sent a signal."""
    launched(rank, port)
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
    torch.multiprocessing.spawn(worker, (free_port(), folder, signal_at), nprocs=2)


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


def alone_in_an_episode(generator: torch.Generator) -> Tensor:
    """Two episodes of one image: what a DNC reads between two writes is of no use there."""
    return draw(generator)[:, :1]


def worker_of_a_dnc(rank: int, port: int, folder: Path) -> None:
    """One of two processes that train a DNC, some of whose parts then have no gradient."""
    launched(rank, port)
    go(folder, alone_in_an_episode, model="dnc")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_train_what_has_parts_without_a_gradient(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(worker_of_a_dnc, (free_port(), tmp_path), nprocs=2)
    assert untimed(tmp_path)[-1]["step"] == 6
