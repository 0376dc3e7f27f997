"""The WER of each speaker, and the utterances that alignment changed most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tasks.common.scores import METRICS
from tasks.report import numbers
from tasks.report.load import Inputs, Rows

MOST = 6  # utterances listed of each kind

Change = tuple[dict[str, Any], dict[str, Any]]  # an utterance as judged before and after


@dataclass(frozen=True)
class Speaker:
    name: str
    seen: bool
    utterances: int
    rates: list[str]  # WER of each evaluated run, in order


def speakers(inputs: Inputs) -> tuple[list[str], list[Speaker]]:
    """Column titles, and one row per speaker, unseen ones last. Each has too little speech for intervals."""
    runs = [run for run in inputs.evaluated if run.utterances]
    table = []
    for unseen, name in sorted({(not row["seen"], row["speaker"]) for run in runs for row in run.utterances}):
        own = [[row for row in run.utterances if row["speaker"] == name] for run in runs]
        table.append(Speaker(name, not unseen, len(own[0]), [_rate(rows) for rows in own]))
    return [run.title for run in runs], table


def _rate(rows: Rows) -> str:
    wer = METRICS["wer"]
    return numbers.level(wer.value(rows), wer) if any(row["words"] for row in rows) else "–"


def changes(inputs: Inputs) -> tuple[list[Change], list[Change], tuple[int, int, int]]:
    """The last run's best and worst changes against SFT, and counts of better, worse and equal utterances."""
    last = inputs.evaluated[-1]
    sft = {row["id"]: row for row in inputs.runs[0].utterances}
    # Sorted by id within one difference, so that the page does not depend on the order of rows.
    both = sorted(
        ((sft[row["id"]], row) for row in last.utterances if row["id"] in sft), key=lambda pair: pair[1]["id"]
    )
    better = [pair for pair in both if _more_errors(pair) < 0]
    worse = [pair for pair in both if _more_errors(pair) > 0]
    tally = (len(better), len(worse), len(both) - len(better) - len(worse))
    return sorted(better, key=_more_errors)[:MOST], sorted(worse, key=lambda pair: -_more_errors(pair))[:MOST], tally


def _more_errors(pair: Change) -> int:
    before, after = pair
    return after["word_errors"] - before["word_errors"]
