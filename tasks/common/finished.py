"""Samples that were cut off at the length limit, and what can still be learned from the others."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from model.layouts.files import LAYOUT_FILE, read_layout
from tasks.common import paths
from tasks.common.files import DataError
from tasks.common.params import Params
from tasks.common.params.aligning import CHOOSE_FINISHED


def why_alike(finished: Sequence[bool], wers: Sequence[float], params: Params) -> str | None:
    """Return what to do where all samples fail alike, whatever is compared with what; None where they do not.

    Args:
        wers: of all samples, 1 for one without a word of its text.
    """
    if not any(finished):
        return (
            f"all {len(finished)} samples were cut off at {params.decoding.max_frames_per_character:g} frames per "
            "character: raise decoding.max_frames_per_character, or start from a policy that ends its sentences"
        )
    if min(wers) >= 1:
        return (
            f"no sample of {len(wers)} has fewer errors than its text has words: start from a policy that reads its "
            "texts, lower decoding.temperature, or look at the recognizer (models.recognizer)"
        )
    return None


def golden_instead(params: Params) -> str:
    """Return how to try the loop with a policy whose samples give no pair; "" where it cannot take recordings."""
    layout = paths.ar("0") / LAYOUT_FILE
    if layout.is_file() and read_layout(str(layout)).word is not None:
        return ""  # words stand between its codes, and no recording's are aligned
    corpus = "" if params.texts.sample == "corpus" else " and texts.sample to corpus"
    return f"; to try the loop with an untrained policy, set prefer.source to golden{corpus}"


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
        chooses = f"prefer.source {params.prefer.source} chooses none that was cut off"
        raise DataError(f"{message}: {chooses}{golden_instead(params)}")
    print(f"warning: {message}", file=sys.stderr)
