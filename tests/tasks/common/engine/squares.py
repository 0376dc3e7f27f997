"""Parts and work for tests of the engines: quick, and told by the numbers in a shard what to do."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tasks.common.engine.backend import Done, Places
from tasks.common.files import DataError


@dataclass(frozen=True)
class Squares:
    """Loads the exponent that a checkpoint's file holds."""

    folder: str

    @property
    def folders(self) -> Sequence[str]:
        return [self.folder, "a-published-name"]

    def load(self, at: Places, device: torch.device) -> tuple[int, str]:
        assert at("a-published-name") == "a-published-name"
        return int((Path(at(self.folder)) / "deep" / "exponent").read_text()), os.getcwd()


def powers(state: tuple[int, str], shard: list[int], done: Done) -> list[int]:
    """Return each number to the power."""
    done(len(shard))
    time.sleep(0.01 * (shard[0] % 3))  # later shards may be ready first
    return [number ** state[0] for number in shard]


def places(state: tuple[int, str], shard: list[int], done: Done) -> list[tuple[str, int, int]]:
    """Return where each number was computed: working folder, process and threads."""
    return [(state[1], os.getpid(), torch.get_num_threads()) for _ in shard]


def meeting(state: tuple[int, str], shard: list[list[str]], done: Done) -> list[tuple[str, int, int]]:
    """Return where a shard is computed, once all shards that its item names are: each needs a worker of its own."""
    own, *others = shard[0]
    Path(own).touch()
    deadline = time.monotonic() + 120
    while not all(Path(other).exists() for other in others):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return places(state, shard, done)


def killed_once(state: tuple[int, str], shard: list[str], done: Done) -> list[str]:
    """Kill this worker, unless the file that a shard names is there already."""
    for name in shard:
        if name and not Path(name).exists():
            Path(name).touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return [name.upper() for name in shard]


def dies_once(marker: str, work: Callable[..., Any], state: Any, shard: Any, done: Done) -> Any:
    """Return ``work``'s result, but kill the worker first unless the file ``marker`` is there already."""
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return work(state, shard, done)


def killed(state: tuple[int, str], shard: list[str], done: Done) -> list[str]:
    """Kill this worker, always."""
    os.kill(os.getpid(), signal.SIGKILL)
    return shard


def refused(state: tuple[int, str], shard: list[int], done: Done) -> list[int]:
    """Raise an error that a user can act on."""
    raise DataError(f"found {shard[0]}, expected another")
