"""Golden utterances of one split: 31 bytes of memory for each, however long it is, and the rest on disk.

Codes, ids and texts are in a file without a name (:mod:`tasks.common.spill`). Rows and arrays are read from it when
they are asked for.
"""

from __future__ import annotations

import copy
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from tasks.common import cuts, paths, schemas
from tasks.common.by_position import ByPosition
from tasks.common.codes import Codes, codes_column
from tasks.common.files import DataError, open_table
from tasks.common.named import Named
from tasks.common.spill import Cells, Spill, Strings

Row = dict[str, Any]  # of schemas.CODES; "codes" is uint16 (levels, frames)
ROWS_AT_A_TIME = 1024  # decoded from parquet, which takes ten bytes per code for a moment


class Utterances(ByPosition[Row]):
    """Utterances by position; ``codes`` and ``level1`` by position too.

    Args:
        batches: of ``schemas.CODES``.
        folder: on the disk that holds what is not in memory; None: the system's folder of temporary files.
    """

    def __init__(self, batches: Iterable[pa.RecordBatch], folder: Path | None = None):
        self._spill = Spill(folder)
        self.ids, self.texts = Strings(self._spill), Strings(self._spill)
        self._codes, self._voices = Codes(self._spill), Cells(self._spill, 4)
        self.speakers = Named()
        seen, seconds = [np.zeros(0, bool)], [np.zeros(0)]
        for batch in batches:
            self.ids.add(batch["id"])
            self.texts.add(batch["text"])
            self._codes.add(batch["codes"])
            lengths = pc.fill_null(pc.list_value_length(batch["voice"]), 0).to_numpy()
            self._voices.add(batch["voice"].flatten().to_numpy(), np.cumsum([0, *lengths]))
            self.speakers.add(batch["speaker"])
            seen.append(batch["seen"].to_numpy(zero_copy_only=False))
            seconds.append(batch["seconds"].to_numpy(zero_copy_only=False))
        self.seen, self.seconds = np.concatenate(seen), np.concatenate(seconds)

    @classmethod
    def read(cls, split: str, levels: int | None = None) -> Utterances:
        """Read a split's golden utterances.

        Args:
            levels: keep the codes of this many levels only; None: all.

        Raises:
            DataError: the file is missing, unreadable, or has other columns than ``schemas.CODES``; or the disk is
                full.
        """
        with open_table(paths.codes(split), schemas.CODES) as file:
            return cls(_batches(file, levels), paths.STATE)

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Utterances:
        """Utterances of rows in memory."""
        return cls(pa.Table.from_pylist(list(rows), schema=schemas.CODES).to_batches())

    def with_codes(self, codes: Iterable[Sequence[np.ndarray]]) -> Utterances:
        """The same utterances with other codes ``(levels, frames)``, given a part of them after another."""
        other = copy.copy(self)
        other._codes = Codes(self._spill)
        for part in codes:
            other._codes.add(codes_column(part))
        return other

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, index: int) -> Row:
        return {
            "id": self.ids[index],
            "speaker": self.speakers[index],
            "text": self.texts[index],
            "seen": bool(self.seen[index]),
            "seconds": float(self.seconds[index]),
            "codes": self._codes[index],
            "voice": list(self.voice(index)) or None,
        }

    @property
    def frames(self) -> np.ndarray:
        """Frames of each utterance, int32 ``(utterances,)``."""
        return self._codes.frames

    def voice(self, index: int) -> tuple[float, ...]:
        """What the codec's decoder takes of an utterance's voice; () where it takes nothing."""
        return tuple(np.frombuffer(self._voices.read(index), np.float32).tolist())

    def n_rows(self, index: int) -> int:
        """Rows of an utterance's codes."""
        return int(self._codes.rows[index])

    def rows(self, index: int) -> np.ndarray:
        """Codes of an utterance as the table holds them, uint16 ``(rows, frames)``; not to be written to."""
        return self._codes[index]

    def codes(self, index: int) -> torch.Tensor:
        """Codes of an utterance for a model, int64 ``(levels, frames)``."""
        return torch.from_numpy(self._codes[index].astype(np.int64))

    def level1(self, index: int) -> np.ndarray:
        """Level-1 codes of an utterance, uint16 ``(frames,)``; not to be written to."""
        return self._codes.first_row(index)

    # --- by id ------------------------------------------------------------------------------------------------------

    @cached_property
    def order(self) -> np.ndarray:
        """Positions in the order of the ids ``(utterances,)``."""
        return pc.sort_indices(self.ids.column()).to_numpy().astype(np.int32)

    def find(self, utterance: str) -> int:
        """Position of an id.

        Raises:
            KeyError: there is no such utterance.
        """
        place = bisect_left(self.order, utterance, key=self.ids.__getitem__)
        if place == len(self) or self.ids[self.order[place]] != utterance:
            raise KeyError(utterance)
        return int(self.order[place])

    @property
    def by_id(self) -> Mapping[str, Row]:
        """Rows by id."""
        return _ById(self)

    # --- voice prompts ----------------------------------------------------------------------------------------------

    @cached_property
    def _members(self) -> list[np.ndarray]:
        """Positions of each speaker's utterances.

        Raises:
            DataError: a speaker with a single utterance, which can't be prompted by another.
        """
        members = self.speakers.members()
        if alone := sorted(name for name, own in members.items() if len(own) < 2):
            raise DataError(f"speakers with a single utterance have none left for a voice prompt: {alone[:5]}")
        return list(members.values())

    def other(self, index: int, rng: np.random.Generator) -> int:
        """Position of a random other utterance by the speaker of utterance ``index``: its voice prompt."""
        members = self._members[self.speakers.numbers[index]]
        choice = int(members[rng.integers(len(members) - 1)])
        return int(members[-1]) if choice == index else choice

    def fixed(self, index: int, seed: int) -> int:
        """Position of the same other utterance every time, for evaluation paired over runs."""
        return self.other(index, np.random.default_rng([seed, index]))

    def random_prompt(self, index: int, frames: int | None, rng: np.random.Generator) -> tuple[int, np.ndarray]:
        """Position and a random crop ``(levels, up to frames)``, or all, of another utterance by the speaker.

        Crops that start anywhere keep a policy from learning where prompts begin.
        """
        other = self.other(index, rng)
        codes = self._codes[other]
        if frames is None:
            return other, codes
        start = int(rng.integers(max(0, codes.shape[1] - frames) + 1))
        return other, codes[:, start : start + frames]


def _batches(file: pq.ParquetFile, levels: int | None) -> Iterator[pa.RecordBatch]:
    place = schemas.CODES.get_field_index("codes")
    for batch in file.iter_batches(ROWS_AT_A_TIME, use_threads=False):
        if levels is not None:
            kept = pc.list_slice(batch.column(place), 0, levels)
            batch = batch.set_column(place, schemas.CODES.field(place), kept)
        yield batch


class _ById(Mapping[str, Row]):
    def __init__(self, utterances: Utterances):
        self._utterances = utterances

    def __getitem__(self, utterance: str) -> Row:
        return self._utterances[self._utterances.find(utterance)]

    def __contains__(self, utterance: object) -> bool:
        try:
            self._utterances.find(str(utterance))
        except KeyError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self._utterances.ids)

    def __len__(self) -> int:
        return len(self._utterances)


def load_waves(split: str, ids: Iterable[str]) -> dict[str, np.ndarray]:
    """Golden waveforms of these utterances, mono float32 ``(samples,)``, read through their cuts.

    Raises:
        DataError: damaged cuts, or the split lacks an id.
    """
    ids = list(dict.fromkeys(ids))
    return dict(zip(ids, cuts.waves(split, ids), strict=True))
