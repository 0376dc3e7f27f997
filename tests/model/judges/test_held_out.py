"""The held-out judges together: every utterance gets its scores, in order, from each judge."""

from __future__ import annotations

import numpy as np
import pytest

from model.judges import timbre
from model.judges.held_out import DIGITS, HeldOut, SecondOpinion
from tests.model.judges.speech import synthesized

TEXTS = ["zero two zero", "eight one", "three five nine", "six six four", "one two"]
SPEAKERS = ["m1", "f2", "m1", "f2", "m1"]


@pytest.fixture(scope="module")
def waves() -> list[np.ndarray]:
    return [synthesized(text, voice) for text, voice in zip(TEXTS, SPEAKERS, strict=True)]


def test_speech_and_nothing_are_both_judged_in_order(waves):
    pytest.importorskip("pocketsphinx")
    judges = HeldOut(DIGITS, timbre.fit(waves, SPEAKERS), batch_size=2)
    voices = judges.embed(waves, 16000)
    done: list[int] = []
    nan = waves[1].copy()
    nan[0] = np.nan
    given = [waves[0], np.zeros(0, np.float32), nan, waves[3], np.zeros(16000, np.float32)]
    opinions = judges.judge(given, 16000, TEXTS, voices, done.append)
    assert sum(done) == len(opinions) == 5
    nothing = [opinions[1], opinions[2], opinions[4]]
    assert nothing == [SecondOpinion("", n, 0.0, None) for n in (2, 3, 2)]
    for opinion in (opinions[0], opinions[3]):
        assert opinion.similarity == pytest.approx(1, abs=1e-6)
        assert opinion.hypothesis and opinion.word_errors is not None and opinion.f0_spread and opinion.f0_spread > 0
    assert judges.judge(given, 16000, TEXTS, voices) == opinions


def test_a_judge_that_is_left_out_gives_no_score(waves):
    judges = HeldOut(None, None)
    voices = judges.embed(waves, 16000)
    for opinion in judges.judge(waves, 16000, TEXTS, voices):
        assert (opinion.hypothesis, opinion.word_errors, opinion.similarity) == (None, None, None)
        assert opinion.f0_spread is not None
