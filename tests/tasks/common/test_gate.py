"""What the gate lets through."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.common.gate import Decision, Limits, decide, limits_of
from tasks.common.params import load
from tests.tasks.register.tiny import PROJECT, judged

Rows = list[dict[str, Any]]
LIMITS = Limits(
    min_duration_ratio=0.85,
    max_duration_ratio=1.15,
    max_wer_increase=0.2,
    max_similarity_decrease=0.1,
    max_failed_increase=0.005,
    max_f0_flattening=0.05,
    resamples=1000,
    seed=1,
)
CHAMPION = judged(400, held_out_wer=0.3, held_out_similarity=0.3, f0_spread=4.0)


def against(champion: Rows = CHAMPION, seed: int = 1, **quality: Any) -> Rows:
    """A candidate as good as the champion, but for ``quality``; another sample, unless ``seed`` is 0."""
    same = {"held_out_wer": 0.3, "held_out_similarity": 0.3, "f0_spread": 4.0}
    return judged(len(champion), seed=seed, **{**same, **quality})


def failed(decision: Decision) -> list[str]:
    return [check.rule for check in decision.checks if check.passed is False]


BETTER = {"wer": 0.1, "held_out_wer": 0.2}


@pytest.mark.parametrize(
    ("quality", "stopped_by"),
    [
        pytest.param(BETTER, None, id="better"),
        pytest.param({}, "a significant gain over champion", id="equal"),
        pytest.param({"wer": 0.21}, "a significant gain", id="hardly better"),
        pytest.param({"similarity": 0.83, "held_out_similarity": 0.45}, None, id="closer to the voice"),
        pytest.param({**BETTER, "similarity": 0.79}, "SIM not worse, against champion", id="at the voice's expense"),
        pytest.param({**BETTER, "stretch": 1.16}, "duration ratio", id="too slow"),
        pytest.param({**BETTER, "stretch": 0.84}, "duration ratio", id="too fast"),
        pytest.param({**BETTER, "cut_off": 10}, "failed samples not worse", id="more failures"),
        pytest.param({**BETTER, "cut_off": 2}, None, id="as many failures as are allowed"),
        pytest.param({**BETTER, "f0_spread": 3.9}, None, id="hardly flatter"),
        pytest.param({**BETTER, "f0_spread": 3.6}, "pitch not flattened", id="flatter by more than 5 %"),
    ],
)
def test_decision(quality: dict, stopped_by: str | None):
    decision = decide(against(**quality), LIMITS, champion=CHAMPION)
    assert decision.verdict == ("refused" if stopped_by else "promoted"), decision.reason
    if stopped_by:
        assert stopped_by in failed(decision)[0] and len(failed(decision)) == 1
        assert decision.reason.startswith(failed(decision)[0])


def test_the_first_policy_needs_the_right_length_only():
    assert decide(CHAMPION, LIMITS).verdict == "promoted"
    assert failed(decide(judged(stretch=1.3), LIMITS)) == ["duration ratio within bounds"]
    long = judged(which="long")
    [check] = decide(long, LIMITS).checks
    assert check.passed is None and "no golden speech" in check.found


def test_a_refusal_gives_the_numbers_of_every_rule_that_failed():
    decision = decide(against(wer=0.5, similarity=0.5, stretch=2, cut_off=40), LIMITS, champion=CHAMPION)
    assert failed(decision) == [
        "duration ratio within bounds",
        "a significant gain over champion",
        "recorded WER not worse, against champion",
        "SIM not worse, against champion",
        "failed samples not worse, against champion",
    ]
    assert "2.000, allowed [0.85, 1.15]" in decision.reason
    assert "points from 22." in decision.reason and "a significant loss" in decision.reason
    content = decision.as_dict()
    assert (content["verdict"], content["promoted"], content["reason"]) == ("refused", False, decision.reason)


def test_each_set_counts_for_itself():
    champion = judged(200, test_set="r") + judged(200, test_set="l", which="long", wer=0.3)
    better = judged(200, test_set="r", seed=1) + judged(200, test_set="l", which="long", wer=0.2, seed=1)
    decision = decide(better, LIMITS, champion=champion)
    assert decision.promoted
    assert "long WER -" in decision.reason.partition("a significant gain")[2].partition(";")[0]
    # The same gain on long texts, paid for with the short ones.
    paid = judged(200, test_set="r", wer=0.35, seed=1) + better[200:]
    assert failed(decide(paid, LIMITS, champion=champion)) == ["recorded WER not worse, against champion"]


def test_the_margin_is_a_share_of_the_errors_before():
    def loss(champion_wer: float, wer: float) -> list[str]:
        champion = judged(3000, wer=champion_wer)
        return [
            check.found.partition("margin")[2]
            for check in decide(judged(3000, wer=wer, seed=1), LIMITS, champion=champion).checks
            if check.rule.startswith("recorded WER not worse")
        ]

    assert loss(0.2, 0.2)[0].startswith(" +3.9") or loss(0.2, 0.2)[0].startswith(" +4.")
    assert loss(0.02, 0.02)[0].startswith(" +0.4") or loss(0.02, 0.02)[0].startswith(" +0.3")


def test_few_data_cannot_open_the_gate():
    champion, candidate = judged(12, wer=0.3, seed=2), judged(12, wer=0.25, seed=3)
    assert "a significant gain over champion" in failed(decide(candidate, LIMITS, champion=champion))
    few = [judged(12, f0_spread=4.0, seed=seed) for seed in (1, 2)]
    [check] = [check for check in decide(few[1], LIMITS, champion=few[0]).checks if check.rule.startswith("pitch")]
    assert check.passed is False and "too few data to exclude 0.85" in check.found


def test_a_gain_that_held_out_judges_do_not_see_is_not_confirmed_or_suspected():
    unreal = decide(against(wer=0.02), LIMITS, champion=CHAMPION)
    assert unreal.verdict == "refused"
    assert failed(unreal) == ["confirmed by held-out judges, against champion: recorded WER"]
    assert "reward hacking suspected" in unreal.reason
    few = 120  # the held-out judge is not sure enough to suspect
    champion = judged(few, wer=0.4, held_out_wer=0.4)
    doubtful = decide(judged(few, wer=0.31, held_out_wer=0.35, seed=1), LIMITS, champion=champion)
    assert doubtful.verdict == "not confirmed", doubtful.reason
    assert "not confirmed: own judge -" in doubtful.reason and "suspected" not in doubtful.reason
    # By the voice.
    assert "suspected" in decide(against(similarity=0.9), LIMITS, champion=CHAMPION).reason


def test_what_decays_step_by_step_is_seen_against_start_and_the_best_so_far():
    champion = against(wer=0.3, held_out_wer=0.4, similarity=0.75)
    candidate = against(wer=0.2, held_out_wer=0.3, similarity=0.75, seed=2)
    assert decide(candidate, LIMITS, champion=champion).promoted
    start = against(wer=0.3, held_out_wer=0.4, similarity=0.8)
    assert failed(decide(candidate, LIMITS, champion=champion, start=start)) == ["SIM not worse, against start"]
    best = against(wer=0.1, held_out_wer=0.2, similarity=0.75, seed=3)
    decision = decide(candidate, LIMITS, champion=champion, start=champion, former=[best, start])
    assert failed(decision) == [
        "recorded WER not worse, against the best so far",
        "recorded WER, held out not worse, against the best so far",
        "SIM not worse, against the best so far",
    ]
    # A former champion that was worse in everything changes nothing, nor does one of another dev set.
    worse, other = against(wer=0.4, held_out_wer=0.5, similarity=0.7), judged(test_set="u", wer=0.0)
    assert decide(candidate, LIMITS, champion=champion, former=[worse, other]) == decide(
        candidate, LIMITS, champion=champion
    )


def test_while_there_is_no_champion_nothing_may_be_lost_against_the_start_that_was_refused():
    start = judged(400, stretch=0.84)
    assert not decide(start, LIMITS).promoted
    assert decide(judged(400, seed=1), LIMITS, start=start).promoted
    assert failed(decide(judged(400, wer=0.4), LIMITS, start=start)) == ["recorded WER not worse, against start"]


def test_rules_without_numbers_are_left_out_and_the_decision_says_so():
    decision = decide(judged(400, wer=0.1, seed=1), LIMITS, champion=judged(400))
    left_out = [check for check in decision.checks if check.passed is None]
    assert decision.promoted
    assert [check.rule for check in left_out] == [
        "confirmed by held-out judges, against champion: recorded WER",
        "pitch not flattened against champion",
    ]
    assert all("left out" in check.found and check.found in decision.reason for check in left_out)


def test_speech_that_lost_its_pitch_is_refused():
    whispered = [{**row, "f0_spread": None if i % 5 else 4.0} for i, row in enumerate(against(**BETTER))]
    assert (
        "only 80 of 400 utterances with a pitch still have one" in decide(whispered, LIMITS, champion=CHAMPION).reason
    )
    # Where the champion hardly has a pitch either, there is nothing to flatten.
    reason = [check.found for check in decide(whispered, LIMITS, champion=whispered).checks]
    assert "left out: only 80 of 400 utterances of champion have a pitch" in reason


def test_tables_of_other_texts_prompts_or_seeds_are_not_compared():
    for other in (judged(400, test_set="u"), [{**row, "seed": -1} for row in CHAMPION], CHAMPION[:199]):
        with pytest.raises(ValueError, match="same texts, prompts and seeds"):
            decide(CHAMPION, LIMITS, champion=other)
    assert decide(against(**BETTER), LIMITS, champion=CHAMPION[:200]).promoted  # half of the rows in common
    with pytest.raises(ValueError, match="evaluate"):
        decide([], LIMITS)


def test_the_limits_are_those_of_params():
    params = load(PROJECT / "params.yaml")
    limits = limits_of(params)
    assert limits.max_wer_increase == params.register_.max_wer_increase
    assert (limits.resamples, limits.seed) == (params.evaluate.bootstrap_samples, params.seed)
