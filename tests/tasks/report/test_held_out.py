"""The page's section on judges that took no part in choosing pairs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from model.statistics import Interval
from tasks.common.page import numbers
from tasks.common.scores import METRICS, SYSTEMS, by_judge, table_of
from tasks.report.__main__ import write

SECTION = "Judges that took no part in choosing pairs"


def page_of() -> str:
    write(Path("page.html"))
    return Path("page.html").read_text(encoding="utf-8")


def test_every_held_out_number_is_on_the_page(make_loop: Callable) -> None:
    loop = make_loop()
    page = page_of()
    ceiling = json.loads(Path("runs/ceiling/metrics.json").read_text())
    tables = [table_of(loop.metrics(k), set=texts) for k in loop.error_rates for texts in loop.sets]
    for content in [*tables, *(ceiling[system] for system in SYSTEMS)]:
        for metric in by_judge(held_out=True):
            interval = Interval.from_json(content["all"][metric.name])
            assert numbers.level(interval.value, metric) in page
            assert numbers.level_interval(interval, metric) in page
            if "versus_start" in content and metric.name != "f0_spread":  # which is shown as a ratio
                interval = Interval.from_json(content["versus_start"][metric.name])
                assert numbers.difference(interval.value, metric) in page
                assert numbers.difference_interval(interval, metric) in page


def test_a_gamed_recognizer_raises_an_alarm_with_both_numbers(make_loop: Callable) -> None:
    rates = {"0": 0.3, "1": 0.28, "2": 0.05, "3": 0.27}
    loop = make_loop(
        sets=("recorded",), utterances=120, error_rates=rates, held_out_rates={"0": 0.3, "1": 0.3, "2": 0.4, "3": 0.3}
    )
    page = page_of()
    [alarm] = [line for line in page.split("<p") if 'class="alarm"' in line]
    assert "Reward hacking suspected in iteration 2" in alarm and "on recorded texts" in alarm
    for metric in (METRICS["wer"], METRICS["held_out_wer"]):
        interval = Interval.from_json(table_of(loop.metrics("2"), set="recorded")["versus_start"][metric.name])
        assert numbers.difference(interval.value, metric) in alarm
        assert numbers.difference_interval(interval, metric) in alarm


def test_a_confirmed_gain_and_an_inconclusive_one_raise_no_alarm(make_loop: Callable) -> None:
    make_loop(
        sets=("recorded",),
        utterances=120,
        error_rates={"0": 0.3, "1": 0.05, "2": 0.3},
        held_out_rates={"0": 0.4, "1": 0.1, "2": 0.4},
    )
    page = page_of()
    assert 'class="alarm"' not in page
    table = page[page.index(SECTION) :]
    first, second = (table[table.index(f"Iteration {k} <span") :].split("</tr>")[0] for k in ("1", "2"))
    assert "confirmed by the held-out judge" in first
    assert "confirmed by the held-out judge" not in second and "inconclusive" in second


def test_flattened_pitch_is_named(make_loop: Callable) -> None:
    make_loop(spreads={"3": 3.0})
    page = page_of()
    assert page.count(">flattened<") == 2  # on either set of texts
    assert any(f"{ratio} times the start" in page for ratio in ("0.73", "0.74", "0.75", "0.76", "0.77"))


def test_without_held_out_judges_the_page_says_so(make_loop: Callable) -> None:
    make_loop(held_out_rates=None)
    page = page_of()
    assert "Not measured: params.yaml names no held-out judge" in page
    assert 'class="alarm"' not in page
