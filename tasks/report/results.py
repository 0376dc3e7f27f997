"""Rows of the tables of results, paired differences within groups of speakers, and charts over the iterations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from model.statistics import Interval
from tasks.common.page import numbers
from tasks.common.scores import Metric, Quantity, Scores, by_judge, compare, speaker_kinds
from tasks.common.scores import Row as Utterance
from tasks.report.charts import Chart, Level, Line
from tasks.report.load import GROUPS, SYSTEMS, Inputs, Judged, Run

Differences = dict[str, dict[str, Scores]]  # by "versus_start" or "versus_previous", then by iteration

DECODINGS = ("best", "loop")  # each policy's own, chosen on dev; that of params.yaml, at which the loop samples
SYSTEM_TITLES = {
    "golden": "Golden speech",
    "resynthesised": "Golden, resynthesized",
    "golden_nar": "Golden level 1 through the NAR",
}
SHORT_SYSTEMS = {"golden": "golden", "resynthesised": "resynth.", "golden_nar": "via NAR"}
SET_TITLES = {"long": "Long texts", "recorded": "Recorded texts"}
GROUP_TITLES = {"all": "All speakers", "seen": "Seen speakers", "unseen": "Unseen speakers"}


@dataclass(frozen=True)
class Row:
    title: str
    judged: Judged
    decoding: str = "–"  # in words; golden speech has none
    same: bool = False  # whether the loop's decoding is the best one, whose row is above


def ceiling_rows(inputs: Inputs, texts: str) -> list[Row]:
    """The ceiling's systems, run or not. Texts without recordings have none."""
    judged = inputs.ceiling.judged
    return [Row(SYSTEM_TITLES[name], judged.get(name, Judged())) for name in SYSTEMS] if texts == "recorded" else []


def policy_rows(inputs: Inputs, texts: str, decoding: str = "best") -> list[Row]:
    """Every iteration at its best decoding or at the loop's, run or not."""
    return [
        Row(
            run.title,
            run.judged(texts, decoding),
            run.decoding(decoding) if run.content else "–",
            decoding == "loop" and bool(run.content) and run.one_decoding,
        )
        for run in inputs.runs
    ]


def metrics_shown(inputs: Inputs, texts: str, *, held_out: bool) -> list[Metric]:
    """Metrics that any system has on a set of texts: own judges' or held-out ones'."""
    rows = ceiling_rows(inputs, texts) + policy_rows(inputs, texts)
    return [metric for metric in by_judge(held_out=held_out) if any(metric.name in row.judged.everyone for row in rows)]


def groups(inputs: Inputs, texts: str) -> list[str]:
    """Groups of speakers for which there are scores."""
    rows = ceiling_rows(inputs, texts) + policy_rows(inputs, texts)
    return [group for group in GROUPS if any(group in row.judged.groups for row in rows)]


def differences(inputs: Inputs, texts: str, group: str, decoding: str = "best") -> Differences:
    """Differences of each evaluated iteration to the start and to the iteration it started from, within ``group``.

    ``metrics.json`` holds those over all speakers. Those of seen and unseen speakers are computed from the judged
    utterances; there are none where either policy has no such utterance.
    """
    found: Differences = {"versus_start": {}, "versus_previous": {}}
    runs = {run.name: run for run in inputs.runs}
    for run in inputs.evaluated:
        if run.previous is None:
            continue
        if group == "all":
            judged = run.judged(texts, decoding)
            start, previous = judged.versus_start, judged.versus_previous
        else:
            rows = [speaker_kinds(r.rows(texts, decoding))[group] for r in (runs["0"], runs[run.previous], run)]
            start = _compared(rows[0], rows[2], inputs)
            previous = start if run.previous == "0" else _compared(rows[1], rows[2], inputs)
        found["versus_start"][run.name], found["versus_previous"][run.name] = start, previous
    return found


def _compared(before: Sequence[Utterance], after: Sequence[Utterance], inputs: Inputs) -> Scores:
    if not before or not after:
        return {}
    return compare(before, after, inputs.params.evaluate.bootstrap_samples, inputs.params.seed)


@dataclass(frozen=True)
class Panel:
    """Paired differences on one set of texts within one group of speakers."""

    texts: str
    group: str
    tables: list[tuple[str, str, dict[str, Scores]]]  # heading, what each is compared with, differences by iteration
    largest: dict[str, float]  # by metric, the scale of its small pictures


def panel(inputs: Inputs, texts: str, group: str) -> Panel:
    """Differences at each policy's best decoding, and over all speakers also at the loop's."""
    best, each = differences(inputs, texts, group), "each at its own best decoding"
    tables = [
        (f"Against the start, {each}", "versus_start", best["versus_start"]),
        (f"Against the iteration it started from, {each}", "versus_previous", best["versus_previous"]),
    ]
    if group == "all" and not all(run.one_decoding for run in inputs.evaluated):
        at_loop = differences(inputs, texts, group, "loop")["versus_start"]
        tables.append(("Against the start, all at the loop's decoding", "versus_start", at_loop))
    largest = largest_differences(scores for _, _, found in tables for scores in found.values())
    return Panel(texts, group, tables, largest)


def metric_chart(inputs: Inputs, metric: Metric, texts: str, group: str) -> Markup:
    """One metric over the iterations at both decodings, with its intervals, between the ceiling's lines."""

    def scores(decoding: str) -> list[tuple[Run, Interval | None]]:
        return [
            (run, run.judged(texts, decoding).groups.get(group, {}).get(metric.name))
            for run in inputs.runs
            if decoding == "best" or (run.content and not run.one_decoding)
        ]

    levels = [
        (SHORT_SYSTEMS[system], score.value, system)
        for system, judged in (inputs.ceiling.judged if texts == "recorded" else {}).items()
        if (score := judged.groups.get(group, {}).get(metric.name))
    ]
    return over_iterations(
        f"{metric.title}, {SET_TITLES[texts].lower()}, {GROUP_TITLES[group].lower()}",
        metric,
        [run.name for run in inputs.runs],
        [("own best decoding", "policy", scores("best")), ("the loop's decoding", "loop", scores("loop"))],
        levels,
    )


def over_iterations(
    title: str,
    metric: Quantity,
    iterations: Sequence[str],
    series: Sequence[tuple[str, str, Sequence[tuple[Run, Interval | None]]]],
    levels: Sequence[tuple[str, float, str]],
) -> Markup:
    """A quantity with its intervals, one point per iteration that has one.

    Args:
        iterations: names of all iterations, in order.
        series: label, CSS class, and the scores of each iteration; each series stands a little right of the one before.
        levels: horizontal lines to compare with: label, value, CSS class.
    """
    lines = []
    for shift, (label, style, scores) in enumerate(series):
        measured = [(run, score) for run, score in scores if score]
        lines.append(
            Line(
                label=label,
                x=[iterations.index(run.name) + 0.15 * shift for run, _ in measured],
                y=[score.value * metric.scale for _, score in measured],
                style=style,
                intervals=[score.scaled(metric.scale) for _, score in measured],
                notes=[
                    f"{run.title}, {label}: {numbers.level(score.value, metric)} "
                    f"(95{numbers.NO_BREAK}% interval {numbers.level_interval(score, metric)})"
                    for run, score in measured
                ],
            )
        )
    return Chart(
        title,
        [line for line in lines if line.x],
        [Level(label, value * metric.scale, style) for label, value, style in levels],
        x_title="iteration",
        x_names=["start" if name == "0" else name for name in iterations],
        unit=numbers.unit_text(metric.unit),
    ).svg()


def largest_differences(scores: Iterable[Scores]) -> dict[str, float]:
    """By metric, the furthest end of any difference: the scale that its small pictures share."""
    largest: dict[str, float] = {}
    for name, interval in (item for found in scores for item in found.items()):
        largest[name] = max(largest.get(name, 0.0), abs(interval.low), abs(interval.high))
    return largest


def interval_picture(interval: Interval, largest: float, direction: str) -> Markup:
    """A paired difference on a line with zero in its middle. The cell gives it in words, so screen readers skip it."""
    low, value, high = (60 + 56 * end / (largest or 1) for end in (interval.low, interval.value, interval.high))
    return Markup(
        f'<svg class="forest {direction}" viewBox="0 0 120 14" aria-hidden="true" focusable="false">'
        '<line class="zero" x1="60" y1="0" x2="60" y2="14"/>'
        f'<line class="range" x1="{low:.1f}" y1="7" x2="{high:.1f}" y2="7"/>'
        f'<circle cx="{value:.1f}" cy="7" r="3.4"/></svg>'
    )
