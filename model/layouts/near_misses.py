"""Layouts that differ from a declared one in one thing that people get wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.errors import InputError
from model.frames.tokenizer import FrameTokenizer
from model.layouts.front_ends import prepare_text
from model.layouts.layout import Layout
from model.layouts.likelihood import TokenSequence
from model.layouts.spec import LayoutError, LayoutSpec, Template, read_layout, shipped
from model.layouts.speech import Speech, VoicePrompt
from model.layouts.template import TOKEN, other_order

FRONT_ENDS = ("as_is", "lower_case", "spell_numbers", "phonemes en-us")
# What a token that begins speech may be called, and one that ends it.
BEGINS = re.compile(r"start|begin|bos|speech|audio|task|gen|sos|prompt", re.IGNORECASE)
ENDS = re.compile(r"eos|end|stop|eot|</s>", re.IGNORECASE)
NUMBERED = re.compile(r"_\d(\|>|>)")  # a family may have taken reserved tokens, whose names say nothing
MOST_TOKENS = 24  # that are tried in a place


@dataclass(frozen=True)
class Recording:
    """A recording to score: its text, speaker, and codes.

    ``speech`` holds the codes by the speed at which the audio was read: 1.0, and others as if its sample rate were
    wrong. ``prompt`` is another recording of the speaker, or None.
    """

    text: str
    speaker: str
    speech: Mapping[float, Speech]
    prompt: Recording | None = None


@dataclass(frozen=True)
class NearMiss:
    """One way to be wrong. ``essential`` ones must be beaten; the others must only not fit better."""

    name: str
    hint: str  # what to change in the layout if it fits better
    layout: Layout
    essential: bool = True
    speed: float = 1.0
    shift: int = 0  # added to every code
    other_text: bool = False  # each recording has the text of the next
    late: bool = False  # every level above the first begins a frame later, as in a delay pattern
    alone: bool = False  # without voice prompts: after their codes, the token that begins them matters little

    def sequences(self, recordings: Sequence[Recording]) -> list[TokenSequence]:
        """Return context and target of each recording.

        Raises:
            InputError: a text, voice or codes that the layout cannot write.
        """
        texts = [recording.text for recording in recordings]
        texts = [*texts[1:], texts[0]] if self.other_text else texts
        return [self._one(recording, text) for recording, text in zip(recordings, texts, strict=True)]

    def _one(self, recording: Recording, text: str) -> TokenSequence:
        own = Speech(globals=recording.speech[self.speed].globals)  # of layouts that always write the voice
        voice, prompted = VoicePrompt(recording.speaker, speech=own), False
        if recording.prompt is not None and True in self.layout.contexts and not self.alone:
            voice = VoicePrompt(recording.speaker, recording.prompt.text, self._codes(recording.prompt))
            prompted = True
        target = self.layout.target(self._codes(recording), prompted=prompted)
        return TokenSequence(self.layout.context(text, voice), target)

    def _codes(self, recording: Recording) -> Speech:
        speech = recording.speech[self.speed]
        if self.late:
            first, *rest = (np.asarray(level) for level in speech.levels)
            speech = replace(speech, levels=(first, *(np.r_[level[:1], level[:-1]] for level in rest)))
        if not self.shift:
            return speech
        size = self.layout.code_tokens.size
        return replace(speech, levels=tuple((np.asarray(level) + self.shift) % size for level in speech.levels))


def near_misses(declared: Layout, recordings: Sequence[Recording]) -> Iterator[NearMiss]:
    """Yield everything that a declared layout must beat on these recordings."""
    first = declared.spec.codes.first
    for shift in (1, -1):
        yield NearMiss(f"codes {shift:+d}", f"codes.first: {first + shift}", declared, shift=shift)
    yield from _other_slots(declared)
    if isinstance(declared.tokenizer, FrameTokenizer):
        yield from _other_frames(declared)
    yield from _other_rates(declared, recordings)
    if len({recording.text for recording in recordings}) > 1:
        yield NearMiss("another recording's text", "the text seems not to matter", declared, other_text=True)
    yield from _other_front_ends(declared, recordings)
    yield from _other_starts(declared)
    yield from _other_layouts(declared)


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


def _changed(declared: Layout, **fields: object) -> Layout | None:
    """Return the layout with other fields, or None where the tokenizer does not have it."""
    try:
        spec = LayoutSpec.model_validate(declared.spec.model_dump() | fields)
        same = declared.code_tokens if spec.codes == declared.spec.codes else None
        return Layout.resolve(declared.name, spec, declared.tokenizer, same)
    except (LayoutError, ValueError):
        return None


def _other_slots(declared: Layout) -> Iterator[NearMiss]:
    slots = declared.spec.codes.slots
    for place in range(len(slots) - 1):
        if slots[place] != slots[place + 1]:
            other = [*slots]
            other[place], other[place + 1] = other[place + 1], other[place]
            layout = _changed(declared, codes=declared.spec.codes.model_dump() | {"slots": other})
            if layout is not None:
                yield NearMiss(f"slots {place} and {place + 1} swapped", f"codes.slots: {other}", layout)


def _other_frames(declared: Layout) -> Iterator[NearMiss]:
    """Yield what is wrong where levels are books of one frame: a delay pattern, a prompt's audio before its text."""
    if declared.code_tokens.n_levels > 1:
        hint = "the model was trained with a delay pattern, which this layout does not write"
        yield NearMiss("upper books a frame later", hint, declared, late=True)
    if isinstance(declared.spec.prompted, str):
        name, swapped = other_order(declared.spec.prompted)
        layout = _changed(declared, prompted=swapped) if swapped else None
        if layout is not None:
            yield NearMiss(name, f'prompted: "{swapped}"', layout)


def _other_rates(declared: Layout, recordings: Sequence[Recording]) -> Iterator[NearMiss]:
    for speed in sorted(set.intersection(*(set(recording.speech) for recording in recordings)) - {1.0}):
        hint = f"the audio was read as if it had {speed:.3g} times its sample rate: another codec, or another rate"
        yield NearMiss(f"audio at {speed:.3g} × its rate", hint, declared, speed=speed)


def _other_front_ends(declared: Layout, recordings: Sequence[Recording]) -> Iterator[NearMiss]:
    for front_end in FRONT_ENDS:
        try:
            same = all(
                prepare_text(r.text, [front_end]) == prepare_text(r.text, declared.spec.steps) for r in recordings
            )
        except InputError:
            continue
        layout = None if same else _changed(declared, text=front_end)
        if layout is not None and _reads(layout, recordings):
            yield NearMiss(f"text {front_end}", f"text: {front_end}", layout)


def _reads(layout: Layout, recordings: Sequence[Recording]) -> bool:
    """Say whether the layout can write the recordings at all: own characters cannot spell phonemes."""
    try:
        NearMiss("", "", layout).sequences(recordings)
    except InputError:
        return False
    return True


def _other_starts(declared: Layout) -> Iterator[NearMiss]:
    """Yield layouts without the token that begins the speech, and with another one there."""
    spec, alone = declared.spec, False in declared.contexts
    contexts = {name: t for name, t in (("context", spec.context), ("prompted", spec.prompted)) if t is not None}
    named = {token for t in contexts.values() for token in TOKEN.findall(_text(t))}
    starts = [token for token in dict.fromkeys(_start(t) for t in contexts.values()) if token]
    for token in starts:
        layout = _changed(declared, **{name: _edit(t, _without, token) for name, t in contexts.items()})
        if layout is not None:
            yield NearMiss(f"without {token}", f"leave {token} out of context and prompted", layout, alone=alone)
    others = [token for token in _called(declared, BEGINS) if TOKEN.fullmatch(token)]
    for token in [token for token in others if token not in named][:MOST_TOKENS]:
        layout = _changed(declared, **{name: _edit(t, _with, token) for name, t in contexts.items()})
        if layout is not None:
            hint = f"put {token} before the codes in context and prompted"
            yield NearMiss(f"with {token} before the codes", hint, layout, essential=False, alone=alone)


def _other_layouts(declared: Layout) -> Iterator[NearMiss]:
    for name in shipped():
        spec = read_layout(name)
        if spec == declared.spec or spec.word is not None or spec.globals is not None:
            continue
        try:
            layout = Layout.resolve(name, spec, declared.tokenizer)
        except LayoutError:
            continue
        if (layout.code_tokens.slots, layout.code_tokens.size) == (
            declared.code_tokens.slots,
            declared.code_tokens.size,
        ):
            yield NearMiss(f"layout {name}", f"--layout {name}", layout, essential=False)


def _text(template: Template) -> str:
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
