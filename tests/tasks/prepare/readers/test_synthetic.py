"""Synthetic speech: which voices and texts, and that it is the same each time."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from model import espeak
from model.errors import InputError
from tasks.common import digits, params
from tasks.common.files import DataError
from tasks.prepare.readers import synthetic
from tests.conftest import REPOSITORY


def settings(threads: int = 1, seed: int = 17, **changes: object) -> params.Params:
    p = params.load(REPOSITORY / "params.yaml")
    voices = {"voices": ["f2", "klatt2", "m1"], "unseen_voices": ["rob"], "utterances": 20}
    prepare = {"unseen_speakers": 1, "test_utterances": 8, "dev_utterances": 6, **changes}
    prepare["synthetic"] = p.prepare.synthetic.model_copy(update=voices)
    update = {
        "seed": seed,
        "compute": p.compute.model_copy(update={"threads": threads}),
        "prepare": p.prepare.model_copy(update=prepare),
    }
    return p.model_copy(update=update)


def digest(p: params.Params) -> str:
    total = hashlib.sha256()
    for item in synthetic.read(p).items:
        assert item.samples is not None
        total.update(f"{item.id} {item.text} {item.source}".encode() + item.samples.tobytes())
    return total.hexdigest()


def test_counts_speakers_and_texts_of_the_splits() -> None:
    corpus = synthetic.read(settings())
    items = list(corpus.items)
    assert corpus.total == len(items) == len({i.id for i in items}) == 34
    assert Counter(i.split for i in items) == {"train": 20, "dev": 6, "test": 8}
    assert all(digits.split_of(i.text or "") == i.split for i in items)
    assert {i.speaker for i in items if i.split != "test"} == {"f2", "klatt2", "m1"}
    assert sum(i.speaker == "rob" for i in items if i.split == "test") == 4


def test_same_seed_gives_the_same_samples_for_any_number_of_workers() -> None:
    """espeak-ng seeds itself from the clock and carries its state from one utterance to the next."""
    espeak.synthesize("one two three", "f2")  # this process has used it before
    first = digest(settings())
    espeak.synthesize("four", "m1")
    assert digest(settings(threads=2)) == first
    assert digest(settings(seed=18)) != first


def test_unknown_voice_is_one_clear_message() -> None:
    p = settings()
    voices = p.prepare.synthetic.model_copy(update={"voices": ["nobody"]})
    p = p.model_copy(update={"prepare": p.prepare.model_copy(update={"synthetic": voices})})
    with pytest.raises(InputError, match="no voice variant 'nobody'"):
        list(synthetic.read(p).items)


def test_more_unseen_speakers_than_voices_is_an_error() -> None:
    with pytest.raises(DataError, match=r"unseen_speakers is 2, but .* names 1"):
        synthetic.read(settings(unseen_speakers=2))
