"""What the loop asks of a layout: samples of codes or words, and the speech of a sample that breaks the rules."""

from __future__ import annotations

import numpy as np

from model.layouts.fields import fields_of
from model.layouts.layout import Ids, Layout
from model.layouts.spec import LayoutError, Template
from model.layouts.speech import Speech
from model.layouts.template import TOKEN

CODES = "{codes}"


def given_starts(layout: Layout) -> Layout:
    """Return the layout with the tokens that stand before the codes at the end of the context.

    They are always the same, so giving them leaves the distribution of what follows as it is.
    """
    spec = layout.spec
    starts = [completion.removesuffix(CODES) for completion in (spec.completion, spec.prompted_completion)]
    if starts == ["", ""] or any(TOKEN.sub("", start) for start in starts):
        return layout
    changed = spec.model_copy(
        update={
            "context": _continued(spec.context, starts[0]),
            "prompted": _continued(spec.prompted, starts[1]),
            "completion": CODES,
            "prompted_completion": CODES,
        }
    )
    return Layout.resolve(layout.name, changed, layout.tokenizer, layout.code_tokens)


def _continued(template: Template | None, start: str) -> Template | None:
    if isinstance(template, dict):
        return template | {"assistant": template["assistant"] + start}
    return template if template is None else template + start


def check_codes_alone(layout: Layout) -> None:
    """Refuse a layout in which a policy writes more than codes, or words with codes.

    Raises:
        LayoutError: features or other tokens before codes that no words hold.
    """
    completions = (layout.spec.completion, layout.spec.prompted_completion)
    if any(completion != CODES and "words" not in fields_of(completion) for completion in completions):
        raise LayoutError(
            f"layout {layout.name}: a policy to align writes nothing but codes and a stop token, or words with their "
            "codes; give what stands before the codes at the end of context"
        )


def salvaged(layout: Layout, tokens: Ids) -> Speech:
    """Return the speech of a sample (without its stop) up to the first token that breaks the order of slots.

    A policy may draw any code in any place. What stands after a code of another slot has no meaning.
    """
    codes, n_slots = layout.code_tokens, len(layout.code_tokens.slots)
    ids = np.asarray(tokens, dtype=np.int64)
    if layout.spec.word is not None:
        ids = ids[np.isin(ids, codes.ids)]  # words, marks and features are no sound
    fits = [codes.fits(place % n_slots, token) for place, token in enumerate(ids.tolist())]
    n = fits.index(False) if False in fits else len(ids)
    return Speech(codes.read(ids[: n - n % n_slots].tolist(), layout.tokenizer))
