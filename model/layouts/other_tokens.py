"""Other tokens where a layout's speech begins and ends."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from model.frames.tokenizer import FrameTokenizer
from model.layouts.layout import Layout
from model.layouts.near_miss import NearMiss, NotTried, changed
from model.layouts.spec import Template
from model.layouts.template import TOKEN

# What a token that begins speech may be called, and one that ends it.
BEGINS = re.compile(r"start|begin|bos|speech|audio|task|gen|sos|prompt", re.IGNORECASE)
ENDS = re.compile(r"eos|end|stop|eot|</s>", re.IGNORECASE)
NUMBERED = re.compile(r"_\d(\|>|>)")  # a family may have taken reserved tokens, whose names say nothing
MOST_TOKENS = 24  # that are tried in a place


def other_stops(declared: Layout, configured: Sequence[int] = ()) -> list[int]:
    """Return tokens that could end the speech and are not the layout's first stop token.

    Args:
        configured: the end tokens of the model's own configuration.
    """
    tokenizer = declared.tokenizer
    if isinstance(tokenizer, FrameTokenizer):
        return []  # a frame ends the speech, and the model's configuration says which
    named = [tokenizer.find(name) for name in _called(declared, ENDS)]
    candidates = [*declared.stops[1:], *configured, *(i for i in named if i is not None)]
    taken = declared.code_tokens.all | {declared.stops[0]}
    return [i for i in dict.fromkeys(candidates) if i not in taken and i < tokenizer.size][:MOST_TOKENS]


def added_tokens(declared: Layout) -> list[str]:
    """Return names of the tokenizer's added tokens that are neither codes nor globals."""
    codes = declared.code_tokens.all | set(declared.global_tokens.tolist())
    tokens = declared.tokenizer.backend.get_added_tokens_decoder()
    codes_spec, size = declared.spec.codes, declared.code_tokens.size
    spare = {p.format(size + n) for p in codes_spec.patterns for n in range(codes_spec.spare)}
    if codes_spec.first or codes_spec.per_slot:
        spare = set()  # such a number may be a mark
    return [token.content for i, token in sorted(tokens.items()) if i not in codes and token.content not in spare]


def _called(declared: Layout, name: re.Pattern[str]) -> list[str]:
    """Return the added tokens with such a name, then those that are only numbered."""
    tokens = added_tokens(declared)
    called = [token for token in tokens if name.search(token)]
    return called + [token for token in tokens if NUMBERED.search(token) and token not in called]


def other_starts(declared: Layout) -> Iterator[NearMiss | NotTried]:
    """Yield layouts without the token that begins the speech, and with another one there."""
    spec, alone = declared.spec, False in declared.contexts
    contexts = {name: t for name, t in (("context", spec.context), ("prompted", spec.prompted)) if t is not None}
    named = {token for t in contexts.values() for token in TOKEN.findall(text_of(t))}
    starts = [token for token in dict.fromkeys(_start(t) for t in contexts.values()) if token]
    for token in starts:
        layout = changed(declared, **{name: _edit(t, _without, token) for name, t in contexts.items()})
        if layout is not None:
            yield NearMiss(f"without {token}", f"leave {token} out of context and prompted", layout, alone=alone)
    if not starts:
        yield NotTried("without the token that begins the speech", "the layout has none after the text")
    others = [token for token in _called(declared, BEGINS) if TOKEN.fullmatch(token)]
    others = [token for token in others if token not in named]
    if not others:
        yield NotTried("another token before the codes", "the tokenizer has no further one that is called like a start")
    for token in others[:MOST_TOKENS]:
        layout = changed(declared, **{name: _edit(t, _with, token) for name, t in contexts.items()})
        if layout is not None:
            hint = f"put {token} before the codes in context and prompted"
            yield NearMiss(f"with {token} before the codes", hint, layout, essential=False, alone=alone)


def text_of(template: Template) -> str:
    """Return a template's text; of messages all together."""
    return template if isinstance(template, str) else "".join(template.values())


def _edit(template: Template, edit: Callable[[str, str], str], token: str) -> Template:
    """Return the template with its last part edited: the assistant's message, or all of it."""
    if isinstance(template, str):
        return edit(template, token)
    return template | {"assistant": edit(template["assistant"], token)}


def _start(template: Template) -> str:
    """Return the last token before the codes that the model writes, or ""."""
    tokens = TOKEN.findall("".join(_before_codes(template if isinstance(template, str) else template["assistant"])[:2]))
    return tokens[-1] if tokens else ""


def _without(text: str, token: str) -> str:
    given, before, codes = _before_codes(text)
    place = before.rfind(token)
    return text if place < 0 else given + before[:place] + before[place + len(token) :] + codes


def _with(text: str, token: str) -> str:
    given, before, codes = _before_codes(text)
    return given + before + token + codes


def _before_codes(text: str) -> tuple[str, str, str]:
    """Split a template where the codes begin.

    A voice prompt's codes are continued, unless a token stands after them: then the codes begin there.
    """
    head, field, tail = text.partition("{prompt_codes}")
    return (head + field, tail, "") if TOKEN.search(tail) else ("", head, field + tail)
