"""An iteration's judgements as a table: written, and read again."""

from __future__ import annotations

from model.judges.panel import Judgement, judgement_of
from tasks.common import paths, schemas
from tasks.common.files import DataError, read_table
from tasks.common.utterances import Row


def judgement_rows(samples: list[Row], judgements: list[Judgement], judge: str) -> list[Row]:
    """Rows of ``schemas.JUDGEMENTS``, one per sample, in the samples' order; ``judge`` names who judged."""
    return [
        {
            **{name: sample[name] for name in ("id", "draw", "seed")},
            **{name: getattr(j, name) for name in ("hypothesis", "word_errors", "words", "similarity")},
            "judge": judge,
        }
        for sample, j in zip(samples, judgements, strict=True)
    ]


def judged_before(samples: list[Row], judge: str, iteration: str) -> list[Judgement]:
    """Return the judgements that ``runs/<iteration>/judgements.parquet`` holds of these samples.

    Raises:
        DataError: they are of other samples or by another judge.
    """
    file = paths.judgements(iteration)
    rows = read_table(file, schemas.JUDGEMENTS)
    expected = [(sample["id"], sample["seed"], judge) for sample in samples]
    if [(row["id"], row["seed"], row["judge"]) for row in rows] != expected:
        raise DataError(f"{file} is not {judge}'s judgement of {paths.samples(iteration)}; run without --judged")
    return [
        judgement_of(sample["text"], row["hypothesis"], row["similarity"])
        for sample, row in zip(samples, rows, strict=True)
    ]
