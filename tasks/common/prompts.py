"""Voice prompts: which other utterance of the speaker an utterance is read after."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tasks.common.files import DataError

Row = dict[str, Any]  # of schemas.CODES


class Prompts:
    """Other utterances by the same speaker, for every row of one split."""

    def __init__(self, rows: list[Row]):
        self.rows = rows
        self.by_id = {row["id"]: row for row in rows}
        self._by_speaker: dict[str, list[int]] = {}
        for index, row in enumerate(rows):
            self._by_speaker.setdefault(row["speaker"], []).append(index)
        if alone := sorted(s for s, members in self._by_speaker.items() if len(members) < 2):
            raise DataError(f"speakers with a single utterance have none left for a voice prompt: {alone[:5]}")

    def other(self, index: int, rng: np.random.Generator) -> int:
        """Index of a random other utterance by the speaker of row ``index``."""
        members = self._by_speaker[self.rows[index]["speaker"]]
        choice = members[int(rng.integers(len(members) - 1))]
        return members[-1] if choice == index else choice

    def fixed(self, index: int, seed: int) -> int:
        """The same other utterance every time, whatever else is in the split: for evaluation, paired over runs."""
        return self.other(index, np.random.default_rng([seed, index]))


def codes_of(row: Row) -> torch.Tensor:
    """int64 ``(levels, frames)``."""
    return torch.tensor(row["codes"], dtype=torch.long)
