"""An iteration's judgements as a table: written, and read again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from model.judges.panel import Judgement, judgement_of
from tasks.common import paths, schemas
from tasks.common.files import DataError
from tasks.common.rows import Row, read_rows


def judgement_rows(samples: Sequence[Row], judgements: Sequence[Judgement], judge: str) -> Iterator[Row]:
    """Yield rows of ``schemas.JUDGEMENTS``, one per sample, in the samples' order; ``judge`` names who judged."""
    for sample, j in zip(samples, judgements, strict=True):
        yield {
            **{name: sample[name] for name in ("id", "draw", "seed")},
            **{name: getattr(j, name) for name in ("hypothesis", "word_errors", "words", "similarity")},
            "judge": judge,
        }


def judged_before(samples: Sequence[Row], judge: str, iteration: str) -> list[Judgement]:
    """Return the judgements that ``runs/<iteration>/judgements.parquet`` holds of these samples.

    Raises:
        DataError: they are of other samples or by another judge.
    """
    file = paths.judgements(iteration)
    rows = read_rows(file, schemas.JUDGEMENTS)
    both = zip(rows, samples, strict=False)
    same = all((r["id"], r["seed"], r["judge"]) == (s["id"], s["seed"], judge) for r, s in both)
    if not same or len(rows) != len(samples):
        raise DataError(f"{file} is not {judge}'s judgement of {paths.samples(iteration)}; run without --judged")
    return [
        judgement_of(sample["text"], row["hypothesis"], row["similarity"])
        for sample, row in zip(samples, rows, strict=True)
    ]
