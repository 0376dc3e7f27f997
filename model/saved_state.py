"""The state of a training under way: written whole, and read only where it is whole and belongs to the run."""

from __future__ import annotations

import contextlib
import copy
import math
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from model import sharding
from model.checkpoint import all_finite
from model.errors import TrainingError
from model.writing import disk_errors


class Saver:
    """Writes the states of one training to ``path``, each whole or not at all.

    ``background`` copies a state to the processor's memory and writes it in a thread, so that a GPU goes on meanwhile:
    the state of a billion parameters is 12 GB. Where the weights lie in that memory already, the copy would be all it
    adds.
    """

    def __init__(self, path: Path, fingerprint: str, *, background: bool):
        """Take the name of the run that the states belong to: its ``fingerprint``."""
        self.path, self.fingerprint = path, fingerprint
        self._thread = ThreadPoolExecutor(1) if background else None
        self._writing: Future[None] | None = None

    def save(self, parts: dict[str, Any], step: int, *, write: bool) -> None:
        """Write the state after ``step`` steps, or begin to.

        Args:
            parts: objects with ``state_dict``, by their names.
            write: False in a process that only takes part in gathering it.
        """
        saved = {name: sharding.gathered_state(part.state_dict(), keep=write) for name, part in parts.items()}
        if not write:
            return
        if self._thread is None:
            self._write(saved, step)
            return
        self.finish()
        self._writing = self._thread.submit(self._write, _copied(saved), step)

    def finish(self) -> None:
        """Wait for what is being written.

        Raises:
            OSError: it could not be written.
        """
        if self._writing:
            writing, self._writing = self._writing, None
            writing.result()

    def _write(self, saved: dict[str, Any], step: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        try:
            with disk_errors(temporary), temporary.open("wb") as file:
                torch.save({"fingerprint": self.fingerprint, "step": step, "parts": saved}, file)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        os.replace(temporary, self.path)


def _copied(state: Any) -> Any:
    """Return a copy of a state in the processor's memory, however it is nested."""
    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, Mapping):
        return {name: _copied(value) for name, value in state.items()}
    return [_copied(value) for value in state] if isinstance(state, list) else copy.deepcopy(state)


def read(path: Path | None, fingerprint: str, steps: int) -> dict[str, Any] | None:
    """Return the state that a run of ``steps`` resumes from, or None if there is none of this run.

    Raises:
        TrainingError: a torn file, or weights or moments that are not finite.
    """
    if path is None or not path.exists():
        return None
    with fitting(path):
        state = torch.load(path, weights_only=True, map_location="cpu")
        if state["fingerprint"] != fingerprint:
            return None
        step = state["step"]
        if type(step) is not int or not 0 <= step <= steps:
            raise ValueError(f"it is of step {step!r}, of {steps}")
        for name, part in state["parts"].items():
            if name.startswith(("model", "optimizer")) and not _all_finite(part):
                raise ValueError(f"its {name} has numbers that are not finite")
    return state


@contextlib.contextmanager
def fitting(path: Path | None) -> Iterator[None]:
    """Turn an error of reading a state, or of loading a part of it, into one that names the file.

    Raises:
        TrainingError: with what to do.
    """
    try:
        yield
    except Exception as error:  # of a torn file: torch raises many kinds
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise TrainingError(f"{path} cannot be resumed: {reason}; delete it to train from the start") from error


def _all_finite(state: Any) -> bool:
    """Return whether all numbers of a state are finite, however it is nested."""
    if isinstance(state, torch.Tensor):
        return all_finite(state)
    if isinstance(state, Mapping):
        return all(_all_finite(value) for value in state.values())
    if isinstance(state, (list, tuple)):
        return all(_all_finite(value) for value in state)
    return not isinstance(state, float) or math.isfinite(state)
