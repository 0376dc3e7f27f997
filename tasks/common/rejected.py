"""Verdict on one utterance or text that can't be used."""

from __future__ import annotations


class Rejected(ValueError):  # noqa: N818 - a verdict on one utterance, not an error of the run
    """Reason why one utterance cannot be used: a row of ``data/rejected.jsonl``, not the end of the run.

    Args:
        reason: a few words, the same for every case of its kind, so that they can be counted.
        expected: what would have been right.
        found: what was there.
    """

    def __init__(self, reason: str, expected: str, found: str):
        super().__init__(f"{reason}: expected {expected}, found {found}")
        self.reason, self.expected, self.found = reason, expected, found
