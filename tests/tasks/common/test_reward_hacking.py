"""When the held-out judges contradict the reward's own."""

from __future__ import annotations

import pytest

from model.statistics import Interval
from tasks.common.reward_hacking import cross_checks, f0_ratio

# 0.3 and 0.8 short of the same voice; recognizers that err alike.
BEFORE = {"similarity": 0.7, "held_out_similarity": 0.2, "wer": 0.1, "held_out_wer": 0.1}


def interval(value: float, half: float) -> Interval:
    return Interval(value, value - half, value + half)


@pytest.mark.parametrize(
    ("own", "held_out", "outcome"),
    [
        pytest.param((-0.04, 0.02), (-0.03, 0.02), "confirmed", id="both gains significant"),
        pytest.param((0.04, 0.02), (0.03, 0.02), "confirmed", id="both losses significant"),
        pytest.param((-0.04, 0.02), (-0.021, 0.06), "confirmed", id="a gain, half of it seen"),
        pytest.param((-0.04, 0.02), (0.03, 0.02), "suspected", id="a gain, a loss"),
        pytest.param((-0.04, 0.02), (-0.005, 0.01), "suspected", id="a gain, less than half of it"),
        pytest.param((-0.04, 0.02), (-0.005, 0.02), "not confirmed", id="a gain, half of it possible"),
        pytest.param((-0.04, 0.02), (0.03, 0.06), "not confirmed", id="a gain, a judge too noisy to tell"),
        pytest.param((-0.04, 0.05), (0.03, 0.02), "inconclusive", id="no significant gain, a loss"),
        pytest.param((0.04, 0.02), (-0.03, 0.02), "opposed", id="a loss, a gain"),
        pytest.param((0.0, 0.0), (0.0, 0.0), "inconclusive", id="nothing changed"),
    ],
)
def test_word_errors(own: tuple[float, float], held_out: tuple[float, float], outcome: str):
    [found] = cross_checks({"wer": interval(*own), "held_out_wer": interval(*held_out)}, BEFORE)
    assert (found.metric.name, found.outcome) == ("wer", outcome)


@pytest.mark.parametrize(
    ("held_out", "outcome"),
    [
        pytest.param((0.08, 0.03), "confirmed", id="as large a share"),
        pytest.param((0.02, 0.01), "suspected", id="significant, but at most 3 of 8 hundredths"),
        pytest.param((0.02, 0.03), "not confirmed", id="half of the share possible"),
        pytest.param((-0.05, 0.03), "suspected", id="a loss"),
    ],
)
def test_similarities_are_compared_as_shares_of_what_was_missing(held_out: tuple[float, float], outcome: str):
    # +0.03 of the 0.3 that the own measure lacked is a tenth; half of a tenth of 0.8 is 0.04.
    differences = {"similarity": interval(0.03, 0.01), "held_out_similarity": interval(*held_out)}
    [found] = cross_checks(differences, BEFORE)
    assert (found.metric.name, found.outcome) == ("similarity", outcome)


@pytest.mark.parametrize(
    ("before", "held_out", "outcome"),
    [
        pytest.param((0.05, 0.012), (-0.005, 0.003), "confirmed", id="errs little, and as large a share of it less"),
        pytest.param((0.05, 0.8), (-0.02, 0.005), "confirmed", id="errs much, and as many words less"),
        pytest.param((0.05, 0.012), (-0.001, 0.001), "suspected", id="neither half of the words nor of the share"),
        pytest.param((0.05, 0.8), (0.03, 0.01), "suspected", id="a loss"),
    ],
)
def test_recognizers_of_unequal_skill_contradict_in_points_and_in_shares(
    before: tuple[float, float], held_out: tuple[float, float], outcome: str
):
    differences = {"wer": interval(-0.02, 0.006), "held_out_wer": interval(*held_out)}
    [found] = cross_checks(differences, dict(zip(("wer", "held_out_wer"), before, strict=True)))
    assert found.outcome == outcome


def test_what_only_one_judge_measured_is_left_out():
    assert cross_checks({"wer": interval(-0.1, 0.01), "held_out_similarity": interval(0.1, 0.01)}, BEFORE) == []


def test_the_spread_of_pitch_is_compared_where_both_have_one():
    def rows(spreads: dict[str, float | None]) -> list[dict]:
        same = {"prompt_id": "p", "seed": 1, "speaker": "s"}
        return [{"id": name, "f0_spread": spread, **same} for name, spread in spreads.items()]

    before = rows({"a": 4.0, "b": 2.0, "c": None, "d": 9.0})
    after = rows({"d": None, "c": 5.0, "b": 1.0, "a": 2.0})
    assert f0_ratio(before, after, 100, 0) == Interval(0.5, 0.5, 0.5)
    assert f0_ratio(rows({"a": None}), after, 100, 0) is None
    assert f0_ratio(rows({"a": 4.0, "b": None, "c": None}), after, 100, 0) is None  # too few have a pitch
    assert f0_ratio(rows({"a": 0.0}), after, 100, 0) is None
    assert f0_ratio([{"id": "a"}], [{"id": "a"}], 100, 0) is None
    # Each draw is compared with the one of the same seed.
    second = [{**row, "seed": 2, "f0_spread": 3 * (row["f0_spread"] or 0)} for row in before]
    assert f0_ratio(before[:2] + second[:2], before[:2] + second[:2], 100, 0) == Interval(1.0, 1.0, 1.0)
