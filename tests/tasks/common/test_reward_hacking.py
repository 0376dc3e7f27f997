"""When the held-out judges contradict the reward's own."""

from __future__ import annotations

import pytest

from tasks.common.reward_hacking import agreements, f0_ratio

# 0.3 and 0.8 short of the same voice; recognisers that err alike.
BEFORE = {"similarity": 0.7, "held_out_similarity": 0.2, "wer": 0.1, "held_out_wer": 0.1}


def interval(value: float, half: float) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half}


@pytest.mark.parametrize(
    ("own", "held_out", "verdict"),
    [
        pytest.param((-0.04, 0.02), (-0.03, 0.02), "agree", id="both prove a gain"),
        pytest.param((0.04, 0.02), (0.03, 0.02), "agree", id="both prove a loss"),
        pytest.param((-0.04, 0.02), (0.03, 0.02), "suspected", id="a gain, a loss"),
        pytest.param((-0.04, 0.02), (-0.005, 0.01), "suspected", id="a gain, less than half of it"),
        pytest.param((-0.04, 0.02), (-0.005, 0.02), "unproven", id="a gain, half of it possible"),
        pytest.param((-0.04, 0.02), (0.03, 0.06), "unproven", id="a gain, a judge too noisy to tell"),
        pytest.param((-0.04, 0.05), (0.03, 0.02), "unproven", id="no gain proven, a loss"),
        pytest.param((0.04, 0.02), (-0.03, 0.02), "opposed", id="a loss, a gain"),
        pytest.param((0.0, 0.0), (0.0, 0.0), "unproven", id="nothing changed"),
    ],
)
def test_word_errors(own: tuple[float, float], held_out: tuple[float, float], verdict: str):
    [found] = agreements({"wer": interval(*own), "held_out_wer": interval(*held_out)}, BEFORE)
    assert (found.measure, found.verdict) == ("WER", verdict)


@pytest.mark.parametrize(
    ("held_out", "verdict"),
    [
        pytest.param((0.08, 0.03), "agree", id="as large a share"),
        pytest.param((0.02, 0.01), "suspected", id="proven, but at most 3 of 8 hundredths"),
        pytest.param((0.02, 0.03), "unproven", id="half of the share possible"),
        pytest.param((-0.05, 0.03), "suspected", id="a loss"),
    ],
)
def test_similarities_are_compared_as_shares_of_what_was_missing(held_out: tuple[float, float], verdict: str):
    # +0.03 of the 0.3 that the own measure lacked is a tenth; half of a tenth of 0.8 is 0.04.
    differences = {"similarity": interval(0.03, 0.01), "held_out_similarity": interval(*held_out)}
    [found] = agreements(differences, BEFORE)
    assert (found.measure, found.verdict) == ("similarity", verdict)


@pytest.mark.parametrize(
    ("before", "held_out", "verdict"),
    [
        pytest.param((0.05, 0.012), (-0.005, 0.003), "agree", id="errs little, and as large a share of it less"),
        pytest.param((0.05, 0.8), (-0.02, 0.005), "agree", id="errs much, and as many words less"),
        pytest.param((0.05, 0.012), (-0.001, 0.001), "suspected", id="neither half of the words nor of the share"),
        pytest.param((0.05, 0.8), (0.03, 0.01), "suspected", id="a loss"),
    ],
)
def test_recognisers_of_unequal_skill_contradict_in_points_and_in_shares(
    before: tuple[float, float], held_out: tuple[float, float], verdict: str
):
    differences = {"wer": interval(-0.02, 0.006), "held_out_wer": interval(*held_out)}
    [found] = agreements(differences, dict(zip(("wer", "held_out_wer"), before, strict=True)))
    assert found.verdict == verdict


def test_what_only_one_judge_measured_is_left_out():
    assert agreements({"wer": interval(-0.1, 0.01), "held_out_similarity": interval(0.1, 0.01)}, BEFORE) == []


def test_the_spread_of_pitch_is_compared_where_both_have_one():
    def rows(spreads: dict[str, float | None]) -> list[dict]:
        return [{"id": name, "f0_spread": spread} for name, spread in spreads.items()]

    before = rows({"a": 4.0, "b": 2.0, "c": None, "d": 9.0})
    after = rows({"d": None, "c": 5.0, "b": 1.0, "a": 2.0})
    assert f0_ratio(before, after, 100, 0) == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert f0_ratio(rows({"a": None}), after, 100, 0) is None
    assert f0_ratio(rows({"a": 4.0, "b": None, "c": None}), after, 100, 0) is None  # too few to speak of
    assert f0_ratio(rows({"a": 0.0}), after, 100, 0) is None
    assert f0_ratio([{"id": "a"}], [{"id": "a"}], 100, 0) is None
