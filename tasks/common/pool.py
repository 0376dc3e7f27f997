"""The pool of texts that a policy is sampled on."""

from __future__ import annotations

from typing import Any

from tasks.common import paths, schemas
from tasks.common.files import DataError, read_table
from tasks.common.utterances import Utterances


def read_pool(train: Utterances) -> list[dict[str, Any]]:
    """Return the pool of ``data/texts``: rows of ``schemas.TEXTS``.

    Args:
        train: the utterances that are its voice prompts.
    Raises:
        DataError: a voice prompt that train lacks.
    """
    pool = read_table(paths.texts("train"), schemas.TEXTS)
    if unknown := {row["prompt_id"] for row in pool} - train.by_id.keys():
        raise DataError(
            f"{paths.texts('train')} names voice prompts that train lacks: {sorted(unknown)[:5]}; run `texts`"
        )
    return pool
