"""Changed settings (of a profile, of an arm of the study) laid over the content of ``params.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.unknown_keys import instead
from tasks.common.params.block import ParamsError

Change = tuple[str, Any, Any]  # dotted key, value before, value after


def overlay(
    base: dict[str, Any], changes: Mapping[str, Any], source: str, whole_iterations: bool = False, block: str = ""
) -> list[Change]:
    """Change ``base`` in place, and return what differed.

    Args:
        base: the content of ``params.yaml``, or its part ``block`` ("align.").
        source: where the changes come from, for messages: a file's name.
        whole_iterations: a block ``iterations`` is the whole chain. It may name new ones, and those that it does not
            name are left out.

    Raises:
        ParamsError: a key that ``params.yaml`` does not have, or a value where it has a block.
    """
    made: list[Change] = []
    for key, value in changes.items():
        name, now = f"{block}{key}", base.get(key)
        if key not in base and not (whole_iterations and block == "iterations."):
            raise ParamsError(f"{source} sets {name}, which params.yaml does not have; {instead(str(key), base)}")
        if isinstance(now, dict) != isinstance(value, dict) and now is not None:
            raise ParamsError(f"{source} sets {name} to {value!r}, but params.yaml has {now!r} there")
        if isinstance(now, dict):
            if whole_iterations and name == "iterations":
                left_out = [other for other in now if other not in value]
                made += [(f"{name}.{other}", now.pop(other), "left out") for other in left_out]
            made += overlay(now, value, source, whole_iterations, f"{name}.")
        elif now != value:
            base[key] = value
            made.append((name, now, value))
    return made
