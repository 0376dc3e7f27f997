"""A comparison as text: a table for the terminal and for Markdown, and everything as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from model.statistics import Interval
from tasks.common.metrics import Metric, Quantity
from tasks.common.page import numbers
from tasks.gate import ranking
from tasks.gate.findings import SHOWN, Finding, metric_of
from tasks.gate.phrases import amount, is_relative
from tasks.gate.run import Judged
from tasks.gate.verdict import Answer, Verdict, last_line

HEADER = ("measure", "before", "after", "difference", "finding")
CORRECTED = "*"  # marks what only the correction for many measures, or the permutation test, leaves open
FOOTNOTE = "* the interval excludes zero, but the difference is not significant after Holm's correction"
STATES = {"better": "better", "worse": "worse", "not worse": "not worse", "open": "not shown"}


def lines(verdict: Verdict) -> list[tuple[str, str, str, str, str]]:
    """Return one line per measure: title, value before and after, difference with its interval, finding."""
    return [
        (
            heading(finding.change.metric),
            value(finding.change.before, finding.change.metric),
            value(finding.change.before + finding.change.difference.value, finding.change.metric),
            amount(finding),
            state(finding),
        )
        for finding in verdict.findings
    ]


def heading(metric: Quantity) -> str:
    """Short title with its unit."""
    return metric.heading


def value(number: float, metric: Metric) -> str:
    """A value in the shown unit, which is not written."""
    return f"{number * metric.scale:.{metric.digits}f}"


def state(finding: Finding) -> str:
    """The finding in words, with the second judge's answer to a gain."""
    if finding.name in SHOWN:
        return ""
    said = "too few texts" if finding.few and finding.state == "open" else STATES[finding.state]
    if finding.corrected:
        said += CORRECTED
    if finding.name == "words_per_second" and finding.state == "worse":
        said = f"too {'fast' if finding.change.difference.value > 0 else 'slow'}"
    agreed = {"confirmed": "confirmed", "not confirmed": "not confirmed", "suspected": "only one judge sees it"}
    return f"{said}, {agreed[finding.agreement]}" if finding.agreement in agreed else said


def footnoted(verdict: Verdict) -> bool:
    """Whether a finding is marked."""
    return any(finding.corrected for finding in verdict.findings)


def amount_parts(finding: Finding) -> tuple[str, str]:
    """The difference, and the ends of its interval."""
    difference, _, interval = amount(finding).partition(", 95\N{NO-BREAK SPACE}% ")
    return difference, interval


def behind(place: ranking.Place, metric: Metric) -> str:
    """The paired difference to the first of a ranking, with its interval if there are texts enough."""
    if place.behind is None:
        return "–"
    return (
        numbers.difference(place.behind.value, metric, unit=False)
        if place.few
        else metric.difference_text(place.behind)
    )


def margin(finding: Finding) -> str:
    """The allowed loss in the unit of the difference, with its direction; a dash where there is no verdict."""
    if finding.margin is None:
        return "–"
    metric = finding.change.metric
    sign = "±" if finding.name == "words_per_second" else "−" if (metric.better or 1) > 0 else "+"
    if is_relative(finding):
        return f"{sign}{100 * finding.margin / finding.change.before:.0f}\N{NO-BREAK SPACE}%"
    unit = f"\N{NO-BREAK SPACE}{metric.difference_unit}" if metric.difference_unit else ""
    return f"{sign}{finding.margin * metric.scale:.{metric.difference_digits}f}{unit}"


def scores(row: Mapping[str, Any]) -> str:
    """One recording's scores in a line."""
    found = []
    if row["word_errors"] is not None:
        found.append(f"{row['word_errors']} of {row['words']} words wrong" if row["word_errors"] else "no word error")
    for name in ("similarity", "mos", "f0_spread"):
        if row[name] is not None:
            metric = metric_of(name)
            found.append(f"{metric.in_words} {row[name]:.2f} {metric.unit}".rstrip())
    return ", ".join(found)


def markdown(verdicts: Sequence[Verdict], judged: Judged, answer: Answer) -> str:
    """A job's summary."""
    marks = {"better": "✅", "worse": "❌", "not shown": "➖"}
    text = [f"## {marks[answer]} speechalign gate: {verdicts[0].after}", "", f"{escaped(last_line(verdicts))}.", ""]
    for verdict in verdicts:
        if verdicts[1:]:
            text += [f"**Against {escaped(verdict.before)}**: {escaped(verdict.headline)}.", ""]
        text += [f"* {escaped(reason)}" for reason in verdict.reasons]
        text += ["", f"| {' | '.join(HEADER)} |", "|---|---:|---:|---:|---|"]
        text += [f"| {' | '.join(map(escaped, line))} |" for line in lines(verdict)]
        text += ["", escaped(FOOTNOTE)] if footnoted(verdict) else []
        text.append("")
    text += [f"* {escaped(note)}" for note in judged.notes]
    text += ["", f"{numbers.count(verdicts[0].texts, 'text')}; judges: {escaped(judges_text(judged))}.", ""]
    return "\n".join(text)


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, file names of others in it included."""
    for sign in "\\`*_<>|[]#":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", " ")


def judges_text(judged: Judged) -> str:
    """The judges that there were."""
    return ", ".join(name for name in judged.judges.values() if name)


def as_dict(verdicts: Sequence[Verdict], judged: Judged, answer: Answer) -> dict[str, Any]:
    """Everything: verdicts, findings, judges, notes and a row per recording."""
    return {
        "answer": answer,
        "sentence": last_line(verdicts),
        "comparisons": [_verdict(verdict) for verdict in verdicts],
        "texts": len(judged.material.texts.texts),
        "draws": {system.name: system.draws for system in judged.systems},
        "judges": judged.judges,
        "notes": judged.notes,
        "recordings": [dict(row) for rows in judged.rows for row in rows],
    }


def places_as_dict(
    places: Sequence[ranking.Place],
    rows: Mapping[str, Sequence[ranking.Row]],
    by: str,
    judged: Judged,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """The ranking of many systems, with every measure that all of them have."""
    measured = ranking.scores(rows, list(map(metric_of, ranking.MEASURES)), resamples, seed)
    systems = [
        {
            **asdict(place),
            "score": _json(place.score, place.few),
            "behind": _json(place.behind, place.few) if place.behind else None,
            "measures": {name: _json(of_system[place.name], place.few) for name, of_system in measured.items()},
        }
        for place in places
    ]
    return {"by": by, "systems": systems, "judges": judged.judges, "notes": judged.notes}


def _verdict(verdict: Verdict) -> Mapping[str, Any]:
    return {
        "before": verdict.before,
        "after": verdict.after,
        "answer": verdict.answer,
        "sentence": verdict.headline,
        "reasons": list(verdict.reasons),
        "more_texts": verdict.more_texts,
        "measures": {finding.name: _finding(finding) for finding in verdict.findings},
    }


def _json(interval: Interval, few: bool) -> Mapping[str, float | None]:
    """An interval; of too few texts its ends are null."""
    return {"value": interval.value, "low": None, "high": None} if few else asdict(interval)


def _finding(finding: Finding) -> Mapping[str, Any]:
    change = finding.change
    return {
        "title": change.metric.title,
        "before": change.before,
        "after": change.before + change.difference.value,
        "difference": _json(change.difference, finding.few),
        "relative": _json(change.relative, finding.few) if isinstance(change.relative, Interval) else None,
        "margin": finding.margin,
        "finding": None if finding.name in SHOWN else finding.state,
        "second_judge": finding.agreement,
        "p_gain": change.p_gain,
        "p_loss": change.p_loss,
        "pairs": finding.pairs,
        "texts": change.texts,
    }
