"""What a run brought: the table of iterations, where to look, and both as Prefect artifacts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from flows.graph import Graph
from tasks.common import paths

# Key in metrics.json, heading, digits after the point, factor.
COLUMNS = (
    ("wer", "WER %", 1, 100.0),
    ("cer", "CER %", 1, 100.0),
    ("similarity", "SIM", 3, 1.0),
    ("duration_ratio", "duration ratio", 2, 1.0),
    ("held_out_wer", "WER %, held out", 1, 100.0),
)
_CEILING = {
    "golden": "golden speech",
    "resynthesised": "golden, resynthesised",
    "golden_nar": "golden level 1 + NAR",
}


def rows(graph: Graph) -> list[dict[str, str]]:
    """A row a system, policies first: its name and "value [low, high]" of each measure over all test utterances."""
    table = []
    for iteration in graph.judges():
        if (content := _read(paths.metrics(iteration))) is not None:
            name = "0 (SFT)" if iteration == "0" else iteration
            table.append({"iteration": name, **_cells(content["all"])})
    ceiling = _read(paths.CEILING / "metrics.json") or {}
    table.extend({"iteration": _CEILING.get(name, name), **_cells(content["all"])} for name, content in ceiling.items())
    return table


def publish(table: list[dict[str, str]]) -> None:
    """Keep the table and the link to the report with the flow run."""
    from prefect.artifacts import create_link_artifact, create_table_artifact  # the rest here does without Prefect

    if table:
        create_table_artifact(
            table=table,
            key="speechalign-results",
            description="Held-out test utterances, each with a 95 % interval (bootstrap over utterances)",
        )
    if paths.REPORT.is_file():
        create_link_artifact(
            link=paths.REPORT.resolve().as_uri(), key="speechalign-report", link_text=str(paths.REPORT)
        )


def show(table: list[dict[str, str]], console: Console | None = None) -> None:
    """Print the table and where to look."""
    console = console or Console()
    if not console.is_terminal:
        console.width = max(console.width, 120)  # a log has no edge
    if table:
        shown = Table(title="Held-out test utterances (95 % intervals)")
        for column in table[0]:
            shown.add_column(column, no_wrap=column == "iteration")
        for row in table:
            shown.add_row(*row.values())
        console.print(shown)
    if paths.REPORT.is_file():
        console.print(f"report      {paths.REPORT}", highlight=False, soft_wrap=True)
    if Path("mlflow.db").is_file():
        console.print("MLflow      mlflow ui --backend-store-uri sqlite:///mlflow.db", highlight=False, soft_wrap=True)
    console.print("Prefect     PREFECT_HOME=.prefect prefect server start", highlight=False, soft_wrap=True)


def _cells(measures: dict[str, Any]) -> dict[str, str]:
    cells = {}
    for key, heading, digits, factor in COLUMNS:
        measure = measures.get(key)
        if measure is None:
            cells[heading] = "–"
        else:
            value, low, high = (f"{measure[end] * factor:.{digits}f}" for end in ("value", "low", "high"))
            cells[heading] = f"{value} [{low}, {high}]"
    return cells


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
