"""Scores pooled over seeds, and compared with the right start and the right arm."""

from typing import Any

import numpy as np
import pytest

from study.arms import Study
from study.pooled import Results
from tests.study.made import TEXTS, judged, write


def entry(study: Study, name: str, iteration: int) -> dict[str, Any]:
    found = Results(study, 200, 0).entry(name, iteration)
    assert found is not None
    return found


def rate(seed: int, wer: float, which: str = "long") -> float:
    rows = [row for row in judged(seed, wer) if row["set"] == which and row["decoding"] == "best"]
    return sum(row["word_errors"] for row in rows) / sum(row["words"] for row in rows)


def test_seeds_are_pooled_at_the_best_decoding_and_their_texts_kept_apart(study):
    found = entry(study, "loop", 1)
    scores = found["sets"]["long"]
    assert scores["texts"] == 2 * TEXTS and scores["samples"] == 4 * TEXTS
    assert scores["all"]["wer"]["value"] == pytest.approx((rate(17, 0.3) + rate(18, 0.3)) / 2)
    assert scores["versus_start"]["wer"]["value"] == pytest.approx(
        np.mean([rate(s, 0.3) - rate(s, 0.4) for s in (17, 18)])
    )
    assert {*scores} >= {"all", "seen", "unseen"}
    assert scores["loop"]["all"]["wer"]["value"] > 0.8 and "versus_start" in scores["loop"]
    assert scores["each_seed"]["17"]["value"] == pytest.approx(rate(17, 0.3) - rate(17, 0.4))


def test_a_text_that_two_seeds_share_is_one_text(study):
    rows = Results(study, 200, 0).rows("loop", 0, [17, 18], "recorded")
    assert len({row["id"] for row in rows if row["text"].startswith("17")}) == TEXTS
    assert rows[0]["id"] == "s0: 17 recorded 0"


def test_an_arm_is_compared_after_as_many_iterations_on_the_same_seeds(study):
    against = entry(study, "sft", 1)
    assert against["against"] == "DPO, iteration 1"
    assert against["sets"]["long"]["versus"]["wer"]["value"] == pytest.approx(
        np.mean([rate(s, 0.41) - rate(s, 0.3) for s in (17, 18)])
    )
    write(study, "late", 2, 0.2, seeds=(18,))
    late = entry(study, "late", 2)
    assert late["seeds"] == [18] and late["against"] == "DPO, iteration 2"
    assert late["sets"]["long"]["versus"]["wer"]["value"] == pytest.approx(rate(18, 0.2) - rate(18, 0.25))
    assert late["sets"]["long"]["versus_start"]["wer"]["value"] == pytest.approx(rate(18, 0.2) - rate(18, 0.4))
    write(study, "ipo", 1, 0.35, seeds=(17,))
    assert entry(study, "ipo", 1)["against"] == "continued SFT"


def test_an_arm_from_another_start_is_compared_with_that_start(study):
    write(study, "less", 0, 0.8, seeds=(17,), sets=("recorded",))
    write(study, "golden", 1, 0.7, seeds=(17,), sets=("recorded",))
    found = entry(study, "golden", 1)
    assert set(found["sets"]) == {"recorded"} and found["against"] is None
    change = found["sets"]["recorded"]["versus_start"]["wer"]["value"]
    assert change == pytest.approx(rate(17, 0.7, "recorded") - rate(17, 0.8, "recorded"))


def test_arms_that_have_not_run_are_left_out_and_so_are_their_comparisons(study):
    assert Results(study, 200, 0).entry("late", 2) is None
    write(study, "ipo", 1, 0.35, seeds=(17,))
    for seed in (17, 18):
        (study.results("sft", seed) / "1/metrics.json").unlink()
    assert "versus" not in entry(study, "ipo", 1)["sets"]["long"]
