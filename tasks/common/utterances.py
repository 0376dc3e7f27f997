"""Golden utterances of one split, held as Arrow columns: two bytes per code, however large the corpus.

Python lists of the same codes take 27 to 33 bytes per code. Rows and arrays are made when they are asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from tasks.common import cuts, paths, schemas
from tasks.common.codes import codes_column
from tasks.common.files import DataError, open_table

Row = dict[str, Any]  # of schemas.CODES; "codes" is uint16 (levels, frames)
ROWS_AT_A_TIME = 1024  # decoded from parquet, which takes ten bytes per code for a moment


class Strings(Sequence[str]):
    """A column of text. Each access makes one Python string."""

    def __init__(self, column: pa.ChunkedArray):
        self.array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self.array[index].to_pylist() if isinstance(index, slice) else self.array[index].as_py()

    def lengths(self) -> np.ndarray:
        """Characters of each, int32 ``(utterances,)``."""
        return pc.utf8_length(self.array).to_numpy()


class Utterances(Sequence[Row]):
    """Utterances by position; ``codes`` and ``level1`` by position too.

    Args:
        table: of ``schemas.CODES``.
    """

    def __init__(self, table: pa.Table):
        facts = table.drop_columns("codes").combine_chunks()
        self.ids, self.texts, self.speakers = (Strings(facts[name]) for name in ("id", "text", "speaker"))
        self.seen, self.seconds = (facts[name].to_numpy() for name in ("seen", "seconds"))
        self._facts = facts
        self._chunks = [_Chunk.of(chunk) for chunk in table["codes"].chunks if len(chunk)]
        self._first = np.cumsum([0, *(len(chunk) for chunk in self._chunks)])

    @classmethod
    def read(cls, split: str, levels: int | None = None) -> Utterances:
        """Read a split's golden utterances.

        Args:
            levels: keep the codes of this many levels only, to hold less; None: all.

        Raises:
            DataError: the file is missing, unreadable, or has other columns than ``schemas.CODES``.
        """
        place, batches = schemas.CODES.get_field_index("codes"), []
        with open_table(paths.codes(split), schemas.CODES) as file:
            for batch in file.iter_batches(ROWS_AT_A_TIME, use_threads=False):
                if levels is not None:
                    kept = pc.list_slice(batch.column(place), 0, levels)
                    batch = batch.set_column(place, schemas.CODES.field(place), kept)
                batches.append(batch)
        return cls(pa.Table.from_batches(batches, schemas.CODES))

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Utterances:
        """Utterances of rows in memory."""
        return cls(pa.Table.from_pylist(list(rows), schema=schemas.CODES))

    def with_codes(self, codes: Iterable[Sequence[np.ndarray]]) -> Utterances:
        """The same utterances with other codes ``(levels, frames)``, given a part of them after another."""
        column = pa.chunked_array([codes_column(part) for part in codes], schemas.CODES.field("codes").type)
        place = schemas.CODES.get_field_index("codes")
        return Utterances(self._facts.add_column(place, schemas.CODES.field("codes"), column))

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        if not 0 <= index < len(self):
            raise IndexError(f"utterance {index} of {len(self)}")
        return {
            "id": self.ids[index],
            "speaker": self.speakers[index],
            "text": self.texts[index],
            "seen": bool(self.seen[index]),
            "seconds": float(self.seconds[index]),
            "codes": self._codes(index),
            "voice": list(self.voice(index)) or None,
        }

    @cached_property
    def frames(self) -> np.ndarray:
        """Frames of each utterance, int32 ``(utterances,)``."""
        return np.concatenate([np.zeros(0, np.int32), *(chunk.frames() for chunk in self._chunks)])

    def _codes(self, index: int) -> np.ndarray:
        """Codes of an utterance, uint16 ``(levels, frames)``; a view, not to be written to."""
        chunk = int(np.searchsorted(self._first, index, side="right")) - 1
        return self._chunks[chunk].codes(index - int(self._first[chunk]))

    def voice(self, index: int) -> tuple[float, ...]:
        """What the codec's decoder takes of an utterance's voice; () where it takes nothing."""
        return tuple(self._facts["voice"][index].as_py() or ())

    def rows(self, index: int) -> np.ndarray:
        """Codes of an utterance as the table holds them ``(rows, frames)``; a view, not to be written to."""
        return self._codes(index)

    def codes(self, index: int) -> torch.Tensor:
        """Codes of an utterance for a model, int64 ``(levels, frames)``."""
        return torch.from_numpy(self._codes(index).astype(np.int64))

    def level1(self, index: int) -> np.ndarray:
        """Level-1 codes of an utterance, uint16 ``(frames,)``; a view, not to be written to."""
        return self._codes(index)[0]

    # --- by id ------------------------------------------------------------------------------------------------------

    @cached_property
    def order(self) -> np.ndarray:
        """Positions in the order of the ids ``(utterances,)``."""
        return pc.sort_indices(self.ids.array).to_numpy().astype(np.int32)

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
    def _voices(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """Number of each utterance's speaker, and the positions of each speaker's utterances.

        Raises:
            DataError: a speaker with a single utterance, which can't be prompted by another.
        """
        encoded = self.speakers.array.dictionary_encode()
        speaker, names = encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
        counts = np.bincount(speaker, minlength=len(names))
        if alone := sorted(name for name, count in zip(names, counts, strict=True) if count < 2):
            raise DataError(f"speakers with a single utterance have none left for a voice prompt: {alone[:5]}")
        return speaker, np.split(np.argsort(speaker, kind="stable").astype(np.int32), np.cumsum(counts)[:-1])

    def other(self, index: int, rng: np.random.Generator) -> int:
        """Position of a random other utterance by the speaker of utterance ``index``: its voice prompt."""
        speaker, members_of = self._voices
        members = members_of[speaker[index]]
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
        codes = self._codes(other)
        if frames is None:
            return other, codes
        start = int(rng.integers(max(0, codes.shape[1] - frames) + 1))
        return other, codes[:, start : start + frames]


class _Chunk:
    """Codes of consecutive utterances: bounds of utterances among lists, of lists among values, and the values."""

    def __init__(self, outer: np.ndarray, inner: np.ndarray, values: np.ndarray):
        self.outer, self.inner, self.values = outer, inner, values

    @classmethod
    def of(cls, column: pa.ListArray) -> _Chunk:
        lists = column.values
        return cls(column.offsets.to_numpy(), lists.offsets.to_numpy(), lists.values.to_numpy())

    def __len__(self) -> int:
        return len(self.outer) - 1

    def frames(self) -> np.ndarray:
        first = self.outer[:-1]
        return self.inner[first + 1] - self.inner[first]

    def codes(self, index: int) -> np.ndarray:
        first, end = int(self.outer[index]), int(self.outer[index + 1])
        return self.values[self.inner[first] : self.inner[end]].reshape(end - first, -1)


class _ById(Mapping[str, Row]):
    def __init__(self, utterances: Utterances):
        self._utterances = utterances

    def __getitem__(self, utterance: str) -> Row:
        return self._utterances[self._utterances.find(utterance)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._utterances.ids)

    def __len__(self) -> int:
        return len(self._utterances)


def load_waves(split: str, ids: Iterable[str]) -> dict[str, np.ndarray]:
    """Golden waveforms of these utterances, mono float32 ``(samples,)``, read through their cuts.

    Raises:
        DataError: damaged cuts, or the split lacks an id.
    """
    wanted = set(ids)
    waves = {cut.id: cut.load_audio()[0] for cut in cuts.read(split) if cut.id in wanted}
    if missing := wanted - waves.keys():
        raise DataError(f"{paths.cuts(split)} lacks {sorted(missing)[:5]}; run `prepare` and `extract` again")
    return waves
