"""What the gate lets through."""

from __future__ import annotations

import pytest

from tasks.common.params import load
from tasks.register.gate import comparable, decide
from tests.tasks.register.tiny import PROJECT, judged

PARAMS = load(PROJECT / "params.yaml")
LIMITS = {
    "min_duration_ratio": 0.85,
    "max_duration_ratio": 1.15,
    "max_wer_increase": 0.03,
    "max_similarity_decrease": 0.02,
    "max_failed_increase": 0.005,
    "max_f0_flattening": 0.05,
}
RULES = PARAMS.model_copy(
    update={
        "seed": 1,
        "evaluate": PARAMS.evaluate.model_copy(update={"bootstrap_samples": 500}),
        "register_": PARAMS.register_.model_copy(update=LIMITS),
    }
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
        pytest.param(judged(400, similarity=0.7), CHAMPION, "SIM", id="worse similarity"),
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
    failed = [check.rule for check in decision.checks if check.passed is False]
    assert decision.promoted == (stopped_by is None)
    assert len(failed) == (stopped_by is not None)
    if stopped_by:
        assert stopped_by in failed[0]
        assert decision.reason.startswith(failed[0])


def test_a_refusal_gives_the_numbers_of_every_rule_that_failed():
    candidate = judged(400, wer=0.5, similarity=0.5, stretch=2, cut_off=40, seed=1)
    decision = decide(candidate, CHAMPION, RULES)
    assert [check.passed for check in decision.checks] == [False] * 4 + [None] * 3
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
    # No significant loss, but a large one is compatible with so few data.
    candidate, champion = judged(12, seed=1), judged(12, seed=2)
    decision = decide(candidate, champion, RULES)
    assert not decision.promoted
    assert "reaches past the margin" in decision.reason


def test_an_empty_sample_counts_as_failed():
    decision = decide(with_changes(CHAMPION, 50, seconds=0.02), CHAMPION, RULES)  # a frame each
    assert [check.rule for check in decision.checks if check.passed is False] == [
        "no more failed samples, against champion"
    ]


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


HELD_OUT = judged(400, held_out_wer=0.3, held_out_similarity=0.3, f0_spread=4.0)


@pytest.mark.parametrize(
    ("candidate", "stopped_by"),
    [
        pytest.param({"wer": 0.1, "held_out_wer": 0.2}, None, id="both judges count fewer errors"),
        pytest.param({"wer": 0.1, "held_out_wer": 0.4}, "WER confirmed", id="the held-out judge counts more errors"),
        pytest.param(
            {"wer": 0.02, "held_out_wer": 0.3}, "WER confirmed", id="the held-out judge counts as many errors"
        ),
        pytest.param({"held_out_wer": 0.2}, None, id="only the held-out judge counts fewer errors"),
        pytest.param({"similarity": 0.9, "held_out_similarity": 0.65}, None, id="both find the voice closer"),
        pytest.param({"similarity": 0.9, "held_out_similarity": 0.2}, "SIM confirmed", id="held out: further"),
        pytest.param({"similarity": 0.9, "held_out_similarity": 0.3}, "SIM confirmed", id="held out: as far"),
        pytest.param({"f0_spread": 4.2}, None, id="wider"),
        pytest.param({"f0_spread": 3.95}, None, id="hardly flatter"),
        pytest.param({"f0_spread": 3.7}, "pitch not flattened", id="flatter by more than 5 %"),
    ],
)
def test_held_out_judges_and_pitch(candidate: dict, stopped_by: str | None):
    same = {"held_out_wer": 0.3, "held_out_similarity": 0.3, "f0_spread": 4.0}
    decision = decide(judged(400, **{**same, **candidate}), HELD_OUT, RULES)
    failed = [check for check in decision.checks if check.passed is False]
    assert decision.promoted == (stopped_by is None), decision.reason
    if stopped_by:
        assert [stopped_by in check.rule for check in failed] == [True]
        assert ("reward hacking suspected" in decision.reason) == ("confirmed" in stopped_by)
        assert failed[0].rule.endswith("against champion")


def test_a_noisy_held_out_judge_does_not_refuse_by_chance():
    """The same true gain for both judges, the held-out one with many errors of its own: 50 draws of it."""
    refused = 0
    for draw in range(50):
        before = judged(200, wer=0.2, held_out_wer=0.4, seed=2 * draw)
        after = judged(200, wer=0.12, held_out_wer=0.32, seed=2 * draw + 1)
        refused += "suspected" in decide(after, before, RULES).reason
    assert refused <= 1  # 2 %


def test_what_was_lost_step_by_step_is_seen_against_sft():
    champion = judged(400, wer=0.1, held_out_wer=0.38, f0_spread=3.85)
    sft = judged(400, wer=0.2, held_out_wer=0.3, f0_spread=4.0)
    candidate = judged(400, wer=0.1, held_out_wer=0.38, f0_spread=3.7)
    assert decide(candidate, champion, RULES).promoted
    decision = decide(candidate, champion, RULES, sft)
    assert [check.rule for check in decision.checks if check.passed is False] == [
        "WER confirmed by held-out judges, against SFT",
        "pitch not flattened against SFT",
    ]
    # The champion is the SFT policy: each rule once.
    assert len(decide(candidate, sft, RULES, sft).checks) == len(decide(candidate, sft, RULES).checks)


@pytest.mark.parametrize(
    ("candidate", "stopped_by"),
    [
        pytest.param({}, None, id="as good"),
        pytest.param({"wer": 0.1, "similarity": 0.82}, None, id="better"),
        pytest.param({"wer": 0.4}, "WER not worse, against SFT: candidate minus SFT +0.", id="worse WER"),
        pytest.param({"similarity": 0.7}, "SIM not worse, against SFT: candidate minus SFT -0.", id="other voice"),
        pytest.param({"cut_off": 40}, "no more failed samples, against SFT: 40 of 400 (SFT 0", id="cut off"),
    ],
)
def test_the_first_champion_must_not_be_worse_than_the_sft_that_was_refused(candidate: dict, stopped_by: str | None):
    sft = judged(400, stretch=0.84)
    assert not decide(sft, None, RULES).promoted
    decision = decide(judged(400, **candidate), None, RULES, sft)
    assert decision.promoted == (stopped_by is None), decision.reason
    if stopped_by:
        assert stopped_by in decision.reason
    # With a champion these rules don't look at SFT: the champion's margins decide.
    worse = judged(400, wer=0.4)
    rules = [check.rule for check in decide(worse, worse, RULES, sft).checks]
    assert [rule for rule in rules if "not worse" in rule or "failed" in rule] == [
        "WER not worse, against champion",
        "SIM not worse, against champion",
        "no more failed samples, against champion",
    ]


def test_rules_without_numbers_are_left_out_and_the_decision_says_so():
    decision = decide(CHAMPION, CHAMPION, RULES)
    assert decision.promoted
    left_out = [check for check in decision.checks if check.passed is None]
    assert len(left_out) == 3
    assert all("left out" in check.found and check.found in decision.reason for check in left_out)
    one = decide(judged(400, held_out_wer=0.3), judged(400, held_out_wer=0.3), RULES)
    assert [check.rule for check in one.checks if check.passed is None] == [
        "SIM confirmed by held-out judges, against champion",
        "pitch not flattened against champion",
    ]


def test_speech_that_lost_its_pitch_is_refused():
    whispered = [{**row, "f0_spread": None if i % 5 else 4.0} for i, row in enumerate(HELD_OUT)]
    decision = decide(whispered, HELD_OUT, RULES)
    assert "only 80 of 400 utterances with a pitch still have one" in decision.reason
    assert not decide([{**row, "f0_spread": None} for row in HELD_OUT], HELD_OUT, RULES).promoted
    # Where the champion hardly has a pitch either, there is nothing to flatten.
    assert "left out: only 80 of 400 utterances of champion have a pitch" in decide(whispered, whispered, RULES).reason


def test_a_flattening_that_a_small_test_set_can_not_exclude_is_refused():
    few = [judged(12, f0_spread=4.0, seed=seed) for seed in (1, 2)]
    found = [check for check in decide(few[1], few[0], RULES).checks if check.rule.startswith("pitch")]
    assert [check.passed for check in found] == [False]
    assert "1.00" in found[0].found.split("[")[0] or "0.99" in found[0].found.split("[")[0]  # no flattening found
    assert "the interval above 0.9" in found[0].found
