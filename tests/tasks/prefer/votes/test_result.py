"""What the votes on a listening test show."""

import csv
import io
import json
import random
import re

import pytest

from model.pairs.votes import nominal_alpha
from tasks.prefer.votes import key as keys
from tasks.prefer.votes import returned
from tasks.prefer.votes.options import Scale
from tasks.prefer.votes.raters import interval_alpha
from tasks.prefer.votes.result import describe, result, to_csv, to_json, to_pairs
from tests.tasks.prefer.votes import listening
from tests.tasks.prefer.votes.listening import run

HEADER = "test,trial,choice,flipped,rater"


def cast(made, tmp_path, raters=9, for_after=0.9, careless=0):
    folder, key = made
    sheets = []
    for number in range(raters + careless):
        rng = random.Random(number)
        careful = number < raters
        choices = {t.trial: listening.answer(t, rng, for_after, careful) for t in key.trials}
        if not careful:  # at least two checks wrong
            choices |= {t.trial: "AB"[number % 2] for t in key.trials if t.role == "identical"}
        sheets.append(
            listening.sheet(tmp_path / f"{number}.csv", key, f"Rater {number}", lambda t, c=choices: c[t.trial])
        )
    return key, returned.read(folder, key, sheets)


def test_a_better_system_is_preferred_and_checks_and_practice_do_not_count(made, tmp_path):
    key, votes = cast(made, tmp_path)
    found = result(votes, key)
    assert len(found.kept) == 90 and not found.left_out
    assert found.verdict.preferred == "B"
    text = describe(found)
    assert re.search(r"after is preferred: [5-8]\d votes suffice", text) and "every rater passed" in text
    assert "Krippendorff's alpha" in text and "the sound on the left" in text
    content = to_json(found)
    assert content["preferred"] == "after" and content["votes"] == 90
    json.dumps(content, allow_nan=False)


def test_raters_who_fail_the_checks_are_named_and_left_out(made, tmp_path):
    key, votes = cast(made, tmp_path, careless=3)
    found = result(votes, key)
    assert sorted(rater.name for rater in found.left_out.values()) == ["Rater 10", "Rater 11", "Rater 9"]
    assert "left out: 3 raters with 30 votes (Rater 9: missed" in describe(found)
    assert "(one sound twice)" in describe(found)
    assert len(found.kept) == 90 and "Rater 10" not in to_csv(found)


def test_one_slip_in_four_checks_is_forgiven(made, tmp_path):
    key, _ = cast(made, tmp_path, raters=1)
    slip = next(trial for trial in key.trials if trial.role == "identical").trial
    [sheet] = tmp_path.glob("*.csv")
    sheet.write_text(re.sub(rf",{slip},tie,", f",{slip},A,", sheet.read_text()))
    found = result(returned.read(made[0], key, [sheet]), key)
    assert not found.left_out and len(found.raters["rater 0"].missed) == 1


@pytest.mark.parametrize(
    ("choose", "message"),
    [
        (lambda t: "A" if t.role == "warm-up" else "", "no votes that count yet (1 rater, practice or checks only)"),
        (lambda t: t.right or "", "no votes that count yet (1 rater, practice or checks only)"),
        (lambda t: "A" if not t.right else "tie" if t.role == "degraded" else "A",
         "no votes that count yet (1 rater left out)\nleft out: 1 rater with 10 votes"),
    ],
)  # fmt: skip
def test_without_votes_that_count_nothing_is_said_of_the_systems(made, tmp_path, choose, message):
    folder, key = made
    listening.sheet(tmp_path / "anna.csv", key, "anna", choose)
    outputs = ("--csv", tmp_path / "1.out", "--pairs", tmp_path / "2.out", "--json", tmp_path / "3.json")
    done = run("result", folder, tmp_path / "anna.csv", *outputs)
    assert done.exit_code == 0 and done.output.startswith(message), done.output
    assert "%" not in done.output and "preferred" not in done.output
    content = json.loads((tmp_path / "3.json").read_text())
    assert content["votes"] == content["raters"] == 0 and content["preferred"] is content["evidence"] is None
    assert (tmp_path / "1.out").read_text().count("\n") == 1 and (tmp_path / "2.out").read_text() == ""


def test_the_votes_become_pairs_and_a_table(made, tmp_path):
    key, votes = cast(made, tmp_path)
    found = result(votes, key)
    pairs = [json.loads(line) for line in to_pairs(found).splitlines()]
    assert {pair["id"] for pair in pairs} <= {f"t{i}" for i in range(10)} and len(pairs) >= 8
    for pair in pairs:
        assert 2 * pair["votes_for"] > pair["votes"] == 9
        assert {pair["chosen_system"], pair["rejected_system"]} == {"before", "after"}
    rows = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert len(rows) == 90 and {row["choice"] for row in rows} <= {"A", "B", "tie"}
    for row in rows[:5]:
        trial = key.by_trial[row["trial"]]
        assert (row["a_system"], row["A"], row["text"]) == (trial.a.system, trial.a.label, trial.text)


def test_sides_swapped_on_the_page_change_what_was_on_the_left_and_not_the_vote(made, tmp_path):
    folder, key = made
    sheet = listening.sheet(tmp_path / "a.csv", key, "anna", lambda t: "A")
    before = returned.read(folder, key, [sheet])
    sheet.write_text(sheet.read_text().replace(",A,0,", ",A,1,"))
    after = returned.read(folder, key, [sheet])
    assert [vote.choice for vote in before] == [vote.choice for vote in after]
    assert {vote.first for vote in before} == {"A"} and {vote.first for vote in after} == {"B"}


def test_ratings_give_both_systems_a_mean_and_a_paired_difference(folder):
    options = ("--scale", "quality", "--scale", "similarity", "--prompts", "prompts")
    assert run("before", "after", "--texts", "texts.csv", "--checks", 0, *options).exit_code == 0
    key = keys.read(folder / "listening")
    assert key.scales == ["quality", "similarity"] and all(trial.reference for trial in key.trials)
    lines = [f"{HEADER},quality_a,quality_b,similarity_a,similarity_b"]
    for rater in ("anna", "ben", "cleo"):
        for trial in key.trials:
            quality = {"before": 2, "after": 4}
            numbers = [quality[trial.a.system], quality[trial.b.system], 3, 3]
            lines.append(",".join([key.test, trial.trial, "tie", "0", rater, *map(str, numbers)]))
    (folder / "all.csv").write_text("\n".join(lines))
    done = run("result", "listening", "all.csv", "--json", "result.json")
    assert done.exit_code == 0, done.output
    assert "QMOS (1 to 5) with 95 % intervals: before 2.00 [2.00, 2.00], after 4.00 [4.00, 4.00]" in done.output
    assert "difference +2.00 [+2.00, +2.00]" in done.output and "of quality 1.00" in done.output
    assert json.loads((folder / "result.json").read_text())["quality"]["difference"]["value"] == 2


def test_the_scales_are_asked_in_one_order():
    assert [scale.value for scale in Scale] == list(keys.SCALES)


def test_interval_alpha_is_that_of_the_published_example():
    # Krippendorff 2011, section E: four observers, twelve units, missing values; interval data: 0.849.
    a = [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None]
    b = [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3]
    c = [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None]
    d = [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None]
    units = [[value for value in unit if value is not None] for unit in zip(a, b, c, d, strict=True)]
    assert interval_alpha(units) == pytest.approx(0.849, abs=5e-4)
    assert nominal_alpha(units) == pytest.approx(0.743, abs=5e-4)
