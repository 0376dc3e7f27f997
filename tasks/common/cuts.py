"""The cuts of a split, ``data/cuts/*.jsonl.gz``: one JSON object per utterance."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tasks.common import paths
from tasks.common.files import DataError
from tasks.common.rows import Rows

if TYPE_CHECKING:
    import numpy as np
    from lhotse.cut import Cut


def read(split: str) -> Iterator[Cut]:
    """Yield a split's cuts, one in memory at a time.

    Raises:
        DataError: as :func:`rows`, or a line is no cut.
    """
    return (_cut(split, row) for row in rows(split))


def waves(split: str, ids: Iterable[str]) -> Iterator[np.ndarray]:
    """Yield the recordings of these utterances in the order given, mono float32 ``(samples,)``, one at a time.

    Raises:
        DataError: as :func:`read`, or the split lacks an id.
    """
    ids = list(ids)
    wanted = set(ids)
    found = Rows(row for row in rows(split) if row.get("id") in wanted)
    places = {row["id"]: place for place, row in enumerate(found)}
    if missing := wanted - places.keys():
        raise DataError(f"{paths.cuts(split)} lacks {sorted(missing)[:5]}; run `prepare` and `extract` again")
    return (_cut(split, found[places[id_]]).load_audio()[0] for id_ in ids)


def waves_in_order(split: str, ids: Iterable[str]) -> Iterator[np.ndarray]:
    """Yield the recordings of a split's utterances as :func:`waves` does, however many they are.

    Args:
        ids: in the order in which the cuts are, which the tables that ``extract`` writes have too.

    Raises:
        DataError: as :func:`read`; or an id that the split lacks, or has before another that came first.
    """
    left = rows(split)
    for id_ in ids:
        row = next((row for row in left if row.get("id") == id_), None)
        if row is None:
            raise DataError(f"{paths.cuts(split)} lacks {id_}, or has it elsewhere; run `prepare` and `extract` again")
        yield _cut(split, row).load_audio()[0]


def rows(split: str) -> Iterator[dict[str, Any]]:
    """Yield a split's cuts as they are written, without lhotse.

    Raises:
        DataError: the file is missing, is not gzip, ends early, or has a line that is no JSON object.
    """
    file = paths.cuts(split)
    if not file.is_file():
        raise DataError(f"{file} does not exist; run `prepare` first")
    try:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError(f"a line holds {type(row).__name__}, not a cut")
                yield row
    except (gzip.BadGzipFile, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise _damaged(split, error) from error


def _cut(split: str, row: dict[str, Any]) -> Cut:
    from lhotse.serialization import deserialize_item  # seconds, which stages that read no audio need not spend

    try:
        return deserialize_item(row)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise _damaged(split, error) from error


def _damaged(split: str, error: Exception) -> DataError:
    return DataError(f"{paths.cuts(split)} is not readable as cuts ({error}); run `prepare` again")
