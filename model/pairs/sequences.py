"""Preference pairs as the sequences that a policy scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.tokens import Vocabulary


def sequences_of(pairs: Sequence[Mapping[str, Any]], vocabulary: Vocabulary) -> tuple[list[list[int]], list[list[int]]]:
    """Return contexts and targets as token ids: all chosen sides, then all rejected ones, ``2 * len(pairs)`` each."""
    contexts = [vocabulary.context(pair["text"], pair["prompt"]) for pair in pairs]
    chosen = [vocabulary.target(pair["chosen"], pair["chosen_finished"]) for pair in pairs]
    rejected = [vocabulary.target(pair["rejected"], pair["rejected_finished"]) for pair in pairs]
    return contexts * 2, chosen + rejected
