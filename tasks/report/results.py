"""Rows of the tables of results, paired differences within groups of speakers, and charts over the iterations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from model.statistics import Interval
from tasks.common.scores import Metric, Quantity, Scores, compare, speaker_kinds
from tasks.report import numbers
from tasks.report.charts import Chart, Level, Line
from tasks.report.load import GROUPS, SYSTEMS, Inputs, Judged, Run

Differences = dict[str, dict[str, Scores]]  # by "versus_sft" or "versus_previous", then by iteration

SYSTEM_TITLES = {
    "golden": "Golden speech",
    "resynthesised": "Golden, resynthesized",
    "golden_nar": "Golden level 1 through the NAR",
}
SHORT_SYSTEMS = {"golden": "golden", "resynthesised": "resynth.", "golden_nar": "via NAR"}
GROUP_TITLES = {"all": "All speakers", "seen": "Seen speakers", "unseen": "Unseen speakers"}


@dataclass(frozen=True)
class Row:
    title: str
    kind: str  # ceiling or policy
    judged: Judged


def rows(inputs: Inputs) -> list[Row]:
    """The ceiling's systems and every iteration, run or not."""
    judged = inputs.ceiling.judged
    ceiling = [Row(SYSTEM_TITLES[system], "ceiling", judged.get(system, Judged())) for system in SYSTEMS]
    return ceiling + [Row(run.title, "policy", run.judged) for run in inputs.runs]


def groups(inputs: Inputs) -> list[str]:
    """Groups of speakers for which there are scores."""
    return [group for group in GROUPS if any(group in row.judged.groups for row in rows(inputs))]


def differences(inputs: Inputs, group: str) -> Differences:
    """Differences of each evaluated iteration to SFT and to the iteration it started from, within ``group``.

    ``metrics.json`` holds those over all speakers. Those of seen and unseen speakers are computed from the judged
    utterances; there are none where either policy has no such utterance.
    """
    found: Differences = {"versus_sft": {}, "versus_previous": {}}
    runs = {run.name: run for run in inputs.runs}
    for run in inputs.evaluated:
        if run.previous is None:
            continue
        if group == "all":
            sft, previous = run.judged.versus_sft, run.judged.versus_previous
        else:
            sft = _compared(runs["0"], run, group, inputs)
            previous = sft if run.previous == "0" else _compared(runs[run.previous], run, group, inputs)
        found["versus_sft"][run.name], found["versus_previous"][run.name] = sft, previous
    return found


def _compared(before: Run, after: Run, group: str, inputs: Inputs) -> Scores:
    first, second = (speaker_kinds(run.utterances)[group] for run in (before, after))
    if not first or not second:
        return {}
    return compare(first, second, inputs.params.evaluate.bootstrap_samples, inputs.params.seed)


def metric_chart(inputs: Inputs, metric: Metric, group: str) -> Markup:
    """One metric over the iterations, with its intervals, between the ceiling's lines."""
    ceiling = {
        system: judged.groups.get(group, {}).get(metric.name) for system, judged in inputs.ceiling.judged.items()
    }
    return over_iterations(
        f"{metric.title}, {GROUP_TITLES[group].lower()}",
        metric,
        [(run, run.judged.groups.get(group, {}).get(metric.name)) for run in inputs.runs],
        [(SHORT_SYSTEMS[system], score.value, system) for system, score in ceiling.items() if score],
    )


def over_iterations(
    title: str,
    metric: Quantity,
    scores: Sequence[tuple[Run, Interval | None]],
    levels: Sequence[tuple[str, float, str]],
) -> Markup:
    """A quantity with its intervals, one point per iteration that has one.

    Args:
        levels: horizontal lines to compare with: label, value, CSS class.
    """
    measured = [(x, run, score, score.scaled(metric.scale)) for x, (run, score) in enumerate(scores) if score]
    line = Line(
        label=metric.title,
        x=[x for x, _, _, _ in measured],
        y=[shown.value for _, _, _, shown in measured],
        style="policy",
        intervals=[shown for _, _, _, shown in measured],
        notes=[
            f"{run.title}: {numbers.level(score.value, metric)} "
            f"(95{numbers.NO_BREAK}% interval {numbers.level_interval(score, metric)})"
            for _, run, score, _ in measured
        ],
    )
    return Chart(
        title,
        [line],
        [Level(label, value * metric.scale, style) for label, value, style in levels],
        x_title="iteration",
        x_names=["SFT" if run.name == "0" else run.name for run, _ in scores],
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
