"""What the commands print: tables and verdicts for the terminal, and a job summary for GitHub Actions."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from model.statistics import Interval
from tasks.gate import ranking, show
from tasks.gate.findings import metric_of
from tasks.gate.run import Judged
from tasks.gate.verdict import Answer, Verdict


def tell(verdicts: Sequence[Verdict], judged: Judged, answer: Answer, out: Path | None) -> None:
    """Print the tables and the verdict, which comes last."""
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False, markup=False)
    for verdict in verdicts:
        table = Table(title=f"{verdict.after} against {verdict.before}, {verdict.texts} texts", title_justify="left")
        for i, name in enumerate(show.HEADER):
            table.add_column(name, justify="right" if i in (1, 2, 3) else "left")
        for line in show.lines(verdict):
            table.add_row(*line)
        console.print(table)
    for note in [reason for verdict in verdicts for reason in verdict.reasons] + judged.notes:
        print(f"note: {note}")
    print(f"judges: {show.judges_text(judged)}; {judged.seconds:.0f} s")
    if out is not None:
        print(f"page: {out}")
    for verdict in verdicts:
        print(f"Against {verdict.before}: {verdict.sentence}." if verdicts[1:] else f"{show.headline(verdict)}.")
    if len(verdicts) > 1:
        print(f"Together: {answer}.")


def tell_places(
    places: Sequence[ranking.Place],
    rows: Mapping[str, Sequence[ranking.Row]],
    by: str,
    judged: Judged,
    resamples: int,
    seed: int,
) -> None:
    """Print the ranking, with every measure that all systems have."""
    measured = {place.name: scores(rows[place.name], resamples, seed) for place in places}
    shown = [name for name in next(iter(measured.values())) if all(name in own for own in measured.values())]
    grid = Table()
    for title in ("rank", "group", "system", *(show.heading(metric_of(name)) for name in shown)):
        grid.add_column(title, justify="left" if title == "system" else "right")
    for place in places:
        rank = f"{place.best}" if place.best == place.worst else f"{place.best}–{place.worst}"
        texts = []
        for name in shown:
            metric, interval = metric_of(name), Interval.from_json(measured[place.name][name])
            texts.append(metric.text(interval) if name == by else show.value(interval.value, metric))
        grid.add_row(rank, place.groups, place.name, *texts)
    Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False).print(grid)
    for note in judged.notes:
        print(f"note: {note}")
    print("Systems that share a letter can't be told apart; a rank is what the significant differences leave open.")


def scores(rows: Sequence[ranking.Row], resamples: int, seed: int) -> dict[str, Any]:
    """Return one system's values with their intervals, by measure, as JSON holds them."""
    found = {name: ranking.score(rows, metric_of(name), resamples, seed) for name in ranking.COLUMNS}
    return {name: asdict(value) for name, value in found.items() if value is not None}


def summary(text: str, answer: Answer) -> None:
    """Append to the job's summary and outputs, as GitHub Actions names their files; print where it names none."""
    target = os.environ.get("GITHUB_STEP_SUMMARY")
    if not target:
        print(text)
        return
    with Path(target).open("a", encoding="utf-8") as file:
        file.write(text)
    if outputs := os.environ.get("GITHUB_OUTPUT"):
        with Path(outputs).open("a", encoding="utf-8") as file:
            file.write(f"answer={answer}\n")
