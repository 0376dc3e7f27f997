"""``config.json`` of a model's folder, read without importing torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from model.errors import CheckpointError


def read(file: Path) -> dict[str, Any]:
    """Return the named fields of a ``config.json``.

    Raises:
        CheckpointError: the file is not JSON, or holds no named fields.
    """
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise CheckpointError(f"{file} should hold named fields, found {type(fields).__name__}")
    return fields
