"""The WER of each speaker, and the texts that alignment changed most; each policy at its own best decoding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tasks.common.page import numbers
from tasks.common.scores import METRICS
from tasks.report.load import Inputs, Rows

MOST = 6  # texts listed of each kind

Change = tuple[dict[str, Any], dict[str, Any]]  # an utterance as judged before and after


@dataclass(frozen=True)
class Speaker:
    name: str
    seen: bool
    texts: int
    rates: list[str]  # WER of each evaluated run, in order


def speakers(inputs: Inputs, texts: str) -> tuple[list[str], list[Speaker]]:
    """Column titles, and one row per speaker, unseen ones last. Each has too little speech for intervals."""
    runs = [(run, rows) for run in inputs.evaluated if (rows := run.rows(texts))]
    table = []
    for unseen, name in sorted({(not row["seen"], row["speaker"]) for _, rows in runs for row in rows}):
        own = [[row for row in rows if row["speaker"] == name] for _, rows in runs]
        table.append(Speaker(name, not unseen, len({row["id"] for row in own[0]}), [_rate(rows) for rows in own]))
    return [run.title for run, _ in runs], table


def _rate(rows: Rows) -> str:
    wer = METRICS["wer"]
    return numbers.level(wer.value(rows), wer) if any(row["words"] for row in rows) else "–"


def changes(inputs: Inputs, texts: str) -> tuple[list[Change], list[Change], tuple[int, int, int]]:
    """The last run's best and worst changes against the start, and counts of better, worse and equal texts.

    A text's draws count together; the draw that is shown is the one that changed most in the text's direction.
    """
    start = {(row["id"], row["draw"]): row for row in inputs.runs[0].rows(texts)}
    pairs: dict[str, list[Change]] = {}
    for row in inputs.evaluated[-1].rows(texts):
        if before := start.get((row["id"], row["draw"])):
            pairs.setdefault(row["id"], []).append((before, row))
    # Sorted by id within one difference, so that the page does not depend on the order of rows.
    by_text = sorted((sum(map(_more_errors, found)), name) for name, found in pairs.items())
    better, worse = ([name for more, name in by_text if more * sign > 0] for sign in (-1, 1))
    improved = [min(pairs[name], key=_more_errors) for name in better[:MOST]]
    worsened = [max(pairs[name], key=_more_errors) for name in worse[::-1][:MOST]]
    return improved, worsened, (len(better), len(worse), len(pairs) - len(better) - len(worse))


def _more_errors(pair: Change) -> int:
    before, after = pair
    return after["word_errors"] - before["word_errors"]
