"""What a training leaves for the next start, and the run that it belongs to.

A run is known by its settings and by the digests of what it reads. So nothing that was made with another learning rate,
corpus or codec is taken for its own. More steps are another run too: the learning rate falls towards the last one.
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
    """A model, an optimiser, a schedule."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


def identity(settings: dict[str, Any], inputs: dict[str, Path]) -> str:
    """JSON of the settings and of the inputs' digests.

    Args:
        settings: ``threads`` is left out; it says where, not what.
        inputs: files or folders of checkpoints. A digest stands in place of the setting of its name, so that only
            what lies at a path counts.
    Raises:
        FileNotFoundError: an input is not there.
    """
    digests = {}
    for name, path in inputs.items():
        files = [path / "config.json", path / "model.safetensors"] if path.is_dir() else [path]
        digests[name] = [compute_file(file) for file in files]
    return json.dumps({**{k: v for k, v in settings.items() if k != "threads"}, **digests}, sort_keys=True)


def belongs(file: Path, theirs: str | None, mine: str, otherwise: str) -> bool:
    """Whether a file of the run ``theirs`` is of ``mine``; a line says what differs, and what happens ``otherwise``."""
    if theirs == mine:
        return True
    ours, other = json.loads(mine), json.loads(theirs or "{}")
    differing = sorted(key for key in ours.keys() | other.keys() if ours.get(key) != other.get(key))
    what = f"another {', '.join(differing)}" if other else "it names none"
    print(f"{file} belongs to other settings or data ({what}); {otherwise}", flush=True)
    return False


def load_state(path: Path, run: str, parts: dict[str, Stateful]) -> dict[str, Any] | None:
    """Give ``parts`` back what this run saved of them; the whole state, for what else is in it.

    None if there is none, or one of another run, which a line then says.
    """
    if not path.is_file():
        return None
    state = torch.load(path, weights_only=True)
    if not belongs(path, state.get("run"), run, "training starts anew"):
        return None
    for name, part in parts.items():
        part.load_state_dict(state[name])
    print(f"resuming at step {state['step']}", flush=True)
    return state


def save_state(path: Path, run: str, parts: dict[str, Stateful], step: int, **more: Any) -> None:
    """Write the state whole or not at all."""
    state = {name: part.state_dict() for name, part in parts.items()}
    with atomic_path(path) as temporary:
        torch.save({"run": run, **state, "step": step, **more}, temporary)
