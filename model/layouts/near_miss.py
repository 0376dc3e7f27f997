"""One way to be wrong about a layout, and the sequences that recordings have in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.layouts.layout import Layout
from model.layouts.likelihood import TokenSequence
from model.layouts.spec import LayoutError, LayoutSpec
from model.layouts.speech import Speech, VoicePrompt


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
    other_speaker: bool = False  # each recording has the voice of another one's speaker
    decides: bool = True  # a layout that it fits better is refused
    alone: bool = False  # without voice prompts: after their codes, the token that begins them matters little

    def sequences(self, recordings: Sequence[Recording]) -> list[TokenSequence]:
        """Return context and target of each recording.

        Raises:
            InputError: a text, voice or codes that the layout cannot write.
        """
        texts = [recording.text for recording in recordings]
        texts = [*texts[1:], texts[0]] if self.other_text else texts
        voices = [_by_another(recordings, i) for i in range(len(recordings))] if self.other_speaker else recordings
        return [self._one(*each) for each in zip(recordings, texts, voices, strict=True)]

    def _one(self, recording: Recording, text: str, voiced: Recording) -> TokenSequence:
        own = Speech(globals=voiced.speech[self.speed].globals)  # of layouts that always write the voice
        voice, prompted = VoicePrompt(voiced.speaker, speech=own), False
        if voiced.prompt is not None and True in self.layout.contexts and not self.alone:
            voice = VoicePrompt(voiced.speaker, voiced.prompt.text, self._codes(voiced.prompt))
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


@dataclass(frozen=True)
class NotTried:
    """A near miss that these recordings, this layout or this tokenizer do not have, and why."""

    name: str
    reason: str


def _by_another(recordings: Sequence[Recording], index: int) -> Recording:
    """Return the next recording by another speaker, with a voice prompt if this one has one; itself without any."""
    own = recordings[index]
    following = [*recordings[index + 1 :], *recordings[:index]]
    fits = (r for r in following if r.speaker != own.speaker and (r.prompt is None) == (own.prompt is None))
    return next(fits, own)


def changed(declared: Layout, **fields: object) -> Layout | None:
    """Return the layout with other fields, or None where the tokenizer does not have it."""
    try:
        spec = LayoutSpec.model_validate(declared.spec.model_dump() | fields)
        same = declared.code_tokens if spec.codes == declared.spec.codes else None
        return Layout.resolve(declared.name, spec, declared.tokenizer, same)
    except (LayoutError, ValueError):
        return None
