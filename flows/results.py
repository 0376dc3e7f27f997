"""Results of a run: the table of iterations, where to look, and both as Prefect artifacts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from flows.graph import Graph
from model.statistics import Interval
from tasks.common import paths, secrets
from tasks.common.files import read_json
from tasks.common.scores import METRICS, SYSTEMS, sets_of, table_of
from tasks.common.tracking.client import tracking_uri
from tasks.common.tracking.database import file_of
from tasks.common.wording import decoding_text, policy_text

TITLE = "Test, each policy at its own best decoding"


def rows(graph: Graph) -> list[dict[str, str]]:
    """One row per set of texts and system, policies first: "value [low, high]" of each metric on test.

    Each policy is at its own best decoding, chosen on dev. The set of the headline comes first. Golden speech exists
    for recorded texts only.
    """
    table = []
    policies = {k: content for k in graph.judges() if (content := _read(paths.metrics(k))) is not None}
    for texts in dict.fromkeys(name for content in policies.values() for name in sets_of(content)):
        for iteration, content in policies.items():
            if texts in sets_of(content):
                name, decoding = policy_text(iteration), decoding_text(content["decoding"]["best"])
                table.append(_row(texts, name, decoding, table_of(content, set=texts)["all"]))
    for name, content in (_read(paths.CEILING / "metrics.json") or {}).items():
        if "all" in content:  # a system, not the environment
            table.append(_row("recorded", SYSTEMS.get(name, name), "–", content["all"]))
    return table


def publish(table: list[dict[str, str]]) -> None:
    """Keep the table and the link to the report with the flow run."""
    from prefect.artifacts import create_link_artifact, create_table_artifact  # the rest here does without Prefect

    if table:
        create_table_artifact(
            table=table,
            key="speechalign-results",
            description=f"{TITLE}; 95 % intervals (bootstrap over speakers)",
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
        shown = Table(title=f"{TITLE} (95 % intervals)")
        for column in table[0]:
            shown.add_column(column, no_wrap=column in ("texts", "system", "decoding"))
        for row in table:
            shown.add_row(*row.values())
        console.print(shown)
    if paths.REPORT.is_file():
        console.print(f"report      {paths.REPORT}", highlight=False, soft_wrap=True)
    uri = tracking_uri()
    if uri.startswith(("http://", "https://")):
        console.print(f"MLflow      {secrets.address(uri)}", highlight=False, soft_wrap=True)
    elif (file := file_of(uri)) and file.is_file():
        console.print(f"MLflow      mlflow ui --backend-store-uri {uri}", highlight=False, soft_wrap=True)
    console.print(f"Prefect     {_prefect()}", highlight=False, soft_wrap=True)


def _prefect() -> str:
    """Return the address of the configured server's pages, or the command that shows the runs without one."""
    if "PREFECT_API_URL" not in os.environ:
        return "PREFECT_HOME=.prefect prefect server start"
    from prefect.settings import Settings

    return secrets.address(str(Settings().ui_url))


def _row(texts: str, system: str, decoding: str, scores: dict[str, Any]) -> dict[str, str]:
    cells = {
        metric.heading: metric.text(Interval.from_json(scores[metric.name])) if metric.name in scores else "–"
        for metric in METRICS.values()
        if metric.summary
    }
    return {"texts": texts, "system": system, "decoding": decoding, **cells}


def _read(path: Path) -> dict[str, Any] | None:
    return read_json(path, dict) if path.is_file() else None
