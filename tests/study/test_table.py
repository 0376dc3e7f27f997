"""Rows of the study's tables: pooled over seeds, and compared with the right start and the right arm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from study import table
from study.arms import Study, load
from tasks.common import schemas
from tasks.common.files import write_json, write_table
from tests.conftest import REPOSITORY

ARM = {"group": "controls", "shares": "pairs"}
STUDY = {
    "seeds": [17, 18],
    "common": {},
    "loop": {"title": "DPO", "group": "loop", "first": 0, "last": 3, "shares": "nothing", "against": None},
    "arms": {"sft": {**ARM, "title": "continued SFT"}, "late": {**ARM, "title": "late", "first": 2, "last": 2}},
    "one_seed": [17],
    "single": {"ipo": {**ARM, "title": "IPO", "group": "methods", "against": "sft"}},
    "starts": {"less": {"title": "less", "group": "data", "first": 0, "last": 0, "shares": "data", "against": None}},
    "later": {"golden": {**ARM, "title": "golden", "group": "data", "after": "less", "against": None}},
}
TEXTS = 30
WORDS = {"recorded": 3, "long": 6}


def judged(seed: int, wer: float, sets: tuple[str, ...] = ("recorded", "long")) -> list[dict[str, Any]]:
    """Two draws of each text; the texts of one seed are others than those of another."""
    rng = np.random.default_rng([seed, round(1000 * wer)])
    empty = dict.fromkeys(schemas.UTTERANCES.names)
    return [
        {
            **empty,
            "id": f"test-{i}",
            "set": name,
            "speaker": f"s{i % 5}",
            "seen": i % 5 > 1,
            "text": f"{seed} {name} {i}",
            "prompt_id": f"test-{i + 1}",
            "draw": draw,
            "seed": 1000 * seed + 10 * i + draw + (500 if name == "long" else 0),
            "decoding": decoding,
            "temperature": 0.5,
            "finished": True,
            "word_errors": int(rng.binomial(WORDS[name], wer if decoding == "best" else 0.9)),
            "words": WORDS[name],
            "held_out_word_errors": int(rng.binomial(WORDS[name], wer)),
            "similarity": 0.8,
            "seconds": 1.0,
        }
        for decoding in ("best", "loop")
        for name in sets
        for i in range(TEXTS)
        for draw in range(2)
    ]


def write(study: Study, name: str, iteration: int, wer: float, seeds: tuple[int, ...] = (17, 18), **judging: Any):
    for seed in seeds:
        folder = study.results(name, seed) / str(iteration)
        write_table(folder / "utterances.parquet", judged(seed, wer, **judging), schemas.UTTERANCES)
        write_json(folder / "metrics.json", {"decoding": {"best": {"temperature": 0.5}}})


@pytest.fixture
def study(tmp_path, monkeypatch) -> Study:
    monkeypatch.chdir(tmp_path)
    Path("study").mkdir()
    Path("study/params.yaml").write_text(yaml.safe_dump(STUDY))
    study = load()
    for iteration, wer in enumerate((0.4, 0.3, 0.25, 0.1)):
        write(study, "loop", iteration, wer)
    write(study, "sft", 1, 0.41)
    return study


def entry(study: Study, name: str, iteration: int) -> dict[str, Any]:
    found = table.entry_of(study, name, iteration, 200, 0)
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
    assert scores["each_seed"]["17"]["value"] == pytest.approx(rate(17, 0.3) - rate(17, 0.4))


def test_a_text_that_two_seeds_share_is_one_text(study):
    rows = table.read(study, "loop", [17, 18], 0)
    assert len({row["id"] for row in rows if row["text"].startswith("17")}) == 2 * TEXTS
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
    assert table.entry_of(study, "late", 2, 200, 0) is None
    write(study, "ipo", 1, 0.35, seeds=(17,))
    for seed in (17, 18):
        (study.results("sft", seed) / "1/metrics.json").unlink()
    assert "versus" not in entry(study, "ipo", 1)["sets"]["long"]


def test_the_page_names_every_gain_with_its_interval_and_the_relative_change(study, capsys):
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["evaluate"]["bootstrap_samples"] = 200
    Path("params.yaml").write_text(yaml.safe_dump(params))
    table.main()
    page = Path("reports/study.md").read_text()
    assert page.strip() in capsys.readouterr().out
    assert page.count("| DPO, iteration 3 |") == 4  # in both sets: against the start, and on each seed
    found = {e["title"]: e for e in json.loads(Path("reports/study.json").read_text())}
    scores = found["DPO, iteration 3"]["sets"]["recorded"]
    change = scores["versus_start"]["wer"]["value"]
    relative = 100 * change / (scores["all"]["wer"]["value"] - change)
    part = page.split("## Texts as long")[1]
    line = next(line for line in part.splitlines() if line.startswith("| DPO, iteration 3 |"))
    assert f"{100 * change:+.2f} [".replace("-", "−") in line and f"| {relative:+.0f} %".replace("-", "−") in line
    assert any(line.startswith("| continued SFT |") and "(DPO, iteration 1)" in line for line in page.splitlines())


def test_without_any_loop_the_page_says_what_to_run(study):
    for seed in (17, 18):
        for iteration in range(4):
            (study.results("loop", seed) / f"{iteration}/metrics.json").unlink()
    with pytest.raises(Exception, match="study --targets loop"):
        table.page([], study)
