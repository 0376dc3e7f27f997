"""Several draws of the test set: what is added up, what is averaged, and that every draw is another one."""

from __future__ import annotations

from dataclasses import astuple
from itertools import pairwise

import pytest

from model.judges.held_out import HeldOut
from model.judges.panel import Panel
from model.voice import Voice
from study import draws
from tasks.common import paths, schemas
from tasks.common.evaluation import EvaluationSet, evaluate_policy
from tasks.common.files import write_table
from tasks.common.scores import compare, summarize
from tasks.common.utterances import Utterances
from tests.tasks.register import tiny


def test_errors_add_up_and_similarities_are_averaged():
    first = tiny.judged(5, similarity=0.6, held_out_wer=0.5, held_out_similarity=0.4, f0_spread=3.0)
    second = tiny.judged(5, similarity=0.8, held_out_wer=0.5, held_out_similarity=0.6, f0_spread=4.0, seed=1)
    second[0]["f0_spread"] = None  # too little of it was voiced
    second[1]["f0_spread"] = first[1]["f0_spread"] = None
    rows = draws.merged([first, second])
    for row, a, b in zip(rows, first, second, strict=True):
        assert row["word_errors"] == a["word_errors"] + b["word_errors"]
        assert (row["words"], row["seconds"], row["golden_seconds"]) == (6, 3.0, 3.0)
        assert row["held_out_word_errors"] == a["held_out_word_errors"] + b["held_out_word_errors"]
        assert row["similarity"] == pytest.approx((a["similarity"] + b["similarity"]) / 2)
        assert row["seed"] == a["seed"]
    assert rows[0]["f0_spread"] == first[0]["f0_spread"]
    assert rows[1]["f0_spread"] is None


def test_judges_that_there_are_none_of_have_no_scores():
    rows = draws.merged([tiny.judged(5), tiny.judged(5, seed=1)])
    assert "held_out_wer" not in summarize(rows, 50, 0)


def test_a_judge_that_missed_a_draw_counts_for_none():
    rows = draws.merged([tiny.judged(5), tiny.judged(5, held_out_wer=0.5, seed=1)])
    assert {row["held_out_word_errors"] for row in rows} == {None}


def test_the_interval_is_over_utterances_and_not_over_draws():
    before, after = tiny.judged(100, wer=0.3), tiny.judged(100, wer=0.2, seed=1)
    once = compare(before, after, 500, 0)["wer"]
    same = compare(draws.merged([before] * 9), draws.merged([after] * 9), 500, 0)["wer"]
    assert astuple(same) == pytest.approx(astuple(once))  # the same draw nine times adds no information


def test_draws_of_other_utterances_are_refused():
    with pytest.raises(ValueError, match="different utterances or prompts"):
        draws.merged([tiny.judged(5), tiny.judged(5, test_set="other")])


def test_every_draw_of_the_test_set_has_seeds_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = tiny.params(tmp_path, iterations=1)
    tiny.write_models(tmp_path)
    tiny.write_recognizer(tmp_path)
    tiny.write_test_split(tmp_path, 4)
    test = EvaluationSet(Utterances.read("test"), settings)
    panel, nobody = Panel(settings.models.recognizer, "cpu"), HeldOut(None, None, "cpu")
    for k in ("0", "1"):
        tiny.write_policy(tmp_path, k, seed=int(k))
        voice = Voice.load(paths.ar(k), paths.NAR, settings.models.codec, "cpu", settings.prompt_frames)
        rows, _ = evaluate_policy(voice, test, panel, nobody, settings, k)
        write_table(paths.utterances(k), rows, schemas.UTTERANCES)
    drawn = draws.evaluate(["0", "1"], 3, settings, "cpu")
    for draws_of_one in drawn.values():
        seeds = [tuple(row["seed"] for row in rows) for rows in draws_of_one]
        assert len(set(seeds)) == 3
        assert len({row["seed"] for rows in draws_of_one for row in rows}) == 12
        assert any(a["seconds"] != b["seconds"] for x, y in pairwise(draws_of_one) for a, b in zip(x, y, strict=True))
    for before, after in zip(drawn["0"], drawn["1"], strict=True):
        assert [row["seed"] for row in before] == [row["seed"] for row in after]
    text = draws.report(drawn, 100, 0)
    assert "| metric | SFT | iteration 1 | difference, paired | relative |" in text
    assert "* iteration 1: " in text
