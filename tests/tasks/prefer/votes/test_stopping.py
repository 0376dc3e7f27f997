import itertools
import math
import re

import numpy as np
import pytest

from benchmarks.listening import WORLDS, simulate
from tasks.prefer.votes.stopping import (
    ON_MEANS,
    ON_VOTES,
    Preference,
    evidence,
    log_factors,
    log_mixture,
    read,
    verdict,
)


def wealth(x, mean=0.5, weights=ON_VOTES):
    return math.exp(log_mixture(log_factors(np.array(x, float), mean).sum(0), weights))


@pytest.mark.parametrize("weights", [ON_VOTES, ON_MEANS], ids=["on votes", "on means"])
@pytest.mark.parametrize("mean", [0.5, 0.3, 0.05])
def test_the_wealth_is_a_martingale_if_the_mean_is_as_supposed(mean, weights):
    for n in (1, 5, 8):
        expected = sum(
            wealth(x, mean, weights) * mean ** sum(x) * (1 - mean) ** (n - sum(x))
            for x in itertools.product((0, 1), repeat=n)
        )
        assert expected == pytest.approx(1, abs=1e-9)
    so_far = [1, 1, 0, 1]
    assert mean * wealth([*so_far, 1], mean, weights) + (1 - mean) * wealth(
        [*so_far, 0], mean, weights
    ) == pytest.approx(wealth(so_far, mean, weights))


def test_scores_between_are_fair_bets_too():
    thirds = [0.0, 0.25, 0.5, 0.75, 1.0]
    expected = np.mean([wealth(x) for x in itertools.product(thirds, repeat=4)])
    assert expected == pytest.approx(1, abs=1e-9)


def test_it_is_the_likelihood_ratio_of_votes_averaged_over_bets():
    # The bets have the weights of a beta distribution, so the average is 2^n B(s + 5, f + 5) / B(5, 5).
    s, f = 45, 20

    def log_beta(a, b):
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    exact = (s + f) * math.log(2) + log_beta(s + 5, f + 5) - log_beta(5, 5)
    found = evidence([1.0] * s + [0.0] * f)
    assert found.log_wealth == pytest.approx(exact, abs=1e-3)
    assert found.shown == (exact > math.log(20))
    assert found.mean == pytest.approx(9 / 13) and 0.5 < found.low < found.mean < found.high < 0.9


def test_the_order_of_votes_does_not_matter_and_ties_change_nothing():
    votes = [1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0]
    assert evidence(votes).log_wealth == pytest.approx(evidence(votes[::-1]).log_wealth)
    assert evidence([*votes, *[0.5] * 50]).log_wealth == pytest.approx(evidence(votes).log_wealth)


def test_the_interval_leaves_out_one_half_exactly_when_the_vote_is_decided():
    for share in (52, 58, 64, 70, 76):
        found = evidence([1.0] * share + [0.0] * (100 - share))
        assert (found.low > 0.5) == found.shown or abs(found.low - 0.5) < 0.006  # a point of the grid


def cast(raters, texts, score):
    return [Preference(f"r{r}", f"t{t}", score(r, t)) for r in range(raters) for t in range(texts)]


def test_seven_raters_of_one_mind_on_seven_texts_suffice_and_six_do_not():
    done = verdict(cast(7, 7, lambda r, t: 1.0))
    assert done.preferred == "B"
    # The seventh rater counts from the first vote on.
    assert "new is preferred: 43 votes suffice" in done.describe("old", "new")
    assert verdict(cast(7, 7, lambda r, t: 0.0)).preferred == "A"
    few = verdict(cast(6, 12, lambda r, t: 1.0))
    assert not few.preferred and few.votes.shown
    assert "raters (6; unanimous ones suffice from 7 on)" in few.describe()


def test_what_was_decided_stays_decided():
    votes = cast(7, 7, lambda r, t: 1.0)
    later = [Preference(f"late {i}", f"t{i % 7}", 0.0) for i in range(49)]
    found = verdict(votes + later)
    assert not found.votes.shown and found.preferred == "B" and found.decided_after == 43
    assert verdict(later + votes).preferred == verdict(later).preferred


def test_reading_vote_by_vote_agrees_with_reading_all_at_once():
    rng = np.random.default_rng(0)
    votes = [Preference(f"r{i % 9}", f"t{i % 11}", float(rng.random() < 0.9)) for i in range(120)]
    reading = read(votes)
    first = next(n for n in range(1, 121) if read(votes[:n]).preferred)
    assert reading.decided_after == first
    at_once = verdict(votes[:first])
    assert at_once.votes.shown and at_once.raters.shown and at_once.texts.shown
    before = verdict(votes[: first - 1])
    assert not (before.votes.shown and before.raters.shown and before.texts.shown)


def test_an_undecided_test_says_how_much_more_would_tell():
    found = verdict(cast(8, 6, lambda r, t: float((r + t) % 3 > 0)))
    assert not found.preferred and 48 < found.votes.needed < 200
    twice = [vote.score for vote in cast(8, 6, lambda r, t: float((r + t) % 3 > 0))] * 10
    like_this = np.random.default_rng(0).permutation(twice)[: round(1.2 * found.votes.needed)]
    assert evidence(list(like_this)).shown
    more = found.votes.needed - 48
    assert f"about {more} more votes ({found.votes.needed} in all)" in found.describe()
    assert "no realistic number" in verdict(cast(8, 8, lambda r, t: float((r + t) % 2))).describe()


def test_no_fewer_votes_are_asked_for_than_raters_or_texts():
    for votes in (cast(5, 8, lambda r, t: float((r + t) % 4 > 0)), cast(1, 30, lambda r, t: float(t % 4 > 0))):
        told = verdict(votes).describe()
        asked = {kind: int(n) for n, kind in re.findall(r"(\d+) more (vote|rater|text)s? \(\d+ in all\)", told)}
        assert asked["vote"] >= max(asked.values()) and told.endswith(" will show it"), told


def test_enough_votes_by_too_few_raters_ask_for_raters_and_their_votes():
    found = verdict(cast(2, 8, lambda r, t: 1.0))
    assert found.votes.shown and found.texts.shown and found.raters.needed == 7
    assert found.describe().endswith("about 5 more votes (21 in all) and 5 more raters (7 in all) will show it")
    one = verdict(cast(6, 8, lambda r, t: 1.0))
    assert one.describe().endswith("about 1 more vote (49 in all) and 1 more rater (7 in all) will show it")


def test_one_rater_with_many_votes_cannot_carry_it():
    votes = cast(20, 10, lambda r, t: float((r + t) % 2)) + [Preference("zealot", f"x{t}", 1.0) for t in range(300)]
    found = verdict(votes)
    assert found.votes.shown and not found.raters.shown and not found.preferred
    assert "other raters" in found.describe()


def test_a_few_texts_cannot_carry_it():
    found = verdict(cast(40, 10, lambda r, t: 1.0 if t < 6 else float((r + t) % 2)))
    assert found.votes.shown and found.raters.shown and not found.texts.shown
    assert "other texts" in found.describe()


@pytest.mark.parametrize("score", [lambda r, t: float((r + t) % 2), lambda r, t: 0.5])
def test_votes_that_balance_decide_nothing(score):
    found = verdict(cast(20, 20, score))
    assert not found.preferred and "includes 50" in found.describe()


def test_no_votes_yet_decide_nothing():
    assert not verdict([]).preferred
    assert verdict([]).votes.low == 0 and verdict([]).votes.high == 1
    assert verdict([]).describe() == "not decided: no votes that count yet"


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_looking_after_every_vote_rarely_prefers_one_of_two_equals(world):
    found = simulate(world, 0.5, 150, 300, 10, 3)
    false_alarms = {rule: (when > 0).mean() for rule, (when, _) in found.items()}
    assert false_alarms["the rule"] <= 0.05
    assert false_alarms["binomial"] > 0.2  # so the simulation can tell


def test_a_clear_preference_is_found_and_never_the_wrong_one():
    when, for_b = simulate(WORLDS[1], 0.8, 60, 400, 10, 4)["the rule"]
    assert (when > 0).mean() > 0.9 and for_b[when > 0].all()
