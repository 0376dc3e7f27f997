"""Voice prompts of golden utterances, as policy.voice asks."""

from __future__ import annotations

import numpy as np
import pytest

from model.layouts.speech import Speech, VoicePrompt
from tasks.common.utterances import Utterances
from tasks.common.voices import Voices

GOLDEN = Utterances.of(
    {"id": f"g{i}", "speaker": "anna", "text": f"text {i}", "seen": True, "seconds": 0.1}
    | {"codes": [[65535, i, 2, 3], [4, 5, 6, 7]], "voice": [i, 0.5] if i == 2 else None}
    for i in range(3)
)


def test_a_prompt_is_the_beginning_of_a_recording_with_its_text_and_speaker():
    voices = Voices(GOLDEN, 2)
    assert voices.prompt_of("g1") == VoicePrompt("anna", "text 1", Speech.of([65535, 1], [4, 5]))
    assert voices.prompt(1).speech.rows.tolist() == [[65535, 1], [4, 5]]
    assert voices.speech(1) == Speech.of([65535, 1, 2, 3], [4, 5, 6, 7])
    assert Voices(GOLDEN, None).prompt(1).speech == voices.speech(1)


def test_what_the_decoder_takes_of_a_recording_is_that_of_the_whole_in_any_prompt_of_it():
    voices = Voices(GOLDEN, 2)
    for speech in (voices.speech(2), voices.prompt(2).speech, voices.longest_prompt(2).speech):
        assert speech.globals == (2.0, 0.5)
    assert voices.speech(1).globals == voices.prompt(1).speech.globals == ()


@pytest.mark.parametrize(("kind", "expected"), [("speaker", VoicePrompt("anna")), ("none", VoicePrompt())])
@pytest.mark.parametrize("of", ["prompt", "random_prompt", "longest_prompt"])
def test_a_voice_by_name_or_none_has_no_codes(kind: str, expected: VoicePrompt, of: str):
    rng = [np.random.default_rng(0)] if of == "random_prompt" else []
    assert getattr(Voices(GOLDEN, 2, kind), of)(0, *rng) == expected


def test_the_longest_prompt_has_as_many_frames_as_any_may_have():
    assert [Voices(GOLDEN, n).longest_prompt(0).speech.rows.shape for n in (9, None)] == [(2, 9), (2, 4)]
