from model.pairs import golden, own_samples
from model.pairs.candidate import Candidate


def candidate(key, wer, similarity=0.8, finished=True, n_frames=40):
    return Candidate(key, n_frames, finished, wer, similarity)


def test_best_is_preferred_to_worst():
    pair = own_samples.prefer([candidate(0, 0.5), candidate(1, 0.0), candidate(2, 1.0)], min_wer_gap=0.2)
    assert (pair.chosen.key, pair.rejected.key) == (1, 2)
    assert "0.00 against 1.00" in pair.reason


def test_no_pair_below_the_gap():
    assert own_samples.prefer([candidate(0, 0.5), candidate(1, 0.4)], min_wer_gap=0.2) is None


def test_a_clearer_sample_that_lost_the_voice_is_not_preferred():
    samples = [candidate(0, 0.0, similarity=0.5), candidate(1, 1.0, similarity=0.9)]
    assert own_samples.prefer(samples, min_wer_gap=0.2) is None


def test_a_cut_off_sample_is_never_chosen_but_may_be_rejected():
    pair = own_samples.prefer(
        [candidate(0, 0.0, finished=False), candidate(1, 0.0), candidate(2, 1.0, finished=False)], 0.2
    )
    assert (pair.chosen.key, pair.rejected.key) == (1, 2)


def test_an_empty_sample_is_on_neither_side():
    assert own_samples.prefer([candidate(0, 1.0, n_frames=0, finished=True), candidate(1, 0.0)], 0.2) is None


def test_golden_is_preferred_to_the_first_sample_with_sound():
    pair = golden.prefer(candidate(-1, float("nan")), [candidate(0, 0.0, n_frames=0), candidate(1, 0.0)])
    assert (pair.chosen.key, pair.rejected.key) == (-1, 1)
    assert golden.prefer(candidate(-1, 0.0), [candidate(0, 0.0, n_frames=0)]) is None
