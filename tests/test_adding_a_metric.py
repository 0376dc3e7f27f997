"""A row in the table of metrics, and its column, are all that a new metric needs."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows import results
from tasks.common import paths, schemas
from tasks.common.files import read_table
from tasks.common.scores import METRICS, Metric, rows_at, summarize, table_of
from tasks.report.__main__ import write
from tests.tasks.report.loop import RESAMPLES, Loop

ITERATIONS = ("0", "1")


@pytest.mark.parametrize("held_out", [False, True], ids=["own judge", "held-out judge"])
def test_a_made_up_metric_appears_wherever_metrics_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held_out: bool
):
    monkeypatch.chdir(tmp_path)
    made_up = Metric(
        name="mistakes",
        numerator="word_errors",  # its judge's column
        title="Mistakes per utterance",
        short="Mistakes",
        unit="pcs",
        difference_unit="pcs",
        digits=4,
        better=-1,
        held_out=held_out,
    )
    monkeypatch.setitem(METRICS, made_up.name, made_up)
    Loop(tmp_path, error_rates={"0": 0.3, "1": 0.1}).write()
    rows = rows_at(read_table(paths.utterances("1"), schemas.UTTERANCES), "best", "long")

    score = summarize(rows, RESAMPLES, 0)["mistakes"]
    assert score.value == sum(row["word_errors"] for row in rows) / len(rows)
    metrics = table_of(json.loads(paths.metrics("1").read_text()))
    assert metrics["all"]["mistakes"] == score.to_json()

    write(Path("page.html"))
    page = Path("page.html").read_text(encoding="utf-8")
    section = page.split('<section id="held-out">')[held_out].split("</section>")[0]
    assert '<abbr title="Mistakes per utterance">Mistakes</abbr>' in section
    assert f"{score.value:.4f}\N{NO-BREAK SPACE}pcs" in section
    change = metrics["versus_start"]["mistakes"]["value"]
    assert f"{change:+.4f}\N{NO-BREAK SPACE}pcs".replace("-", "−") in section

    table = results.rows(SimpleNamespace(judges=lambda: ITERATIONS))  # type: ignore[arg-type]
    shown = [row["Mistakes pcs"] for row in table if (row["texts"], row["system"]) == ("long", "iteration 1")]
    assert shown == [made_up.text(score)]
