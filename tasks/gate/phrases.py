"""Findings in words: the parts of the sentence that a verdict is told in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from model.statistics import Interval
from tasks.common.page.numbers import count
from tasks.common.text_lists import some
from tasks.gate.findings import GUARDS, LEAST_TEXTS, Finding, metric_of

Row = Mapping[str, Any]


def name(measure: str) -> str:
    """A measure's name within a sentence, as the table of metrics has it: ``WER``, ``SIM``, ``F0 spread``."""
    return metric_of(measure).in_words


def worded(finding: Finding) -> str:
    """``WER (−31 %, 95 % [−44, −15])``; failures and scores in points of their scale."""
    return f"{name(finding.name)} ({amount(finding)})"


def amount(finding: Finding) -> str:
    """A difference with its interval: relative where that says most, else in the metric's own unit.

    Of too few texts without an interval.
    """
    change, metric = finding.change, finding.change.metric
    if is_relative(finding) and change.relative is not None:
        shown = _interval(change.relative.scaled(100), 0, "\N{NO-BREAK SPACE}%")
    else:
        unit = f"\N{NO-BREAK SPACE}{metric.difference_unit}" if metric.difference_unit else ""
        shown = _interval(change.difference.scaled(metric.scale), metric.difference_digits, unit)
    return shown.partition(",")[0] if finding.few else shown


def is_relative(finding: Finding) -> bool:
    """Whether a difference and its margin are shown as shares of the value before."""
    of_share = finding.name in ("wer", "held_out_wer", "f0_spread", "words_per_second")
    return of_share and finding.change.relative is not None and finding.change.before > 0


def listed(names: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    found = list(names)
    return found[0] if len(found) == 1 else ", ".join(found[:-1]) + " and " + found[-1]


def losses(worse: Sequence[Finding]) -> str:
    """``worse in WER (…), and faster than allowed (…)``: speed has a direction, of which neither is better."""
    speed = [
        f"{'faster' if f.change.difference.value > 0 else 'slower'} than allowed ({amount(f)}, must stay within "
        f"±{100 * (f.margin or 0.0) / f.change.before:.0f}\N{NO-BREAK SPACE}%)"
        for f in worse
        if f.name == "words_per_second"
    ]
    others = [worded(finding) for finding in worse if finding.name != "words_per_second"]
    return ", and ".join(([f"worse in {listed(others)}"] if others else []) + speed)


def missing(system: str, rows: Sequence[Row]) -> str:
    """``; 2 of 10 texts have no recording by after (t3, t7)``; "" where none is missing."""
    lacking = list(dict.fromkeys(row["id"] for row in rows if row["file"] is None))
    if not lacking:
        return ""
    have = {row["id"] for row in rows if row["file"] is not None}
    texts = count(len({row["id"] for row in rows}), "text")
    some_of = "no recording" if not have & set(lacking) else "too few recordings"
    verb = "has" if len(lacking) == 1 else "have"
    return f"; {len(lacking)} of {texts} {verb} {some_of} by {system} ({some(lacking)})"


def doubts(gains: Iterable[Finding]) -> list[str]:
    """Gains that the second judge does not confirm."""
    said = {
        "suspected": "the second {judge} excludes half of the gain in {name}: the first may be fooled",
        "not confirmed": "the second {judge} sees less than half of the gain in {name}, and can't exclude it",
    }
    return [
        said[f.agreement].format(judge="recognizer" if f.name == "wer" else "measure of voice", name=name(f.name))
        for f in gains
        if f.agreement in said and f.agreement is not None
    ]


def agreement(gains: Sequence[Finding], found: Sequence[Finding]) -> str:
    """``; both recognizers agree``, or that there is one only."""
    measured = {finding.name for finding in found}
    said = []
    if any(f.name == "wer" for f in gains):
        both = "held_out_wer" in measured
        said.append("both recognizers agree" if both else "one recognizer only")
    if any(f.name == "similarity" for f in gains):
        both = "held_out_similarity" in measured
        said.append("both measures of voice agree" if both else "one measure of voice only")
    return "; " + " and ".join(said) if said else ""


def left_out(before: Sequence[Row], after: Sequence[Row], found: Sequence[Finding]) -> list[str]:
    """What only few recordings have: no interval can be made of it."""
    there = {finding.name for finding in found if not finding.few}
    if len({row["id"] for row in after}) < LEAST_TEXTS:
        return []
    few = [
        name(measure)
        for measure in GUARDS
        if measure not in there and all(any(map(metric_of(measure).measured, rows)) for rows in (before, after))
    ]
    return (
        [f"nothing can be said about {listed(few)}: fewer than {LEAST_TEXTS} texts have it of both systems"]
        if few
        else []
    )


def _interval(interval: Interval, digits: int, unit: str) -> str:
    values = [f"{value:+.{digits}f}" for value in (interval.value, interval.low, interval.high)]
    zero = f"{0:.{digits}f}"
    values = [zero if value[1:] == zero else value.replace("-", "−") for value in values]
    return f"{values[0]}{unit}, 95\N{NO-BREAK SPACE}% [{values[1]}, {values[2]}]"
