"""Several training processes in a test: forked, so that they need not import torch again, and joined by gloo."""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from accelerate.state import AcceleratorState, PartialState

SECONDS = 120


def run(count: int, work: Callable[[], Any]) -> list[Any]:
    """Return what ``work()`` returns in each of ``count`` processes; numbers, arrays, lists and dicts of them."""
    context = multiprocessing.get_context("fork")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pipes = [context.Pipe(duplex=False) for _ in range(count)]
    children = [
        context.Process(target=_child, args=(work, rank, count, port, pipes[rank][1]), daemon=True)
        for rank in range(count)
    ]
    for child in children:
        child.start()
    try:
        found = [pipe.recv() if pipe.poll(SECONDS) else "no answer" for pipe, _ in pipes]
    finally:
        for child in children:
            child.join(5)
            child.kill()
    failed = [answer for answer in found if isinstance(answer, str)]
    assert not failed, "\n".join(failed)
    return [answer[0] for answer in found]


def _child(work: Callable[[], Any], rank: int, count: int, port: int, answer: Any) -> None:
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port}
    os.environ.update({name: str(number) for name, number in numbers.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", TORCHELASTIC_RUN_ID="test", OMP_NUM_THREADS="1", GLOO_SOCKET_IFNAME="lo")
    torch.set_num_threads(1)
    PartialState._reset_state()
    AcceleratorState._reset_state()
    try:
        answer.send([work()])
    except BaseException:
        answer.send(traceback.format_exc())
    os._exit(0)


def weights(model: torch.nn.Module) -> np.ndarray:
    """Return all parameters of a model as one row of numbers."""
    return torch.cat([p.detach().flatten() for p in model.parameters()]).numpy()
