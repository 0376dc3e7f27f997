"""The WER of each speaker, and the utterances that alignment changed most."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from tasks.common.scores import METRICS
from tasks.report import numbers
from tasks.report.load import Inputs
from tasks.report.results import title
from tasks.report.words import Word, compare

MOST = 6  # utterances listed of each kind


@dataclass(frozen=True)
class Speaker:
    name: str
    seen: bool
    utterances: int
    rates: list[str]  # WER of each evaluated run, in order


def speakers(inputs: Inputs) -> tuple[list[str], list[Speaker]]:
    """Column titles, and one row per speaker, unseen ones last. Each has too little speech for intervals."""
    runs = [run for run in inputs.evaluated if run.utterances]
    errors: dict[tuple[str, str], int] = defaultdict(int)
    words: dict[tuple[str, str], int] = defaultdict(int)
    count: dict[tuple[bool, str], int] = defaultdict(int)
    for run in runs:
        for row in run.utterances:
            key = (row["speaker"], run.name)
            errors[key] += row["word_errors"]
            words[key] += row["words"]
            count[not row["seen"], row["speaker"]] += run is runs[0]
    table = [
        Speaker(name, not unseen, n, [_rate(errors[name, run.name], words[name, run.name]) for run in runs])
        for (unseen, name), n in sorted(count.items())
    ]
    return [title(run) for run in runs], table


def _rate(errors: int, words: int) -> str:
    return numbers.level(errors / words, METRICS["wer"]) if words else "–"


@dataclass(frozen=True)
class Change:
    id: str
    speaker: str
    before: list[Word]
    after: list[Word]
    errors: tuple[str, str]  # before and after: "3 errors", "cut off: 4 errors"


def changes(inputs: Inputs) -> tuple[str, list[Change], list[Change], tuple[int, int, int]]:
    """Title of the last run, its best and worst changes against SFT, and counts of better, worse and equal ones."""
    last = inputs.evaluated[-1]
    sft = {row["id"]: row for row in inputs.runs[0].utterances}
    if last.name == "0" or not sft:
        return title(last), [], [], (0, 0, 0)
    both = [(sft[row["id"]], row) for row in last.utterances if row["id"] in sft]
    # Sorted by id within one difference, so that the page does not depend on the order of rows.
    ranked = sorted(both, key=lambda pair: (pair[1]["word_errors"] - pair[0]["word_errors"], pair[1]["id"]))
    better = [pair for pair in ranked if pair[1]["word_errors"] < pair[0]["word_errors"]]
    worse = [pair for pair in ranked if pair[1]["word_errors"] > pair[0]["word_errors"]]
    tally = (len(better), len(worse), len(both) - len(better) - len(worse))
    worse.sort(key=lambda pair: (pair[0]["word_errors"] - pair[1]["word_errors"], pair[1]["id"]))
    return title(last), [_change(*pair) for pair in better[:MOST]], [_change(*pair) for pair in worse[:MOST]], tally


def _change(before: dict, after: dict) -> Change:
    return Change(
        id=after["id"],
        speaker=after["speaker"],
        before=compare(after["text"], before["hypothesis"] or ""),
        after=compare(after["text"], after["hypothesis"] or ""),
        errors=(_errors(before), _errors(after)),
    )


def _errors(row: dict) -> str:
    return ("" if row["finished"] else "cut off: ") + numbers.count(row["word_errors"], "error")
