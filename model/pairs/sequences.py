"""Preference pairs as the sequences that a policy scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def sequences_of(
    pairs: Sequence[Mapping[str, Any]], contexts: Sequence[Sequence[int]] | None = None
) -> tuple[list[list[int]], list[list[int]]]:
    """Return contexts and targets as token ids: all chosen sides, then all rejected ones, ``2 * len(pairs)`` each.

    What stands before a side's segment (``prefer.credit``) is part of its context.

    Args:
        contexts: one per pair instead of the pairs' own.
    """
    given, targets = [], []
    for side in ("chosen", "rejected"):
        for number, pair in enumerate(pairs):
            tokens, first = [*pair[side]], pair[f"{side}_from"]
            context = pair["context"] if contexts is None else contexts[number]
            given.append([*context, *tokens[:first]])
            targets.append(tokens[first:])
    return given, targets


def codes_in(pair: Mapping[str, Any]) -> int:
    """Return the number of code tokens in both sides, by which pairs of like length are found."""
    return sum(len(pair[side]) - pair[f"{side}_finished"] for side in ("chosen", "rejected"))
