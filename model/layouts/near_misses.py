"""Layouts that differ from a declared one in one thing that people get wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from model.errors import InputError
from model.frames.tokenizer import FrameTokenizer
from model.layouts.fields import fields_of
from model.layouts.files import read_layout, shipped
from model.layouts.front_ends import prepare_text
from model.layouts.layout import Layout
from model.layouts.near_miss import NearMiss, NotTried, Recording, changed
from model.layouts.other_tokens import other_starts, text_of
from model.layouts.spec import LayoutError
from model.layouts.template import other_order

FRONT_ENDS = ("as_is", "lower_case", "spell_numbers", "phonemes en-us")


def near_misses(declared: Layout, recordings: Sequence[Recording]) -> Iterator[NearMiss | NotTried]:
    """Yield everything that a declared layout must beat on these recordings, and what cannot be tried."""
    first = declared.spec.codes.first
    for shift in (1, -1):
        yield NearMiss(f"codes {shift:+d}", f"codes.first: {first + shift}", declared, shift=shift)
    yield from _other_slots(declared)
    if isinstance(declared.tokenizer, FrameTokenizer):
        yield from _other_frames(declared)
    yield from _other_rates(declared, recordings)
    if len({recording.text for recording in recordings}) > 1:
        yield NearMiss("another recording's text", "the text seems not to matter", declared, other_text=True)
    else:
        yield NotTried("another recording's text", "all recordings have the same text")
    yield _other_speaker(declared, recordings)
    yield from _other_front_ends(declared, recordings)
    yield from other_starts(declared)
    yield from _other_layouts(declared)


def _other_slots(declared: Layout) -> Iterator[NearMiss | NotTried]:
    slots = declared.spec.codes.slots
    if len(set(slots)) == 1:
        yield NotTried("slots swapped", "all tokens are of one level")
    for place in range(len(slots) - 1):
        if slots[place] != slots[place + 1]:
            other = [*slots]
            other[place], other[place + 1] = other[place + 1], other[place]
            layout = changed(declared, codes=declared.spec.codes.model_dump() | {"slots": other})
            if layout is not None:
                yield NearMiss(f"slots {place} and {place + 1} swapped", f"codes.slots: {other}", layout)


def _other_frames(declared: Layout) -> Iterator[NearMiss | NotTried]:
    """Yield what is wrong where levels are books of one frame: a delay pattern, a prompt's audio before its text."""
    if declared.code_tokens.n_levels > 1:
        hint = "the model was trained with a delay pattern, which this layout does not write"
        yield NearMiss("upper books a frame later", hint, declared, late=True)
    else:
        yield NotTried("upper books a frame later", "there is one book")
    if isinstance(declared.spec.prompted, str):
        name, swapped = other_order(declared.spec.prompted)
        layout = changed(declared, prompted=swapped) if swapped else None
        if layout is not None:
            yield NearMiss(name, f'prompted: "{swapped}"', layout)


def _other_rates(declared: Layout, recordings: Sequence[Recording]) -> Iterator[NearMiss | NotTried]:
    speeds = sorted(set.intersection(*(set(recording.speech) for recording in recordings)) - {1.0})
    if not speeds:
        yield NotTried("audio at another rate", "the recordings were encoded at one rate")
    for speed in speeds:
        hint = f"the audio was read as if it had {speed:.3g} times its sample rate: another codec, or another rate"
        yield NearMiss(f"audio at {speed:.3g} × its rate", hint, declared, speed=speed)


def _other_speaker(declared: Layout, recordings: Sequence[Recording]) -> NearMiss | NotTried:
    """Return recordings in another speaker's voice: by name, and by voice prompt.

    It refuses no layout: which voices a model takes for one another is no matter of the layout.
    """
    name, spec = "another speaker", declared.spec
    templates = [text_of(template) for template in (spec.context, spec.prompted) if template is not None]
    if len({recording.speaker for recording in recordings}) < 2:
        return NotTried(name, "all recordings are by one speaker")
    prompted = True in declared.contexts and any(recording.prompt for recording in recordings)
    if not prompted and not {"speaker", "globals"} & set().union(*map(fields_of, templates)):
        lacking = "no speaker has two recordings" if spec.prompted else "the layout has neither name nor voice prompt"
        return NotTried(name, lacking)
    hint = "the voice seems not to matter: see the speakers' names in the CSV, or set policy.voice to none"
    return NearMiss(name, hint, declared, essential=False, decides=False, other_speaker=True)


def _other_front_ends(declared: Layout, recordings: Sequence[Recording]) -> Iterator[NearMiss | NotTried]:
    steps = declared.spec.steps
    for front_end in FRONT_ENDS:
        name = f"text {front_end}"
        if steps == [front_end]:
            continue
        try:
            if all(prepare_text(r.text, [front_end]) == prepare_text(r.text, steps) for r in recordings):
                yield NotTried(name, "these texts are the same in it")
                continue
            layout = changed(declared, text=front_end)
            assert layout is not None  # the tokens are the same
            NearMiss(name, "", layout).sequences(recordings)  # own characters cannot spell phonemes
        except InputError as error:
            yield NotTried(name, str(error))
            continue
        yield NearMiss(name, f"text: {front_end}", layout)


def _other_layouts(declared: Layout) -> Iterator[NearMiss | NotTried]:
    foreign, other_codes, voiced = [], [], []
    for name in shipped():
        spec = read_layout(name)
        if spec == declared.spec:
            continue
        if spec.word is not None or spec.globals is not None:
            voiced.append(name)
            continue
        try:
            layout = Layout.resolve(name, spec, declared.tokenizer)
        except LayoutError:
            foreign.append(name)
            continue
        tokens, own = layout.code_tokens, declared.code_tokens
        if (tokens.slots, tokens.size) == (own.slots, own.size):
            yield NearMiss(f"layout {name}", f"--layout {name}", layout, essential=False)
        else:
            other_codes.append(name)
    for names, reason in (
        (foreign, "the tokenizer lacks their tokens"),
        (other_codes, "other slots, or another number of codes"),
        (voiced, "they need a codec's voice, or an alignment of words"),
    ):
        if names:
            yield NotTried(f"layout {', '.join(names)}", reason)
