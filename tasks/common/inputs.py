"""The settings and inputs that DVC will file a stage's results under, compared before and after the run.

DVC digests parameters and dependencies once the command has ended. Without this check, an edit during the run is
recorded as what the results rest on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.errors import SpeechAlignError

SHOWN = 5  # changes that a message lists


class ChangedError(SpeechAlignError):
    """A setting or an input changed while the stage ran."""


@dataclass(frozen=True)
class Noted:
    """What a stage of DVC's rests on: its address, and each dependency's digest or values."""

    stage: str
    values: Mapping[str, Any]  # "params.yaml: align.lr" -> 1e-4, "data/codes" -> digest


def noted() -> Noted | None:
    """Return what the running stage rests on now; None where DVC does not run it in this folder."""
    address = os.environ.get("DVC_STAGE")
    if not address or not Path(".dvc").is_dir():  # an arm of the study runs its steps in folders of their own
        return None
    values = _values(address)
    return None if values is None else Noted(address, values)


def check(before: Noted | None) -> None:
    """Check that settings and inputs are still as they were noted.

    Raises:
        ChangedError: they are not. DVC then records nothing, and its run cache keeps nothing.
    """
    if before is None:
        return
    after = _values(before.stage) or {}
    names = [name for name in {**before.values, **after} if before.values.get(name) != after.get(name)]
    if not names:
        return
    lines = [f"  {name}{_change(before.values.get(name), after.get(name))}" for name in names[:SHOWN]]
    more = [f"  and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    raise ChangedError(
        "\n".join([f"what {before.stage} reads changed during the run, so its result is not recorded:", *lines, *more])
        + "\n  run again, and edit once it has ended"
    )


def _values(address: str) -> dict[str, Any] | None:
    """Return the values and digests of a stage's dependencies; None if the pipeline has no such stage."""
    from dvc.dependency.param import ParamsDependency
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    file, _, name = address.rpartition(":")
    values: dict[str, Any] = {}
    try:
        # Locked, or another DVC process could be writing dvc.lock at this moment.
        with Repo(".", _wait_for_lock=True) as repo, repo.lock:
            stage = repo.stage.load_one(file or None, name)
            for dependency in stage.deps:
                if isinstance(dependency, ParamsDependency):
                    read = dependency.read_params(flatten=False)
                    values |= {f"{dependency.def_path}: {key}": value for key, value in read.items()}
                else:
                    values[dependency.def_path] = _digest(dependency)
    except (DvcException, KeyError):  # an edit has made dvc.yaml or params.yaml unreadable, or removed the stage
        return None
    return values


def _digest(dependency: Any) -> str | None:
    """Return DVC's digest of a file or folder, which it computes only where the file has changed; None without one."""
    try:
        return dependency.get_hash().value
    except OSError:
        return None


def _change(before: Any, after: Any) -> str:
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        return "." + f"{keys[0]}{_change(before.get(keys[0]), after.get(keys[0]))}" if keys else ""
    both = [str(value) for value in (before, after)]
    return f": was {both[0]}, is {both[1]}" if max(map(len, both)) <= 60 else " is not what it was"
