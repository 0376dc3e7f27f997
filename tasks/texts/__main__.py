"""Stage ``texts``: texts without a recording, each with a voice prompt. ``python -m tasks.texts``

Alignment needs a text and a voice, not a recording. ``data/texts/train.parquet`` is the pool that ``sample@k`` draws
from; those of dev and test are their second set, ``long``: texts longer than the recorded ones.
"""

from __future__ import annotations

import typer

from tasks.common import params, paths, schemas
from tasks.common.files import atomic_path, write_table
from tasks.common.stage import stage
from tasks.texts.recorded import Recorded
from tasks.texts.sets import make_sets


@stage
def main() -> None:
    """Write the texts of every split to data/texts."""
    sets = make_sets(params.load(), {split: Recorded.read(split) for split in paths.SPLITS})
    with atomic_path(paths.TEXTS) as folder:
        folder.mkdir()
        for split, rows in sets.items():
            write_table(folder / paths.texts(split).name, rows, schemas.TEXTS)
    counts = (f"{len(rows)} of {split}" for split, rows in sets.items())
    words = [len(row["text"].split()) for row in sets["train"]]
    print(f"texts: {', '.join(counts)}; the pool's have {min(words)} to {max(words)} words")


if __name__ == "__main__":
    typer.run(main)
