"""Unknown keys of a settings file: what was meant, and what there is instead."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel


def instead(name: str, known: Iterable[str]) -> str:
    """Return what to say of an unknown name: ``did you mean …?``, or the known names."""
    names = sorted(known)
    if near := difflib.get_close_matches(name, names, n=1):
        return f"did you mean {near[0]}?"
    return f"expected one of {', '.join(names)}" if names else "nothing stands here"


def keys_at(model: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    """Return the keys that a block of a pydantic model takes, as its file writes them.

    Args:
        place: of the block, as pydantic's errors name it (``loc`` without its last part).
    """
    found: list[type[BaseModel]] = [model]
    for part in place:
        found = [inner for block in found for inner in _below(block, part)]
    return [field.alias or name for block in found for name, field in block.model_fields.items()]


def _below(block: type[BaseModel], part: str | int) -> list[type[BaseModel]]:
    fields = {field.alias or name: field.annotation for name, field in block.model_fields.items()}
    # A part that is no field is the key of a mapping, the number of an item or a name that pydantic gives to a choice.
    return _blocks(fields[str(part)]) if str(part) in fields else [block]


def _blocks(annotation: Any) -> list[type[BaseModel]]:
    """Return the blocks that an annotation holds, in unions and collections too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [block for inner in typing.get_args(annotation) for block in _blocks(inner)]
