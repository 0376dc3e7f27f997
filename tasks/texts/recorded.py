"""Facts of a split's recorded utterances, without their codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.common import paths, schemas
from tasks.common.files import ROWS_AT_A_TIME, DataError, open_table
from tasks.common.named import Named
from tasks.common.spill import Spill, Strings


@dataclass(frozen=True)
class Recorded:
    """Utterances of one split: ids, texts, and each speaker's utterances as positions. Its strings lie on disk."""

    split: str
    ids: Sequence[str]
    texts: Sequence[str]
    speakers: Sequence[str]
    members: Mapping[str, Sequence[int] | np.ndarray]
    seen: Mapping[str, bool]  # by speaker

    @classmethod
    def read(cls, split: str) -> Recorded:
        """Read a split's utterances from ``data/codes``.

        Raises:
            DataError: the file is missing or damaged, or a speaker has one utterance only.
        """
        spill = Spill(paths.STATE)
        ids, texts = Strings(spill), Strings(spill)
        speakers, seen = Named(), dict[str, bool]()
        with open_table(paths.codes(split), schemas.CODES) as file:
            for batch in file.iter_batches(ROWS_AT_A_TIME, columns=["id", "text", "speaker", "seen"]):
                ids.add(batch["id"])
                texts.add(batch["text"])
                speakers.add(batch["speaker"])
                seen |= zip(batch["speaker"].to_pylist(), batch["seen"].to_pylist(), strict=True)
        members = speakers.members()
        if alone := sorted(name for name, own in members.items() if len(own) < 2):
            raise DataError(
                f"speakers with a single utterance in {split} have none left for a voice prompt: {alone[:5]}"
            )
        return cls(split, ids, texts, speakers, members, seen)

    def prompt(self, speaker: str, rng: np.random.Generator, other_than: int | None = None) -> str:
        """Return the id of a random utterance by the speaker, not at the position ``other_than``."""
        own = self.members[speaker]
        choice = own[int(rng.integers(len(own) - (other_than is not None)))]
        return self.ids[own[-1] if choice == other_than else choice]
