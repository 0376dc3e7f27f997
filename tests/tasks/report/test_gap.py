"""The section on the gap: its sentence says what the interval allows, its tables hold every number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tasks.common import paths, schemas
from tasks.common.files import DataError, write_json, write_table
from tasks.report.__main__ import write


def number(value: float, width: float = 0.1) -> dict[str, float]:
    return {"value": value, "low": value - width, "high": value + width}


def measured(name: str, value: float, change: float | None) -> None:
    """What the gap stage leaves of one iteration."""
    noise = {"floor": 0.0123, "floor_high": 0.0234, "p": 0.001}
    cost = {row: {"wer": number(0.0456), "similarity": number(0.7531)} for row in ("golden", "synthetic", "difference")}
    content = {
        "iteration": name,
        "utterances": 40,
        "left_out": 2,
        "dimensions": 16,
        "distances": {key: {**number(value), **noise} for key in ("frechet", "codes", "seconds")},
        "halves": {"golden": 0.011, "synthetic": 0.022},
        "classifier": {**number(0.71), "p": 0.0099},
        "table1": cost,
    }
    if change is not None:
        content["versus_start"] = {key: number(change) for key in ("frechet", "codes", "seconds", "classifier")}
    write_json(paths.gap(name), content)
    rng = np.random.default_rng(0)
    points = [
        {"id": f"u{i}", "system": system, "x": float(x), "y": float(y), "seconds": 1.0 + i / 40}
        for system in ("golden", "synthetic")
        for i, (x, y) in enumerate(rng.normal(size=(40, 2)))
    ]
    write_table(paths.gap_points(name), points, schemas.GAP_POINTS)
    paths.gap_codes(name).write_text("code,golden,synthetic\n0,5,1\n1,3,9\n2,2,0\n")


def section() -> str:
    write(Path("page.html"))
    page = Path("page.html").read_text(encoding="utf-8")
    return page[page.index('<section id="gap">') :].split("</section>")[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (-0.4, "Alignment narrows the gap significantly"),
        (0.4, "Alignment widens the gap significantly"),
        (-0.05, "Alignment does not change the gap significantly"),
    ],
)
def test_the_sentence_says_what_the_interval_allows(make_loop: Callable, change: float, said: str) -> None:
    make_loop(error_rates={"0": 0.1, "1": 0.1})
    measured("0", 0.5, None)
    measured("1", 0.5 + change, change)
    assert said in section()
    assert ("which includes zero" in section()) == (abs(change) < 0.1)


def test_numbers_and_the_floor_are_on_the_page(make_loop: Callable) -> None:
    make_loop(error_rates={"0": 0.1, "1": 0.1})
    measured("0", 0.4871, None)
    measured("1", 0.3762, -0.1109)
    text = section()
    for expected in ("0.4871", "0.3762", "−0.1109", "0.0123", "71.0", "0.753", "p = 0.010", "2 left out"):
        assert expected in text
    assert "not measured: nar_synthetic has not run" in text


def test_every_iteration_has_its_projection(make_loop: Callable) -> None:
    make_loop(error_rates={"0": 0.1, "1": 0.1})
    measured("0", 0.5, None)
    measured("1", 0.4, -0.1)
    drawn = [
        ElementTree.fromstring(svg + "</svg>")
        for svg in section().split("</svg>")
        for svg in [svg[svg.rindex("<svg") :] if "<svg" in svg else ""]
        if "t-SNE" in svg
    ]
    assert len(drawn) == 2
    for svg in drawn:
        assert [(path.get("d") or "").count("M") for path in svg.iter("path")] == [40, 40]


def test_without_a_gap_stage_the_section_says_so(make_loop: Callable) -> None:
    make_loop(error_rates={"0": 0.1})
    assert "Not measured: no gap stage has run." in section()


def test_sft_alone_has_a_gap_and_no_change(make_loop: Callable) -> None:
    make_loop(error_rates={"0": 0.1})
    measured("0", 0.5, None)
    assert "differs significantly from chance." in section()


def test_a_damaged_file_is_named(make_loop: Callable) -> None:
    make_loop(error_rates={"0": 0.1})
    write_json(paths.gap("0"), {"iteration": "0"})
    with pytest.raises(DataError, match=r"runs/0/gap\.json lacks distances, classifier, table1"):
        section()


def test_a_silent_policy_is_named_beside_what_was_measured(make_loop: Callable) -> None:
    make_loop(error_rates={"0": 0.1, "1": 0.9})
    measured("0", 0.5, None)
    write_json(paths.gap("1"), {"iteration": "1", "left_out": 40, "why": "nothing was sampled for 40 of 42 utterances"})
    text = section()
    assert "Iteration 1: not measured, nothing was sampled for 40 of 42 utterances." in text
    assert "differs significantly from chance." in text
