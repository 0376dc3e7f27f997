import math

import pytest

from model.pairs.candidate import Candidate
from model.pairs.votes import Vote, krippendorff_alpha, majority, nominal_alpha, prefer, rater_agreement

GOLDEN = -1


def votes(*winners, a=0, b=1):
    return [Vote(a, b, winner, f"r{i}") for i, winner in enumerate(winners)]


def candidates(*frames):
    return {i: Candidate(i, n, True, True, 0.0, 0.8, -1.0) for i, n in enumerate(frames)}


@pytest.mark.parametrize(
    ("winners", "expected"),
    [
        ([1], 1),
        ([0, 0, 1], 0),
        ([0, 1], None),  # an even split
        ([0, 0, 1, 1], None),
        ([None], None),
        ([0, None, None], None),
        ([0, 0, None, 1], None),  # half is not a majority
        ([0, 0, 0, None, 1], 0),
    ],
)
def test_a_side_wins_with_more_than_half_of_the_raters(winners, expected):
    assert majority(votes(*winners)) == expected


def test_each_voted_pair_gives_one_preference_that_counts_its_raters():
    cast = votes(1, 1, 1, 0) + votes(2, a=2, b=0) + votes(None, a=1, b=2)
    pairs = prefer(candidates(40, 40, 40), cast)
    assert [(p.chosen.key, p.rejected.key, p.reason) for p in pairs] == [
        (1, 0, "3 of 4 raters"),
        (2, 0, "1 of 1 rater"),
    ]


def test_it_does_not_matter_which_side_was_played_first():
    cast = [Vote(0, 1, 1, "anna"), Vote(1, 0, 1, "ben")]
    [pair] = prefer(candidates(40, 40), cast)
    assert (pair.chosen.key, pair.reason) == (1, "2 of 2 raters")
    assert rater_agreement(cast) == 1.0


def test_a_golden_side_may_lose():
    sides = {GOLDEN: Candidate(GOLDEN, 50, True, True, math.nan, math.nan, math.nan), **candidates(40)}
    [pair] = prefer(sides, votes(0, a=0, b=GOLDEN))
    assert (pair.chosen.key, pair.rejected.key) == (0, GOLDEN)


def test_a_side_without_sound_makes_no_pair():
    assert prefer(candidates(40, 0), votes(0)) == []


def test_agreement_is_the_share_of_agreeing_pairs_of_votes():
    # three raters: one of three pairs of votes agrees; two raters: the one pair does
    assert rater_agreement(votes(0, 0, None) + votes(None, None, a=2, b=3)) == pytest.approx(2 * (1 + 1) / (6 + 2))
    assert math.isnan(rater_agreement(votes(0)))


def test_alpha_is_that_of_krippendorffs_example():
    # Computing Krippendorff's Alpha-Reliability, section C: four observers, twelve units, values missing.
    observers = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
    units = [[row[i] for row in observers if row[i] != "."] for i in range(12)]
    assert nominal_alpha(units) == pytest.approx(0.743, abs=5e-4)


def test_alpha_of_votes_does_not_depend_on_what_was_played_first():
    straight = votes(0, 0, 1) + votes(2, 2, 2, a=2, b=3) + votes(None, 5, a=4, b=5)
    swapped = [Vote(v.b, v.a, v.winner, v.rater) for v in straight]
    assert krippendorff_alpha(straight) == krippendorff_alpha(swapped) < 1


def test_alpha_is_one_for_perfect_and_undefined_for_constant_or_single_votes():
    assert krippendorff_alpha(votes(0, 0) + votes(3, 3, a=2, b=3)) == 1.0
    assert math.isnan(krippendorff_alpha(votes(0, 0)))
    assert math.isnan(krippendorff_alpha(votes(0) + votes(3, a=2, b=3)))
