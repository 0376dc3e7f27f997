"""What is said where no text gave a pair."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.judges.panel import Judgement
from tasks.common import params
from tasks.prefer.no_pairs import why_no_pair
from tests.tasks.register import tiny

SPOKEN = Judgement("one two", 0, 2, 0, 7, 0.5, 0, 0, 2, 0, 2)


def said(folder, source: str, errors: list[int], finished: bool = True) -> str:
    loaded = tiny.params(folder)
    loaded = loaded.model_copy(update={"prefer": loaded.prefer.model_copy(update={"source": source})})
    samples = [{"id": f"t{i // 2}", "finished": finished} for i in range(len(errors))]
    return why_no_pair("1", samples, [replace(SPOKEN, word_errors=n) for n in errors], "lower something", loaded)


@pytest.mark.parametrize(
    ("source", "errors", "finished", "message"),
    [
        (
            "own_samples",
            [1, 1, 2, 1],
            True,
            "2 texts gave no pair (source own_samples, WER gap {gap}): the lowest WER of a finished sample is 0.50 "
            "(prefer.max_chosen_wer {most}), the widest gap within a text 0.50; lower something; to try the loop",
        ),
        ("own_samples", [2, 3], True, "; no sample of 2 has fewer errors than its text has words"),
        ("own_samples", [0, 1], False, "; all 2 samples were cut off at"),
        ("votes", [2, 3], True, "1 texts gave no pair (source votes, WER gap {gap}); lower something"),
    ],
)
def test_the_message_says_how_far_the_samples_are_from_a_pair(tmp_path, monkeypatch, source, errors, finished, message):
    monkeypatch.chdir(tmp_path)
    found, limits = said(tmp_path, source, errors, finished), params.load().prefer
    assert message.format(gap=limits.min_wer_gap, most=limits.max_chosen_wer) in found
    assert ("set prefer.source to golden" in found) == (source != "votes")
