"""Stage ``texts``: texts without a recording, each with a voice prompt. ``python -m tasks.texts``

Alignment needs a text and a voice, not a recording. ``data/texts/train.parquet`` is the pool that ``sample@k`` draws
from; those of dev and test are their second set, ``long``: texts longer than the recorded ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice

import pyarrow as pa
import typer

from tasks.common import params, paths, schemas
from tasks.common.files import ROWS_AT_A_TIME, atomic_path, write_row_groups
from tasks.common.stage import stage
from tasks.texts.recorded import Recorded
from tasks.texts.sets import make_sets


@stage
def main() -> None:
    """Write the texts of every split to data/texts."""
    sets = make_sets(params.load(), {split: Recorded.read(split) for split in paths.SPLITS})
    counts: Counter[str] = Counter()
    words: Counter[int] = Counter()  # of the pool's texts, by their number

    def parts(split: str) -> Iterator[pa.Table]:
        rows = iter(sets[split])
        while part := list(islice(rows, ROWS_AT_A_TIME)):
            counts[split] += len(part)
            if split == "train":
                words.update(len(row["text"].split()) for row in part)
            yield pa.Table.from_pylist(part, schema=schemas.TEXTS)

    with atomic_path(paths.TEXTS) as folder:
        folder.mkdir()
        for split in sets:
            write_row_groups(folder / paths.texts(split).name, parts(split), schemas.TEXTS)
    said = ", ".join(f"{counts[split]} of {split}" for split in sets)
    print(f"texts: {said}; the pool's have {min(words)} to {max(words)} words")


if __name__ == "__main__":
    typer.run(main)
