"""What the gate lets through."""

from __future__ import annotations

import pytest

from tasks.registry.gate import Rules, comparable, decide
from tests.tasks.registry.tiny import judged

RULES = Rules(
    min_duration_ratio=0.85,
    max_duration_ratio=1.15,
    max_wer_increase=0.03,
    max_similarity_decrease=0.02,
    max_failed_increase=0.005,
    resamples=500,
    seed=1,
)
CHAMPION = judged(400)


def with_changes(rows: list[dict], every: int, **changes) -> list[dict]:
    """A copy in which each ``every``-th row differs."""
    return [{**row, **changes} if i % every == 0 else row for i, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("candidate", "champion", "stopped_by"),
    [
        pytest.param(CHAMPION, None, None, id="first version"),
        pytest.param(judged(stretch=1.3), None, "duration ratio", id="first version, slow"),
        pytest.param(CHAMPION, CHAMPION, None, id="equal"),
        pytest.param(judged(400, wer=0.1, seed=1), CHAMPION, None, id="better WER"),
        pytest.param(judged(400, wer=0.4, seed=1), CHAMPION, "WER", id="worse WER"),
        pytest.param(judged(400, similarity=0.7), CHAMPION, "similarity", id="worse similarity"),
        pytest.param(judged(400, similarity=0.9), CHAMPION, None, id="better similarity"),
        pytest.param(judged(400, stretch=1.16), CHAMPION, "duration ratio", id="too slow"),
        pytest.param(judged(400, stretch=0.84), CHAMPION, "duration ratio", id="too fast"),
        pytest.param(judged(400, cut_off=3), CHAMPION, "failed samples", id="more failures"),
        pytest.param(judged(400, cut_off=2), CHAMPION, None, id="as many failures as are allowed"),
        pytest.param(judged(400, seed=1), CHAMPION[:200], None, id="half of the rows in common"),
    ],
)
def test_decision(candidate: list[dict], champion: list[dict] | None, stopped_by: str | None):
    decision = decide(candidate, champion, RULES)
    failed = [check.rule for check in decision.checks if not check.passed]
    assert decision.promoted == (stopped_by is None)
    assert len(failed) == (stopped_by is not None)
    if stopped_by:
        assert stopped_by in failed[0]
        assert decision.reason.startswith(failed[0])


def test_a_refusal_gives_the_numbers_of_every_rule_that_failed():
    candidate = judged(400, wer=0.5, similarity=0.5, stretch=2, cut_off=40, seed=1)
    decision = decide(candidate, CHAMPION, RULES)
    assert [check.passed for check in decision.checks] == [False] * 4
    assert "2.000, allowed [0.85, 1.15]" in decision.reason
    assert "40 of 400 (champion 0, allowed 2)" in decision.reason
    assert "lies wholly on the worse side" in decision.reason


def test_a_loss_that_is_certain_is_refused_however_small():
    candidate = with_changes(CHAMPION, 1, similarity=0.0)
    candidate = [{**new, "similarity": old["similarity"] - 0.001} for new, old in zip(candidate, CHAMPION, strict=True)]
    decision = decide(candidate, CHAMPION, RULES)
    assert not decision.promoted
    assert "lies wholly on the worse side" in decision.reason


def test_a_small_test_set_cannot_open_the_gate():
    # Nothing is proved against this candidate, but little speaks for it either.
    candidate, champion = judged(12, seed=1), judged(12, seed=2)
    decision = decide(candidate, champion, RULES)
    assert not decision.promoted
    assert "reaches past the margin" in decision.reason


def test_an_empty_sample_counts_as_failed():
    decision = decide(with_changes(CHAMPION, 50, seconds=0.0), CHAMPION, RULES)
    assert [check.rule for check in decision.checks if not check.passed] == ["no more failed samples"]


def test_tables_of_other_test_sets_are_not_compared():
    other = judged(400, test_set="u")
    assert not comparable(CHAMPION, other)
    assert not comparable(CHAMPION, with_changes(CHAMPION, 1, seed=-1))
    assert not comparable(CHAMPION, CHAMPION[:199])
    with pytest.raises(ValueError, match="same test utterances"):
        decide(CHAMPION, other, RULES)


def test_nothing_judged_is_no_candidate():
    with pytest.raises(ValueError, match="evaluate"):
        decide([], None, RULES)
