"""What the gate has decided on a version, and the aliases that follow from it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CANDIDATE, CHAMPION = "candidate", "champion"  # aliases
DECISION, BASIS = "gate", "gate_basis"  # tags


def was_champion(version: ModelVersion) -> bool:
    """Whether the gate ever promoted this version."""
    return DECISION in version.tags and json.loads(version.tags[DECISION])["promoted"]
