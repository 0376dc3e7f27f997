"""The pool of texts that a policy is sampled on."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.common import paths, schemas
from tasks.common.files import ROWS_AT_A_TIME, DataError, open_table
from tasks.common.utterances import Utterances


class Pool(Sized):
    """The pool of ``data/texts``: rows of ``schemas.TEXTS`` are read when they are asked for, and none is kept.

    Args:
        train: the utterances that are its voice prompts.

    Raises:
        DataError: a voice prompt that train lacks.
    """

    def __init__(self, train: Utterances):
        self._file = paths.texts("train")
        with open_table(self._file, schemas.TEXTS) as file:
            prompts = file.read(["prompt_id"])["prompt_id"]
        self._count = len(prompts)
        known = pc.is_in(prompts, value_set=train.ids.column())
        if unknown := pc.unique(prompts.filter(pc.invert(known))).to_pylist():
            raise DataError(f"{self._file} names voice prompts that train lacks: {sorted(unknown)[:5]}; run `texts`")

    def __len__(self) -> int:
        return self._count

    def rows(self, chosen: Iterable[int]) -> list[dict[str, Any]]:
        """Return the rows at these positions, in the order given."""
        return self._read(chosen, schemas.TEXTS.names)

    def prompts(self, chosen: Iterable[int]) -> list[str]:
        """Return the voice prompts' ids at these positions."""
        return [row["prompt_id"] for row in self._read(chosen, ["prompt_id"])]

    def _read(self, chosen: Iterable[int], columns: list[str]) -> list[dict[str, Any]]:
        wanted = np.fromiter(chosen, np.int64)
        places = np.unique(wanted)
        parts, first = [], 0
        with open_table(self._file, schemas.TEXTS) as file:
            for batch in file.iter_batches(ROWS_AT_A_TIME, columns=columns, use_threads=False):
                here = places[np.searchsorted(places, first) : np.searchsorted(places, first + len(batch))]
                parts.append(batch.take(pa.array(here - first)))
                first += len(batch)
        rows = [row for part in parts for row in part.to_pylist()]
        return [rows[i] for i in np.searchsorted(places, wanted)]
