"""Preference pairs as the sequences that a policy scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.tokens import Vocabulary


def sequences_of(pairs: Sequence[Mapping[str, Any]], vocabulary: Vocabulary) -> tuple[list[list[int]], list[list[int]]]:
    """Return contexts and targets as token ids: all chosen sides, then all rejected ones, ``2 * len(pairs)`` each.

    Frames before a side's segment (``prefer.credit``) are part of its context.
    """
    contexts, targets = [], []
    for side in ("chosen", "rejected"):
        for pair in pairs:
            tokens, first = vocabulary.target(pair[side], pair[f"{side}_finished"]), pair[f"{side}_from"]
            contexts.append(vocabulary.context(pair["text"], pair["prompt"]) + tokens[:first])
            targets.append(tokens[first:])
    return contexts, targets
