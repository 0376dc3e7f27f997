"""The page says where its numbers were computed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tasks.common import params
from tasks.report.load import read
from tasks.report.provenance import environments
from tests.tasks.report.test_page import page_of

HERE, THERE = ({"processor": name, "sft_precision": "float32"} for name in "AB")


def note(environments_of: dict[str, dict]) -> None:
    """Add environments to the metrics of a loop."""
    for name, environment in environments_of.items():
        file = Path("runs") / name / "metrics.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "environment": environment}))


def test_systems_of_one_environment_share_a_column(make_loop: Callable) -> None:
    make_loop()
    note({"0": HERE, "1": THERE, "ceiling": HERE})
    headings, rows = environments(read(params.load(), ""))
    assert headings == ["Iteration 0 (start), golden speech", "Iteration 1"]
    assert rows == [("processor", ["A", "B"]), ("sft precision", ["float32", "float32"])]
    assert "Where these numbers come from" in page_of()


def test_numbers_without_an_environment_need_no_table(make_loop: Callable) -> None:
    make_loop()
    assert environments(read(params.load(), "")) == ([], [])
    assert "Where these numbers come from" not in page_of()
