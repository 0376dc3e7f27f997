"""Scores of judged utterances, and the table of metrics that they are computed by."""

import subprocess
import sys

import numpy as np
import pytest

from model.statistics import Interval
from tasks.common.scores import (
    METRICS,
    by_speaker_kind,
    compare,
    confirmable,
    rows_at,
    sets_of,
    summarize,
    table_of,
    tables,
)
from tests.conftest import REPOSITORY


def row(i, errors=0, words=4, similarity=0.8, seen=True, seconds=1.0, draw=0, deletions=0, **more):
    """One judged sample: by default of the recorded set, at the best decoding."""
    return {
        "id": f"u{i}", "prompt_id": f"p{i}", "set": "recorded", "draw": draw, "seed": 10 * i + draw, "decoding": "best",
        "speaker": f"s{i % 7}", "seen": seen, "finished": True, "word_errors": errors, "words": words,
        "deletions": deletions, "insertions": 0, "spoken_words": words - deletions, "character_errors": errors,
        "folded_word_errors": errors, "folded_words": words,
        "characters": 5 * words, "similarity": similarity, "seconds": seconds, "golden_seconds": 1.0, **more,
    }  # fmt: skip


def test_error_rates_are_micro_averaged():
    rows = [row(0, errors=1, words=1), row(1, errors=0, words=9)]
    assert summarize(rows, 200, 0)["wer"].value == pytest.approx(0.1)  # not the mean of 1 and 0


def test_failed_samples_count():
    rows = [row(0), row(1, errors=4, similarity=0.0, seconds=0.0)]
    summary = summarize(rows, 200, 0)
    assert summary["wer"].value == 0.5
    assert summary["similarity"].value == pytest.approx(0.4)
    assert summary["duration_ratio"].value == 0.5


def test_skips_repetitions_and_cut_off_samples_are_counted():
    rows = [row(0, deletions=2), row(1, insertions=3, spoken_words=7), row(2, finished=False), row(3)]
    found = {name: score.value for name, score in summarize(rows, 200, 0).items()}
    assert found["deletions"] == 2 / 16
    assert found["insertions"] == 3 / 16
    assert found["spoken"] == (2 + 7 + 4 + 4) / 16
    assert found["unfinished"] == 0.25


def test_draws_of_one_text_are_no_new_evidence():
    once = [row(i, errors=i % 3) for i in range(40)]
    four = [row(i, errors=i % 3, draw=draw) for i in range(40) for draw in range(4)]
    one, more = (summarize(rows, 500, 0)["wer"] for rows in (once, four))
    assert (more.low, more.high) == pytest.approx((one.low, one.high))


def test_a_text_without_a_recording_has_no_duration_ratio():
    rows = [row(i, set="long", golden_seconds=None) for i in range(5)]
    assert "duration_ratio" not in summarize(rows, 100, 0)
    assert "wer" in summarize(rows, 100, 0)


def of_policy(errors, loop=True):
    """Rows of a test split with both sets, at its best decoding and, if asked for, at the loop's."""
    return [
        row(i + 100 * (which == "long"), errors + (decoding == "loop"), draw=draw, set=which, decoding=decoding)
        for which in ("recorded", "long")
        for decoding in (("best", "loop") if loop else ("best",))
        for i in range(20)
        for draw in range(2)
    ]


def test_tables_count_texts_and_compare_each_decoding_with_its_own():
    found = tables(of_policy(1), "loop", 200, 0, before={"versus_start": of_policy(2, loop=False)})
    assert list(found) == ["recorded", "long"]
    assert (found["long"]["texts"], found["long"]["draws"]) == (20, 2)
    assert found["long"]["all"]["wer"]["value"] == 0.5
    assert found["long"]["versus_start"]["wer"]["value"] == 0.0  # the start's best decoding is the loop's


def test_policies_with_unequal_draws_are_compared_on_the_draws_that_both_have():
    fewer = [r for r in of_policy(1) if r["decoding"] == "best" or r["draw"] == 0]
    more = [{**r, "word_errors": 9} if r["draw"] else r for r in of_policy(2, loop=False)]
    for before, after, change in ((more, fewer, 0.0), (fewer, more, 0.0)):
        found = tables(after, "loop", 200, 0, before={"versus_start": before})
        assert found["long"]["versus_start"]["wer"]["value"] == change


def test_a_table_that_was_not_made_is_named():
    metrics = {"iteration": "1", "scores": {"test": {"best": {"recorded": {"texts": 3}}}}}
    assert table_of(metrics, set="recorded") == {"texts": 3}
    assert sets_of(metrics) == ["recorded"]
    with pytest.raises(ValueError, match="no scores of test/best/long, only of test/best/recorded"):
        table_of(metrics)


def test_equal_decodings_are_stored_once_as_best():
    assert {r["decoding"] for r in rows_at(of_policy(1), "loop", "long")} == {"loop"}
    assert len(rows_at(of_policy(1, loop=False), "loop", "long")) == 40


def test_intervals_hold_the_value():
    rng = np.random.default_rng(0)
    rows = [row(i, errors=int(rng.integers(0, 3)), similarity=float(rng.random())) for i in range(60)]
    for interval in summarize(rows, 500, 0).values():
        assert interval.low <= interval.value <= interval.high


def test_a_constant_improvement_has_a_paired_interval_of_no_width():
    rng = np.random.default_rng(0)
    before = [row(i, errors=1 + int(rng.integers(0, 3))) for i in range(60)]
    after = [{**r, "word_errors": r["word_errors"] - 1} for r in before][::-1]  # order does not matter
    difference = compare(before, after, 500, 0)["wer"]
    assert difference.value == pytest.approx(-0.25)
    assert difference.low == pytest.approx(-0.25)
    assert difference.high == pytest.approx(-0.25)


def test_tables_of_other_utterances_cannot_be_compared():
    with pytest.raises(ValueError, match="2 test utterances, prompts or seeds differ"):
        compare([row(0), row(1)], [row(0), row(2)], 100, 0)


def test_seen_and_unseen_speakers_are_reported_apart():
    kinds = by_speaker_kind([row(0, errors=4), row(1, seen=False)], 100, 0)
    assert [kinds[k]["wer"].value for k in ("all", "seen", "unseen")] == [0.5, 1.0, 0.0]
    assert "unseen" not in by_speaker_kind([row(0)], 100, 0)


def judged_twice(i, errors=1, similarity=0.5, spread=4.0):
    return {**row(i), "held_out_word_errors": errors, "held_out_similarity": similarity, "f0_spread": spread}


def test_held_out_judges_are_reported_where_there_are_any_and_change_nothing_else():
    without = [row(i, errors=i % 2) for i in range(8)]
    found = [{**judged_twice(i), **r} for i, r in enumerate(without)]
    plain, more = summarize(without, 100, 0), summarize(found, 100, 0)
    assert set(plain) == {name for name, metric in METRICS.items() if metric.in_loop and not metric.held_out}
    assert {name: more[name] for name in plain} == plain
    assert more["held_out_wer"].value == 0.25
    assert more["held_out_similarity"].value == 0.5
    assert set(compare(without, found, 100, 0)) == set(plain)  # only one of them has held-out scores
    assert set(compare(found, found, 100, 0)) == {name for name, metric in METRICS.items() if metric.in_loop}


def test_a_sample_without_sound_counts_for_the_held_out_judges_too():
    summary = summarize([judged_twice(0, errors=0), judged_twice(1, errors=4, similarity=0.0, spread=None)], 100, 0)
    assert summary["held_out_wer"].value == 0.5
    assert summary["held_out_similarity"].value == 0.25
    assert summary["f0_spread"].value == 4.0  # no sound has no pitch


def test_pitch_is_compared_on_utterances_that_have_one_in_both():
    before = [judged_twice(0, spread=4.0), judged_twice(1, spread=None), judged_twice(2, spread=10.0)]
    after = [judged_twice(0, spread=3.0), judged_twice(1, spread=9.0), judged_twice(2, spread=None)]
    assert compare(before, after, 100, 0)["f0_spread"].value == -1.0
    assert "f0_spread" not in compare(before[1:], after[1:], 100, 0)


def test_judging_only_some_of_the_utterances_is_an_error():
    with pytest.raises(ValueError, match="lack held_out_word_errors"):
        summarize([judged_twice(0), {**judged_twice(1), "held_out_word_errors": None}], 100, 0)


def test_scores_results_and_report_import_no_torch():
    code = "import sys, tasks.common.scores, flows.results, tasks.report.__main__; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout.strip() == "False"


def test_a_metric_writes_its_numbers_with_its_unit_in_the_heading():
    wer, similarity = METRICS["wer"], METRICS["similarity"]
    assert [wer.heading, METRICS["held_out_wer"].heading, similarity.heading] == ["WER %", "WER %, held out", "SIM"]
    assert wer.text(Interval(0.049, 0.04, 0.058)) == "4.9 [4.0, 5.8]"
    assert wer.difference_text(Interval(-0.0123, -0.02, 0.001)) == "-1.23 [-2.00, +0.10]"
    assert similarity.difference_text(Interval(0.01, 0.0, 0.02)) == "+0.010 [+0.000, +0.020]"


def test_every_confirming_metric_is_a_held_out_one_that_is_better_alike():
    for own, other in confirmable():
        assert not own.held_out and other.held_out
        assert own.better == other.better != 0
