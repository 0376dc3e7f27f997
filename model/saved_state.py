"""The state of a training under way: written whole, and read only where it is whole and belongs to the run."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from model import sharding
from model.checkpoint import all_finite
from model.errors import TrainingError


def save(path: Path, fingerprint: str, parts: dict[str, Any], step: int, *, write: bool) -> None:
    """Write the state of ``parts`` after ``step`` steps atomically.

    Args:
        fingerprint: names the run that the state belongs to. parts: objects with ``state_dict``, by their names.
        write: False in a process that only takes part in gathering it.
    """
    saved = {name: sharding.gathered_state(part.state_dict(), keep=write) for name, part in parts.items()}
    if not write:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    torch.save({"fingerprint": fingerprint, "step": step, "parts": saved}, temporary)
    os.replace(temporary, path)


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
