"""The headline says neither more nor less than the paired interval allows, and groups are compared as all are."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tasks.common import params, paths
from tasks.common.files import write_json
from tasks.common.scores import METRICS
from tasks.report import headline as headlines
from tasks.report import load
from tasks.report.results import differences


def headline(**changes: dict[str, tuple[float, float, float]]) -> headlines.Headline:
    """With the last iteration's paired differences replaced: ``versus_sft={"wer": (value, low, high)}``."""
    content = json.loads(paths.metrics("3").read_text())
    for kind, metrics in changes.items():
        for metric, (value, low, high) in metrics.items():
            content[kind][metric] = {"value": value, "low": low, "high": high}
    write_json(paths.metrics("3"), content)
    return headlines.headline(load.read(params.load(), ""))


@pytest.mark.parametrize(
    ("interval", "direction", "says"),
    [
        ((-0.03, -0.05, -0.01), "better", "lowered the word error rate significantly"),
        ((0.03, 0.01, 0.05), "worse", "raised the word error rate significantly"),
        ((-0.03, -0.07, 0.01), "includes zero", "did not change the word error rate significantly"),
        ((0.03, -0.01, 0.07), "includes zero", "did not change the word error rate significantly"),
        ((-0.03, -0.06, 0.0), "includes zero", "which includes zero"),
        ((0.0, 0.0, 0.0), "includes zero", "did not change the word error rate significantly"),
    ],
)
def test_headline_follows_the_interval(
    make_loop: Callable, interval: tuple[float, float, float], direction: str, says: str
) -> None:
    make_loop()
    found = headline(versus_sft={"wer": interval})
    assert found.direction == direction
    assert says in found.sentence
    assert ("includes zero" in found.sentence) == (direction == "includes zero")


def test_headline_gives_both_rates_and_the_interval(make_loop: Callable) -> None:
    loop = make_loop()
    sentence = headline(versus_sft={"wer": (-0.0312, -0.0523, -0.0101)}).sentence.replace("\N{NO-BREAK SPACE}", " ")
    assert f"{100 * loop.metrics('0')['all']['wer']['value']:.1f} % after SFT" in sentence
    assert "−3.12 points (95 % interval −5.23 to −1.01)" in sentence


def test_side_effects_are_named_only_where_significant(make_loop: Callable) -> None:
    make_loop()
    quiet = {"similarity": (-0.01, -0.03, 0.01), "duration_ratio": (0.1, -0.1, 0.2)}
    assert not [note for note in headline(versus_sft=quiet).notes if "imilarity" in note or "uration" in note]
    loud = {"similarity": (-0.02, -0.03, -0.01), "duration_ratio": (0.1, 0.05, 0.2)}
    notes = " ".join(headline(versus_sft=loud).notes)
    assert "Speaker similarity fell" in notes
    assert "Speech became longer" in notes


def test_a_last_step_for_the_worse_is_named(make_loop: Callable) -> None:
    make_loop()
    notes = headline(versus_previous={"wer": (0.02, 0.01, 0.03)}).notes
    assert any("Iteration 3 is worse than iteration 2" in note for note in notes)


def test_better_earlier_iteration_is_named_with_a_warning(make_loop: Callable) -> None:
    make_loop(error_rates={"0": 0.4, "1": 0.02, "2": 0.3, "3": 0.3})
    assert any("lowest WER is that of Iteration 1" in note for note in headline().notes)


def test_differences_within_groups_agree_with_those_over_all(make_loop: Callable) -> None:
    """With seen speakers alone, "seen" must equal "all" as ``evaluate`` computed it."""
    make_loop(speakers=[("m1", True), ("m6", True)])
    inputs = load.read(params.load(), "")
    everyone, seen = differences(inputs, "all"), differences(inputs, "seen")
    for kind in ("versus_sft", "versus_previous"):
        for name in ("1", "2", "3"):
            for metric in METRICS:
                a, b = everyone[kind][name][metric], seen[kind][name][metric]
                assert b.value == pytest.approx(a.value, abs=1e-12)
                # Another number of resamples and another seed: close, not equal.
                assert b.low == pytest.approx(a.low, abs=0.35 * (a.high - a.low) + 1e-9)
                assert b.high == pytest.approx(a.high, abs=0.35 * (a.high - a.low) + 1e-9)
    assert differences(inputs, "unseen")["versus_sft"]["1"] == {}
