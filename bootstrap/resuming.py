"""Saved states of a training, and the run that each belongs to.

A run is identified by its settings and by the digests of its inputs, so a state of another learning rate, corpus or
codec is never resumed. Another number of steps is another run too: the learning rate decays towards the last one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import torch

from tasks.common.digests import compute_file
from tasks.common.files import atomic_path

SAVE_EVERY = 500  # steps


class Stateful(Protocol):
    """A model, an optimizer or a schedule."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


def identity(settings: dict[str, Any], inputs: dict[str, Path]) -> str:
    """Return the identity of a run: JSON of its settings and of its inputs' digests.

    Args:
        settings: all but ``threads`` count.
        inputs: files or folders of checkpoints. A digest replaces the setting of its name, so that contents count and
            paths do not.

    Raises:
        FileNotFoundError: an input is missing.
    """
    digests = {}
    for name, path in inputs.items():
        files = [path / "config.json", path / "model.safetensors"] if path.is_dir() else [path]
        digests[name] = [compute_file(file) for file in files]
    return json.dumps({**{k: v for k, v in settings.items() if k != "threads"}, **digests}, sort_keys=True)


def belongs(file: Path, theirs: str | None, mine: str, otherwise: str) -> bool:
    """Say whether a file of the run ``theirs`` belongs to ``mine``; if not, print what differs and ``otherwise``."""
    if theirs == mine:
        return True
    ours, other = json.loads(mine), json.loads(theirs or "{}")
    differing = sorted(key for key in ours.keys() | other.keys() if ours.get(key) != other.get(key))
    what = f"another {', '.join(differing)}" if other else "it names none"
    print(f"{file} belongs to other settings or data ({what}); {otherwise}", flush=True)
    return False


def load_state(path: Path, run: str, parts: dict[str, Stateful]) -> dict[str, Any] | None:
    """Restore ``parts`` from what this run saved, and return the whole state.

    Without a state, or with one of another run, return None; the latter is printed.
    """
    if not path.is_file():
        return None
    state = torch.load(path, weights_only=True)
    if not belongs(path, state.get("run"), run, "training starts again"):
        return None
    for name, part in parts.items():
        part.load_state_dict(state[name])
    print(f"resuming at step {state['step']}", flush=True)
    return state


def save_state(path: Path, run: str, parts: dict[str, Stateful], step: int, **more: Any) -> None:
    """Write the state atomically."""
    state = {name: part.state_dict() for name, part in parts.items()}
    with atomic_path(path) as temporary:
        torch.save({"run": run, **state, "step": step, **more}, temporary)
