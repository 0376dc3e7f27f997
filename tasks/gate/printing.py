"""What the commands print: tables and verdicts for the terminal, and a job summary for GitHub Actions."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from model.errors import InputError
from tasks.common.page.numbers import count
from tasks.gate import ranking, show
from tasks.gate.findings import metric_of
from tasks.gate.output import HANDLER
from tasks.gate.run import Judged
from tasks.gate.verdict import Answer, Verdict, last_line


def tell(verdicts: Sequence[Verdict], judged: Judged) -> None:
    """Print the tables and the verdict, which comes last and begins with ``Better``, ``Worse`` or ``Not shown``."""
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False, markup=False)
    for verdict in verdicts:
        table = Table(
            title=f"{verdict.after} against {verdict.before}, {count(verdict.texts, 'text')}", title_justify="left"
        )
        for i, name in enumerate(show.HEADER):
            table.add_column(name, justify="right" if i in (1, 2, 3) else "left")
        for line in show.lines(verdict):
            table.add_row(*line)
        console.print(table)
        if show.footnoted(verdict):
            print(show.FOOTNOTE)
    for note in [reason for verdict in verdicts for reason in verdict.reasons] + judged.notes:
        print(f"note: {note}")
    print(f"judges: {show.judges_text(judged)}; {judged.seconds:.0f} s")
    for verdict in verdicts if verdicts[1:] else []:
        print(f"Against {verdict.before}: {verdict.headline}.")
    print(f"{last_line(verdicts)}.")


def tell_places(
    places: Sequence[ranking.Place],
    rows: Mapping[str, Sequence[ranking.Row]],
    by: str,
    judged: Judged,
    resamples: int,
    seed: int,
) -> None:
    """Print the ranking, with every measure that all systems have."""
    measured = ranking.scores(rows, list(map(metric_of, ranking.MEASURES)), resamples, seed)
    grid = Table()
    ranked = metric_of(by)
    titles = ["rank", "group", "system", *(show.heading(metric_of(name)) for name in measured)]
    titles.insert(3 + [*measured, by].index(by) + 1, f"{show.heading(ranked)}, to the best")
    for title in titles:
        grid.add_column(title, justify="left" if title == "system" else "right")
    for place in places:
        rank = f"{place.best}" if place.best == place.worst else f"{place.best}–{place.worst}"
        texts = []
        for name, of_system in measured.items():
            metric, interval = metric_of(name), of_system[place.name]
            whole = name == by and not place.few
            texts.append(metric.text(interval) if whole else show.value(interval.value, metric))
            if name == by:
                texts.append(show.behind(place, metric))
        grid.add_row(rank, place.groups, place.name, *texts)
    Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False).print(grid)
    for note in judged.notes:
        print(f"note: {note}")
    if places[0].few:
        print(f"note: too few texts: of {count(places[0].texts, 'text')} nothing can be told from chance")
    print("Systems that share a letter can't be told apart; a rank is what the significant differences leave open.")


def check_summary() -> None:
    """Refuse before the judging a summary that could not be written after it.

    Raises:
        InputError: the file that GitHub Actions names can't be opened.
    """
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"):
        if target := os.environ.get(name):
            try:
                Path(target).open("a").close()
            except OSError as error:
                raise InputError(
                    f"{name} is {target}: expected a file that can be written; {error.strerror}"
                ) from error


def summary_file() -> str | None:
    """The file for a job's summary that GitHub Actions names."""
    return os.environ.get("GITHUB_STEP_SUMMARY") or None


def summary(place: str, text: str, answer: Answer) -> None:
    """Append to the job's summary and outputs, as GitHub Actions names their files."""
    with Path(place).open("a", encoding="utf-8", errors=HANDLER) as file:
        file.write(text)
    if outputs := os.environ.get("GITHUB_OUTPUT"):
        with Path(outputs).open("a", encoding="utf-8") as file:
            file.write(f"answer={answer}\n")
