"""What can be seen with so many texts, and many systems ranked."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from benchmarks.made_systems import system
from flows import cli
from model.errors import InputError
from tasks.gate.findings import findings, metric_of
from tasks.gate.margins import Margins
from tasks.gate.power import Design
from tasks.gate.ranking import MEASURES, rank, scores
from tests.tasks.gate.conftest import JUDGES, embedded, gate


def test_more_texts_and_more_draws_see_less():
    least = [Design(n, d, 0.05, 10).least() for n, d in ((100, 1), (400, 1), (400, 4))]
    assert least[0] > least[1] > least[2] > 0.1
    assert Design(5, 1, 0.02, 5).least() is None


def test_the_texts_that_are_said_to_be_needed_are_enough():
    for reduction in (0.1, 0.3, 0.5):
        needed = Design(1, 2, 0.08, 12).texts_for(reduction)
        assert Design(needed, 2, 0.08, 12).chance(reduction) == pytest.approx(0.8, abs=0.01)


def test_the_chance_is_that_of_simulated_systems():
    # The standard error against the spread of simulated differences.
    plan, reduction = Design(150, 2, 0.1, 10), 0.3
    made = {"draw_shape": 2.0, "text_shape": 1.5, "second": None, "speakers": 0}
    differences = []
    for i in range(60):
        rates = [
            sum(r["word_errors"] for r in system(150, 2, wer=wer, seed=2 * i + k, material=i, **made)) / 3000
            for k, wer in enumerate((0.1, 0.07))
        ]
        differences.append(rates[1] - rates[0])
    mean = sum(differences) / 60
    spread = (sum((d - mean) ** 2 for d in differences) / 59) ** 0.5
    assert plan.standard_error(reduction) == pytest.approx(spread, rel=0.3)


def test_the_command_prints_it():
    done = gate("power", "--texts", 400, "--draws", 4, "--wer", 0.05)
    assert done.exit_code == 0
    assert re.search(r"seen with a chance of 80%: \d\d% fewer word errors", done.output)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--texts", "0"], "expected a number from 1"),
        (["--texts", "400", "--draws", "0"], "--draws 0"),
        (["--texts", "400", "--wer", "5"], "such as 0.05 for 5 %"),
        (["--texts", "400", "--wer", "0"], "expected a share above 0"),
        (["--texts", "400", "--words", "nan"], "--words nan"),
        (["--texts", "many"], "Invalid value"),
        ([], "--texts"),
    ],
)
def test_a_plan_that_makes_no_sense_is_bad_input(arguments, message):
    done = CliRunner().invoke(cli.app, ["gate", "power", *arguments])
    assert done.exit_code == 3 and message in done.output


def test_systems_are_ranked_and_those_that_can_not_be_told_apart_share_a_letter():
    rows = {
        "bad": system(300, wer=0.4, seed=1),
        "good": system(300, wer=0.05, seed=2),
        "good too": system(300, wer=0.052, seed=3),
        "fair": system(300, wer=0.15, seed=4),
    }
    places = rank(rows, resamples=1000)
    assert [(place.best, place.worst, place.groups) for place in places] == [
        (1, 2, "a"),
        (1, 2, "a"),
        (3, 3, "b"),
        (4, 4, "c"),
    ]
    assert {place.name for place in places[:2]} == {"good", "good too"}
    assert all(place.score.low < place.score.value < place.score.high for place in places)
    assert [place.name for place in rank(rows, "similarity", 1000)] != []
    for by, message in (("pitch", "expected one of wer"), ("held_out_similarity", "was not measured by it")):
        with pytest.raises(InputError, match=message):
            rank(rows, by)


def test_a_table_shows_the_distance_to_the_best_and_tells_few_texts_apart_by_nothing():
    first, *others = rank({"good": system(200, wer=0.05, seed=1), "bad": system(200, wer=0.4, seed=2)}, resamples=1000)
    assert first.behind is None and others[0].behind is not None and others[0].behind.low > 0.2
    few = rank({"good": system(4, wer=0.0, seed=1), "bad": system(4, wer=0.9, seed=2)}, resamples=1000)
    assert {(place.best, place.worst, place.groups, place.few) for place in few} == {(1, 2, "a", True)}


def test_a_table_of_two_has_the_values_of_their_comparison():
    first, second = system(60, 2, seed=1, unjudged=0.05), system(60, 3, seed=2, wer=0.2)
    for row in first[:30] + second[-20:]:
        row["f0_spread"] = None
    found = {f.name: f.change for f in findings(first, second, Margins(), 1000)}
    table = scores({"first": first, "second": second}, list(map(metric_of, MEASURES)), 1000, 0)
    assert {"wer", "f0_spread", "words_per_second", "failed", "similarity"} <= set(table)
    for name, of_system in table.items():
        assert of_system["first"].value == pytest.approx(found[name].before)
        assert of_system["second"].value == pytest.approx(found[name].before + found[name].difference.value)


@embedded
def test_a_table_of_folders(spoken):
    arguments = [spoken / "a", spoken / "b", spoken / "prompts", "--texts", spoken / "texts.csv", "--no-mos", *JUDGES]
    refused = gate("table", *arguments)
    assert refused.exit_code == 3 and "belongs to a text" in refused.output
    done = gate("table", *arguments[:2], *arguments[3:], "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert {place["name"] for place in found["systems"]} == {"a", "b"}
    printed = gate("table", *arguments[:2], *arguments[3:])
    assert "share a letter" in printed.output and "WER %" in printed.output
    assert gate("table", spoken / "a", "--texts", spoken / "texts.csv").exit_code == 3
