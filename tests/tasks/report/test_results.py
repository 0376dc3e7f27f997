"""The headline says neither more nor less than the paired interval allows, and groups are compared as all are."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tasks.common import params, paths
from tasks.common.files import write_json
from tasks.common.scores import table_of
from tasks.report import headline as headlines
from tasks.report import load
from tasks.report.results import differences
from tests.tasks.report.loop import BOUNDS, Loop


def headline(
    texts: str = "long", decoding: str = "best", **changes: dict[str, tuple[float, float, float]]
) -> headlines.Headline:
    """With the last iteration's differences on one set replaced: ``versus_start={"wer": (value, low, high)}``."""
    content = json.loads(paths.metrics("3").read_text())
    for kind, metrics in changes.items():
        for metric, (value, low, high) in metrics.items():
            table_of(content, "test", decoding, texts)[kind][metric] = {"value": value, "low": low, "high": high}
    write_json(paths.metrics("3"), content)
    found = headlines.headline(load.read(params.load(), ""))
    plain = [text.replace("\N{NO-BREAK SPACE}", " ") for text in (found.sentence, found.caveat, *found.notes)]
    return headlines.Headline(plain[0], plain[1], found.direction, plain[2:])


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
    found = headline(versus_start={"wer": interval})
    assert found.direction == direction
    assert says in found.sentence
    assert ("includes zero" in found.sentence) == (direction == "includes zero")


def wer(loop: Loop, iteration: str, texts: str) -> str:
    return f"{100 * table_of(loop.metrics(iteration), set=texts)['all']['wer']['value']:.1f} %"


def test_headline_gives_both_rates_the_relative_change_and_the_interval(make_loop: Callable) -> None:
    loop = make_loop()
    sentence = headline(versus_start={"wer": (-0.0312, -0.0523, -0.0101)}).sentence
    before = table_of(loop.metrics("0"))["all"]["wer"]["value"]
    assert sentence.startswith("On texts longer than SFT had, alignment lowered")
    assert f"{wer(loop, '0', 'long')} at the start, {wer(loop, '3', 'long')} after iteration 3" in sentence
    assert f"(−{100 * 0.0312 / before:.0f} %), each at its own best decoding" in sentence
    assert "−3.12 points (95 % interval −5.23 to −1.01)" in sentence


@pytest.mark.parametrize(
    ("interval", "says"),
    [
        ((0.012, 0.004, 0.021), "On texts as long as SFT's, it rose: "),
        ((0.012, -0.004, 0.021), "On texts as long as SFT's, it did not change significantly: "),
    ],
)
def test_the_caveat_has_the_other_set_of_texts(
    make_loop: Callable, interval: tuple[float, float, float], says: str
) -> None:
    loop = make_loop()
    caveat = headline("recorded", versus_start={"wer": interval}).caveat
    assert f"{says}{wer(loop, '0', 'recorded')} at the start, {wer(loop, '3', 'recorded')} now (+1.20 points" in caveat


@pytest.mark.parametrize(("ceiling", "says"), [(0.9, "are cloned at least halfway"), (1.2, "are not cloned")])
def test_the_caveat_says_how_far_unseen_voices_are_cloned(make_loop: Callable, ceiling: float, says: str) -> None:
    loop = make_loop()
    file = paths.CEILING / "metrics.json"
    content = json.loads(file.read_text())
    content["voices"]["unseen"]["ceiling"] = {"value": ceiling, "low": ceiling, "high": ceiling}
    write_json(file, content)
    value = table_of(loop.metrics("3"), set="recorded")["unseen"]["similarity"]["value"]
    share = 100 * (value - BOUNDS["floor"]) / (ceiling - BOUNDS["floor"])
    caveat = headline().caveat
    assert f"Unseen voices {says}: their similarity of {value:.3f} is {share:.0f} % of the way" in caveat
    assert f"from two different speakers ({BOUNDS['floor']:.3f}) to the same one ({ceiling:.3f})." in caveat


def test_without_long_texts_the_headline_is_of_recorded_ones(make_loop: Callable) -> None:
    make_loop(sets=("recorded",))
    found = headline("recorded")
    assert found.sentence.startswith("On texts as long as SFT's, alignment")
    assert "On texts" not in found.caveat


def test_side_effects_are_named_only_where_significant(make_loop: Callable) -> None:
    make_loop()
    quiet = {"similarity": (-0.01, -0.03, 0.01), "duration_ratio": (0.1, -0.1, 0.2)}
    headline("long", versus_start={"similarity": (-0.01, -0.03, 0.01)})
    notes = headline("recorded", versus_start=quiet).notes
    assert not [note for note in notes if "imilarity" in note or "uration" in note]
    loud = {"similarity": (-0.02, -0.03, -0.01), "duration_ratio": (0.1, 0.05, 0.2)}
    notes = headline("recorded", versus_start=loud).notes
    assert any("Speaker similarity on recorded texts fell" in note for note in notes)
    assert any("Speech became longer" in note for note in notes)


def test_notes_have_the_held_out_recognizer_and_the_loops_decoding(make_loop: Callable) -> None:
    make_loop()
    headline(versus_start={"held_out_wer": (-0.02, -0.03, -0.01)})
    notes = " ".join(headline(decoding="loop", versus_start={"wer": (-0.04, -0.05, -0.03)}).notes)
    assert "The held-out recognizer finds −2.00 points (95 % interval −3.00 to −1.00) on long texts." in notes
    assert "loop's decoding (T 1) the difference on long texts is −4.00 points" in notes


def test_a_last_step_for_the_worse_is_named(make_loop: Callable) -> None:
    make_loop()
    notes = headline(versus_previous={"wer": (0.02, 0.01, 0.03)}).notes
    assert any("On long texts iteration 3 is worse than iteration 2" in note for note in notes)


def test_the_iteration_that_dev_prefers_is_named(make_loop: Callable) -> None:
    make_loop(error_rates={"0": 0.4, "1": 0.02, "2": 0.3, "3": 0.3})
    assert any("Dev prefers iteration 1" in note for note in headline().notes)


@pytest.mark.parametrize("decoding", ["best", "loop"])
def test_differences_within_groups_agree_with_those_over_all(make_loop: Callable, decoding: str) -> None:
    """With seen speakers alone, "seen" must equal "all" as ``evaluate`` computed it."""
    make_loop(speakers=[("m1", True), ("m6", True)])
    inputs = load.read(params.load(), "")
    everyone, seen = (differences(inputs, "long", group, decoding) for group in ("all", "seen"))
    for kind in ("versus_start", "versus_previous"):
        for name in ("1", "2", "3"):
            assert everyone[kind][name].keys() == seen[kind][name].keys() >= {"wer", "similarity"}
            for metric, a in everyone[kind][name].items():
                b = seen[kind][name][metric]
                assert b.value == pytest.approx(a.value, abs=1e-12)
                # Another number of resamples: close, not equal.
                assert b.low == pytest.approx(a.low, abs=0.5 * (a.high - a.low) + 1e-9)
                assert b.high == pytest.approx(a.high, abs=0.5 * (a.high - a.low) + 1e-9)
    assert differences(inputs, "long", "unseen", decoding)["versus_start"]["1"] == {}
