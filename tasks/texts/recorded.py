"""Facts of a split's recorded utterances, without their codes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from tasks.common import paths, schemas
from tasks.common.files import DataError, open_table


@dataclass(frozen=True)
class Recorded:
    """Utterances of one split: ids, texts, and each speaker's utterances as positions."""

    split: str
    ids: list[str]
    texts: list[str]
    speakers: list[str]
    members: dict[str, list[int]]
    seen: dict[str, bool]  # by speaker

    @classmethod
    def read(cls, split: str) -> Recorded:
        """Read a split's utterances from ``data/codes``.

        Raises:
            DataError: the file is missing or damaged, or a speaker has one utterance only.
        """
        with open_table(paths.codes(split), schemas.CODES) as file:
            columns = file.read(columns=["id", "text", "speaker", "seen"])
        ids, texts, speakers, seen = (columns[name].to_pylist() for name in ("id", "text", "speaker", "seen"))
        members = defaultdict(list)
        for index, speaker in enumerate(speakers):
            members[speaker].append(index)
        if alone := sorted(speaker for speaker, own in members.items() if len(own) < 2):
            raise DataError(
                f"speakers with a single utterance in {split} have none left for a voice prompt: {alone[:5]}"
            )
        return cls(split, ids, texts, speakers, dict(members), dict(zip(speakers, seen, strict=True)))

    def prompt(self, speaker: str, rng: np.random.Generator, other_than: int | None = None) -> str:
        """Return the id of a random utterance by the speaker, not at the position ``other_than``."""
        own = self.members[speaker]
        choice = own[int(rng.integers(len(own) - (other_than is not None)))]
        return self.ids[own[-1] if choice == other_than else choice]
