"""What the loop asks of a layout: nothing but codes in a sample, and the speech of a sample that breaks the rules."""

from __future__ import annotations

import numpy as np

from model.layouts.layout import Ids, Layout
from model.layouts.spec import LayoutError
from model.layouts.speech import Speech


def check_codes_alone(layout: Layout) -> None:
    """Refuse a layout in which a policy writes more than codes: samples and pairs hold nothing else.

    Raises:
        LayoutError: words or features between the codes, or tokens before them.
    """
    if layout.spec.word is not None or {layout.spec.completion, layout.spec.prompted_completion} != {"{codes}"}:
        raise LayoutError(
            f"layout {layout.name}: a policy to align writes nothing but codes and a stop token; put tokens that "
            "stand before the codes at the end of context; words between codes need alignments, which no stage has"
        )


def salvaged(layout: Layout, tokens: Ids) -> Speech:
    """Return the speech of a sample (without its stop) up to the first token that breaks the order of slots.

    A policy may draw any code in any place. What stands after a code of another slot has no meaning.
    """
    codes, n_slots = layout.code_tokens, len(layout.code_tokens.slots)
    ids = np.asarray(tokens, dtype=np.int64)
    fits = [codes.fits(place % n_slots, token) for place, token in enumerate(ids.tolist())]
    n = fits.index(False) if False in fits else len(ids)
    return Speech(codes.read(ids[: n - n % n_slots].tolist(), layout.tokenizer))
