"""Samples that were cut off at the length limit, and what can still be learned from the others."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tasks.common.files import DataError
from tasks.common.params import Params
from tasks.common.params.aligning import CHOOSE_FINISHED


def check_finished(finished: Sequence[bool], params: Params) -> None:
    """Warn where most samples were cut off.

    Raises:
        DataError: all were, and ``prefer.source`` chooses among finished ones.
    """
    cut_off, total = len(finished) - sum(finished), len(finished)
    if cut_off <= total / 2:
        return
    message = (
        f"{cut_off} of {total} samples were cut off at {params.decoding.max_frames_per_character:g} frames per "
        "character; raise decoding.max_frames_per_character, or start from a policy that ends its sentences"
    )
    if cut_off == total and params.prefer.source in CHOOSE_FINISHED:
        raise DataError(f"{message}: prefer.source {params.prefer.source} chooses none that was cut off")
    print(f"warning: {message}", file=sys.stderr)
