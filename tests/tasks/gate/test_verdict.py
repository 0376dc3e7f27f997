"""What follows from two systems' rows, in words and as an exit status."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.made_systems import Row, system
from model.errors import InputError
from tasks.gate import show
from tasks.gate.findings import LEAST_TEXTS, aligned
from tasks.gate.margins import Margins, parse
from tasks.gate.verdict import Verdict, judge, last_line, overall

BEFORE = system(400)
NAMES = ("before", "after")


def verdict(after: list[Row], before: list[Row] = BEFORE) -> Verdict:
    return judge(before, after, Margins(), NAMES, resamples=1000)


def after(seed: int = 1, **quality: Any) -> list[Row]:
    return system(400, seed=seed, **quality)


def states(found: Verdict) -> dict[str, str]:
    return {f.name: f.state for f in found.findings if f.margin is not None}


GOOD = {"wer": 0.05, "second": 0.22}
FEWER = {"wer": 0.09, "second": 0.29}  # too little to claim, enough to exclude a loss


@pytest.mark.parametrize(
    ("quality", "answer", "measures"),
    [
        pytest.param({}, "not shown", set(), id="equal"),
        pytest.param(GOOD, "better", {"wer"}, id="half the errors"),
        pytest.param({"wer": 0.05}, "not shown", {"wer"}, id="half the errors, by one recognizer only"),
        pytest.param({**FEWER, "similarity": 0.75}, "better", {"similarity"}, id="closer to the voice"),
        pytest.param({**FEWER, "mos": 3.7}, "better", {"mos"}, id="cleaner"),
        pytest.param({**GOOD, "similarity": 0.65}, "worse", {"similarity"}, id="bought with the voice"),
        pytest.param({**GOOD, "mos": 3.1}, "worse", {"mos"}, id="bought with quality"),
        pytest.param({**GOOD, "f0_spread": 3.5}, "worse", {"f0_spread"}, id="bought with prosody"),
        pytest.param({**GOOD, "f0_spread": None}, "worse", {"f0_spread"}, id="whispered"),
        pytest.param({**GOOD, "speed": 1.5}, "worse", {"words_per_second"}, id="bought with speed"),
        pytest.param({**GOOD, "speed": 4.0}, "worse", {"words_per_second"}, id="too fast"),
        pytest.param({"wer": 0.2, "second": 0.4}, "worse", {"wer"}, id="twice the errors"),
        pytest.param({"failed": 0.1}, "worse", {"failed"}, id="every tenth missing"),
        pytest.param({**GOOD, "unjudged": 0.04}, "worse", {"unjudged"}, id="the recognizer fails on it"),
        pytest.param({"similarity": 0.698}, "not shown", set(), id="within the margin"),
    ],
)
def test_the_verdict(quality: dict, answer: str, measures: set[str]):
    found = verdict(after(**quality))
    assert found.answer == answer, found.sentence
    assert found.code == {"better": 0, "worse": 1, "not shown": 2}[answer]
    wanted = {"worse": "worse"}.get(answer, "better")
    assert measures <= {name for name, state in states(found).items() if state == wanted}, states(found)


def test_a_better_system_is_described_with_what_it_did_not_cost():
    sentence = verdict(after(**GOOD)).sentence
    assert sentence.startswith("after is better in WER (−")
    assert "not worse in SIM, predicted MOS, failed recordings, second WER, F0 spread, speed and " in sentence
    assert sentence.endswith("; both recognizers agree")
    alone = judge(system(400, second=None), system(400, second=None, seed=1, wer=0.05), Margins(), NAMES, 1000)
    assert alone.answer == "better" and alone.sentence.endswith("; one recognizer only")


def test_too_fast_is_not_called_worse_in_speed():
    assert verdict(after(speed=4.0)).sentence.startswith("after is faster than allowed (+60\u00a0%")
    both = verdict(after(wer=0.2, second=0.4, speed=1.5)).sentence
    assert "after is worse in WER (+" in both and ", and slower than allowed (−40\u00a0%" in both
    assert both.endswith("must stay within ±15\u00a0%)")


def test_a_gain_that_the_second_recognizer_excludes_is_doubted():
    found = verdict(after(wer=0.03))
    assert found.answer == "not shown"
    assert "the second recognizer excludes half of the gain in WER: the first may be fooled" in found.reasons


@pytest.mark.parametrize("texts", [1, 2, 5, LEAST_TEXTS - 1])
def test_of_few_texts_nothing_follows_however_large_the_difference(texts: int):
    bad, good = system(texts, 2, wer=0.9, second=0.9), system(texts, 2, seed=1, wer=0.0, second=0.0, similarity=0.9)
    for first, second in ((bad, good), (good, bad), (good, [dict(row) for row in good])):
        found = judge(first, second, Margins(), NAMES, 1000)
        assert (found.answer, found.more_texts) == ("not shown", None)
        assert found.headline.startswith(
            f"Not shown: {texts} text{' is' if texts == 1 else 's are'} too few to tell anything from chance; 8 are "
        )
        assert set(states(found).values()) == {"open"}
        assert not any("95" in line[3] for line in show.lines(found)), "an interval of too few texts"
        assert {line[4] for line in show.lines(found)} == {"too few texts", ""}


def test_a_large_difference_shows_in_ten_texts():
    bad, good = system(10, 2, wer=0.6, second=0.8), system(10, 2, seed=1, wer=0.02, second=0.05)
    assert judge(good, bad, Margins(), NAMES, 1000).answer == "worse"
    assert states(judge(bad, good, Margins(), NAMES, 1000))["wer"] == "better"


@pytest.mark.parametrize("texts", [9, 14, 20])
def test_equal_systems_of_few_texts_seldom_win_or_lose(texts: int):
    made = [[system(texts, seed=2 * i + k, wer=0.2, material=i) for k in (0, 1)] for i in range(25)]
    found = [judge(first, second, Margins(), NAMES, 1000).answer for first, second in made]
    assert found.count("not shown") >= 22, found


def test_few_texts_without_a_difference_exclude_no_loss():
    perfect = [system(12, seed=seed, wer=0.0, second=0.0) for seed in (1, 2)]
    found = states(judge(*perfect, Margins(), NAMES, 1000))
    assert found["wer"] == "open" and found["failed"] == "not worse"  # failures are counted


def without(rows: list[Row], *ids: str) -> list[Row]:
    lost = {"file": None, "problem": "missing audio: expected a file, found none", "finished": False, "seconds": 0.0,
            "speech_seconds": None, "f0_spread": None, "similarity": 0.0, "mos": 1.0, "word_errors": 10}  # fmt: skip
    return [{**row, **lost} if row["id"] in ids else dict(row) for row in rows]


@pytest.mark.parametrize(
    ("texts", "missing", "answer"),
    [(3, 2, "not shown"), (20, 1, "not shown"), (20, 2, "not shown"), (20, 6, "worse"), (100, 3, "not shown"),
     (100, 10, "worse"), (400, 1, "better"), (400, 40, "worse")],
)  # fmt: skip
def test_missing_files_are_judged_like_every_other_loss_and_always_named(texts: int, missing: int, answer: str):
    """Six files more are beyond chance; below the margin of 1 % they do not stand in the way of "better"."""
    names = [f"t{i}" for i in range(missing)]
    better = system(texts, seed=1, wer=0.03, second=0.15)
    found = judge(system(texts), without(better, *names), Margins(), NAMES, 1000)
    assert found.answer == answer, found.sentence
    assert (states(found)["failed"] == "worse") == (answer == "worse")
    some = f"{missing} of {texts} texts {'has' if missing == 1 else 'have'} no recording by after (t0"
    assert some in found.headline


def test_files_that_both_lack_are_no_loss():
    rows = system(20)
    found = judge(without(rows, "t1"), without(rows, "t1"), Margins(), NAMES, 1000)
    assert states(found)["failed"] == "not worse" and found.answer == "not shown"
    assert states(judge(rows, without(rows, "t1"), parse(["failed=0.5"]), NAMES, 1000))["failed"] == "not worse"


def test_a_missing_file_is_not_voiceless():
    rows = system(12)
    found = judge(rows, without(rows, *(f"t{i}" for i in range(8))), Margins(), NAMES, 1000)
    assert "failed recordings" in found.sentence and "F0 spread" not in found.sentence
    assert all(f.state != "worse" for f in found.findings if f.name == "f0_spread")


def test_what_only_the_correction_leaves_open_is_marked():
    for seed in range(40):
        found = judge(system(100), system(100, seed=seed, similarity=0.708), Margins(), NAMES, 1000)
        marked = [line for line in show.lines(found) if line[4].endswith("*")]
        if marked:
            break
    assert marked and show.footnoted(found)
    assert all(f.change.difference.excludes_zero and f.state != "better" for f in found.findings if f.corrected)


def test_unjudged_recordings_leave_no_word_error_rate_behind():
    found = verdict(after(**GOOD, unjudged=0.3), before=system(400, unjudged=0.3))
    assert found.answer != "better"
    assert any("failed on more than 5% of before, so no word error rate is claimed" in r for r in found.reasons)
    [wer] = [f for f in found.findings if f.name == "wer"]
    assert 150 < wer.pairs < 240  # only those that both have, and none of them counted as 0 or 1


def test_systems_may_have_unequal_draws_and_each_text_counts_once():
    one, four = system(100), system(100, 4, seed=1, wer=0.05, second=0.2)
    first, second = aligned(one, four)
    assert len(first) == len(second) == 400
    assert all(a["id"] == b["id"] for a, b in zip(first, second, strict=True))
    found = {f.name: f for f in judge(one, four, Margins(), NAMES, 1000).findings}
    assert found["wer"].change.before == pytest.approx(sum(r["word_errors"] for r in one) / 1000)
    assert found["wer"].change.before + found["wer"].change.difference.value == pytest.approx(
        sum(r["word_errors"] for r in four) / 4000
    )
    assert found["wer"].pairs == 400 and found["failed"].pairs == 400
    with pytest.raises(InputError, match="97 and 100 draws"):
        aligned(system(1, 97), system(1, 100))


def test_recordings_without_a_similarity_are_left_out_of_it_alone():
    some = [[{**row, "similarity": None} if row["id"] < "t3" else row for row in system(60, seed=i)] for i in (1, 2)]
    found = {f.name: f for f in judge(*some, Margins(), NAMES, 1000).findings}
    assert found["similarity"].pairs == sum(f"t{i}" >= "t3" for i in range(60)) and found["wer"].pairs == 60


def test_without_speakers_texts_are_resampled():
    found = judge(
        system(100, speakers=0), system(100, speakers=0, seed=1, wer=0.03, second=0.2), Margins(), NAMES, 1000
    )
    [wer] = [f for f in found.findings if f.name == "wer"]
    assert wer.change.difference.low < wer.change.difference.value < wer.change.difference.high


def test_better_than_the_first_and_not_worse_than_any_other():
    good, worse = verdict(after(**GOOD)), verdict(after(**GOOD), before=system(400, wer=0.02, second=0.15))
    as_good, equal = verdict(after(**GOOD), before=after(2, **GOOD)), verdict(after())
    wide = judge(system(12, wer=0.3), system(12, seed=1, wer=0.3), Margins(), ("best", "after"), 1000)
    for verdicts, line in (
        ([good, as_good], "Better: after is better than before and not worse than before"),
        ([good, worse], "Worse: after is worse than before"),
        ([equal, as_good], "Not shown: after is not shown to be better than before"),
        ([good, wide], "Not shown: after is better than before, but a loss against best is not excluded"),
    ):
        assert last_line(verdicts) == line and line.lower().startswith(f"{overall(verdicts)}: ")
    assert last_line([good]) == good.headline and good.headline.startswith("Better: after is better in WER (−")
    assert last_line([worse]).startswith("Worse: after is worse in WER (+")
    assert last_line([equal]).startswith("Not shown: no measure is significantly better")


def test_a_margin_is_shown_in_the_unit_of_its_difference():
    shown = {f.name: (show.amount_parts(f)[0], show.margin(f)) for f in verdict(after(wer=0.12)).findings}
    assert shown["wer"][0].endswith("\u00a0%") and shown["wer"][1] == "+20\u00a0%"
    assert shown["words_per_second"][1] == "±15\u00a0%" and shown["failed"][1] == "+1.00\u00a0points"
    assert shown["similarity"][1] == "−0.030" and shown["cer"][1] == "–"


def test_margins_are_relative_to_the_system_before():
    narrow = judge(BEFORE, after(similarity=0.69, **GOOD), parse(["similarity=0.01"]), NAMES, 1000)
    assert narrow.answer == "worse" and states(narrow)["similarity"] == "worse"
    assert verdict(after(similarity=0.69, **GOOD)).answer == "better"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("pitch=0.1", "expected one of wer, similarity, mos"),
        ("=0.1", "expected one of wer"),
        ("wer", "expected a number, such as wer=0.1"),
        ("wer=a", "expected a number"),
        ("wer=0.1=2", "expected a number"),
        ("wer=-0.1", "a share from 0 to 1"),
        ("wer=20", "a share from 0 to 1"),
        ("wer=nan", "a share from 0 to 1"),
        ("mos=0.1 mos=0.2", "--margin mos is given twice; keep one of them"),
    ],
)
def test_margins_that_make_no_sense_are_refused(given: str, message: str):
    with pytest.raises(InputError, match=message):
        parse(given.split())
