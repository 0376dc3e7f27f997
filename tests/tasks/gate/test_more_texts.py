"""How many more texts are named, and that so many suffice."""

from __future__ import annotations

import pytest

from benchmarks.made_systems import Row, system
from benchmarks.more_texts import compared as judged
from benchmarks.more_texts import extended, recorded
from tasks.gate.margins import Margins
from tasks.gate.more_texts import FAR
from tasks.gate.verdict import judge

NAMES = ("before", "after")


def test_the_number_is_named_and_mostly_suffices():
    """Of real gains that 60 texts do not show, most show with as many texts more as were named."""
    quality, then = {"wer": 0.06}, []
    for seed in range(16):
        rows = recorded(60, seed, quality)
        found = judged(rows, 1000)
        if found.more_texts is not None:
            assert found.answer == "not shown" and 1 <= found.more_texts <= 60 * FAR
            assert f"; about {found.more_texts} more texts would show it" in found.sentence
            then.append(judged(extended(rows, found.more_texts, 100 + seed, quality), 1000).answer)
    assert len(then) >= 3 and then.count("better") >= len(then) / 2


def missing(rows: list[Row], *ids: str) -> list[Row]:
    lost = {"file": None, "problem": "missing audio", "finished": False, "seconds": 0.0, "speech_seconds": None,
            "f0_spread": None, "word_errors": 10}  # fmt: skip
    return [{**row, **lost} if row["id"] in ids else row for row in rows]


@pytest.mark.parametrize(
    ("after", "said"),
    [
        pytest.param(
            [dict(row) for row in system(60)], "more texts would not show a gain, since no measure improved", id="same"
        ),
        pytest.param(
            missing(system(60, seed=1, wer=0.03, second=0.2), "t1", "t2"),
            "more texts would not show it while the loss in failed recordings is not within the margin",
            id="a loss above its margin",
        ),
        pytest.param(
            [
                {**row, "word_errors": row["word_errors"] + one}
                for row, one in zip(system(60), [1, -1, 0, -1] + [0] * 56, strict=True)
            ],
            f"it would take more than {FAR} times as many texts to show it",
            id="hardly a difference",
        ),
    ],
)
def test_where_no_number_would_tell_that_is_said(after: list[Row], said: str):
    found = judge(system(60), after, Margins(), NAMES, 1000)
    assert (found.answer, found.more_texts) == ("not shown", None)
    assert said in found.sentence and "about" not in found.sentence
