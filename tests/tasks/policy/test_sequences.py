"""Golden utterances as sequences: what is given, and what is to be predicted."""

from __future__ import annotations

import numpy as np
import pytest

from model.errors import InputError
from model.layouts.own import SPEECH, build_layout
from model.objectives.logprobs import IGNORE
from tasks.common.utterances import Utterances
from tasks.common.voices import Voices
from tasks.policy.sequences import Sequences
from tests.sequences import FIRST_CODE

GOLDEN = Utterances.of(
    {"id": f"g{i}", "speaker": "s", "text": text, "seen": True, "seconds": 0.1, "codes": [codes]}
    for i, (text, codes) in enumerate([("one", [1, 2, 3]), ("two six", [4, 5, 6, 7])])
)


def sequences(layout: str, prompt_loss: bool) -> Sequences:
    return Sequences(Voices(GOLDEN, None), build_layout(16, layout=layout), prompt_loss=prompt_loss)


@pytest.mark.parametrize("prompt_loss", [False, True])
def test_with_a_loss_on_the_prompt_its_codes_are_predicted_too(prompt_loss: bool) -> None:
    data = sequences("own_transcript", prompt_loss)
    rng = np.random.default_rng(0)
    batch = data.batch(data.drawn([0], rng))
    whole = [4, 5, 6, 7] if prompt_loss else []  # the speaker's other utterance, with its text before the text to say
    scored = [*(FIRST_CODE + code for code in [*whole, 1, 2, 3]), data.layout.stops[0]]
    labels = batch["labels"][0]
    assert labels[labels != IGNORE].tolist() == scored
    assert batch.weight == len(scored)
    given = batch["tokens"][0].tolist()
    assert data.layout.tokenizer.decode(given[: given.index(SPEECH) + 1]) == "<s>two six one<speech>"
    assert given[given.index(SPEECH) + 1 :][:4] == [FIRST_CODE + code for code in [4, 5, 6, 7]]


def test_a_layout_with_a_mark_after_the_prompt_has_no_loss_on_it() -> None:
    data = sequences("own", prompt_loss=True)
    with pytest.raises(InputError, match="prompt_loss is on, but in layout own no voice prompt's codes"):
        data.batch(data.drawn([0], np.random.default_rng(0)))
