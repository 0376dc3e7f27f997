"""Preference pairs as the sequences that a policy scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.tokens import Vocabulary


def sequences_of(pairs: Sequence[Mapping[str, Any]], vocabulary: Vocabulary) -> tuple[list[list[int]], list[list[int]]]:
    """Contexts and targets, as token ids, of all chosen sides, then of all rejected sides: ``2 * len(pairs)`` each."""
    contexts = [vocabulary.context(p["text"], p["prompt"]) for p in pairs]
    chosen = [vocabulary.target(p["chosen"], p["chosen_finished"]) for p in pairs]
    return contexts * 2, chosen + [vocabulary.target(p["rejected"], p["rejected_finished"]) for p in pairs]
