import numpy as np
import pytest

from model.pairs import golden, likelihood, longest, own_samples, random_labels
from model.pairs.candidate import Candidate


def candidate(key, wer, similarity=0.8, finished=True, n_frames=40, spoken=True, logprob=-1.0):
    return Candidate(key, n_frames, finished, spoken, wer, similarity, logprob)


def preferred(samples, min_wer_gap=0.2, max_chosen_wer=0.6):
    return own_samples.prefer(samples, min_wer_gap=min_wer_gap, max_chosen_wer=max_chosen_wer)


def test_best_is_preferred_to_worst():
    pair = preferred([candidate(0, 0.5), candidate(1, 0.0), candidate(2, 1.0)])
    assert (pair.chosen.key, pair.rejected.key) == (1, 2)
    assert "0.00 against 1.00" in pair.reason


def test_no_pair_below_the_gap():
    assert preferred([candidate(0, 0.5), candidate(1, 0.4)]) is None


def test_a_clearer_sample_that_lost_the_voice_is_not_preferred():
    samples = [candidate(0, 0.0, similarity=0.5), candidate(1, 1.0, similarity=0.9)]
    assert preferred(samples) is None


def test_a_cut_off_sample_is_never_chosen_but_may_be_rejected():
    pair = preferred([candidate(0, 0.0, finished=False), candidate(1, 0.0), candidate(2, 1.0, finished=False)])
    assert (pair.chosen.key, pair.rejected.key) == (1, 2)


def test_an_empty_sample_is_on_neither_side():
    assert preferred([candidate(0, 1.0, n_frames=0, finished=True), candidate(1, 0.0)]) is None


def test_golden_is_preferred_to_the_first_sample_with_sound():
    pair = golden.prefer(candidate(-1, float("nan")), [candidate(0, 0.0, n_frames=0), candidate(1, 0.0)])
    assert (pair.chosen.key, pair.rejected.key) == (-1, 1)
    assert golden.prefer(candidate(-1, 0.0), [candidate(0, 0.0, n_frames=0)]) is None


@pytest.mark.parametrize("best", [candidate(0, 0.7), candidate(0, 0.0, spoken=False)])
def test_a_sample_above_the_limit_or_without_a_word_is_never_chosen(best):
    assert preferred([best, candidate(1, 1.0)], max_chosen_wer=0.6) is None
    assert preferred([best, candidate(2, 0.6), candidate(1, 1.0)], max_chosen_wer=0.6).chosen.key == 2


def test_likelihood_ranks_samples_without_an_error_and_no_others():
    right = [candidate(0, 0.0, logprob=-2.0), candidate(1, 0.0, logprob=-0.5), candidate(2, 0.0, logprob=-1.0)]
    wrong = [candidate(3, 0.25, logprob=-0.1), candidate(4, 0.0, logprob=-9.0, finished=False)]
    pair = likelihood.prefer([*right, *wrong])
    assert (pair.chosen.key, pair.rejected.key) == (1, 0)
    assert likelihood.prefer([right[0], *wrong]) is None


def test_the_longest_sample_that_ended_is_preferred_to_the_shortest_whatever_it_says():
    samples = [candidate(0, 0.0, n_frames=50), candidate(1, 1.0, n_frames=90), candidate(2, 0.0, n_frames=70)]
    pair = longest.prefer([*samples, candidate(3, 0.0, n_frames=400, finished=False), candidate(4, 0.0, n_frames=0)])
    assert (pair.chosen.key, pair.rejected.key) == (1, 0)
    assert longest.prefer([candidate(0, 0.0), candidate(1, 1.0)]) is None


def test_random_labels_turn_round_about_half_of_the_pairs():
    pair = preferred([candidate(0, 0.0), candidate(1, 1.0)])
    rng = np.random.default_rng(0)
    relabelled = [random_labels.relabel(pair, rng) for _ in range(400)]
    assert {frozenset((p.chosen.key, p.rejected.key)) for p in relabelled} == {frozenset((0, 1))}
    assert 160 < sum(p.chosen.key == 1 for p in relabelled) < 240
    assert random_labels.relabel(None, rng) is None
