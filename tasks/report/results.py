"""Rows of the tables of results, paired differences within groups of speakers, and charts over the iterations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from model.statistics import Interval
from tasks.common.scores import Metric, Scores, compare, speaker_kinds
from tasks.report import numbers
from tasks.report.charts import Chart, Level, Line
from tasks.report.load import GROUPS, SYSTEMS, Ceiling, Inputs, Judged, Run

Differences = dict[str, dict[str, Scores]]  # by "versus_sft" or "versus_previous", then by iteration

SYSTEM_TITLES = {
    "golden": "Golden speech",
    "resynthesised": "Golden, resynthesized",
    "golden_nar": "Golden level 1 through the NAR",
}
SHORT_SYSTEMS = {"golden": "golden", "resynthesised": "resynth.", "golden_nar": "via NAR"}
GROUP_TITLES = {"all": "All speakers", "seen": "Seen speakers", "unseen": "Unseen speakers"}


def title(run: Run) -> str:
    return "Iteration 0 (SFT)" if run.name == "0" else f"Iteration {run.name}"


def short(run: Run) -> str:
    return "SFT" if run.name == "0" else run.name


@dataclass(frozen=True)
class Row:
    title: str
    kind: str  # ceiling or policy
    judged: Judged | None


def rows(inputs: Inputs) -> list[Row]:
    ceiling = [Row(SYSTEM_TITLES[system], "ceiling", inputs.ceiling.judged.get(system)) for system in SYSTEMS]
    return ceiling + [Row(title(run), "policy", run.judged) for run in inputs.runs]


def groups(inputs: Inputs) -> list[str]:
    """Groups of speakers for which there are scores."""
    judged = [*inputs.ceiling.judged.values(), *(run.judged for run in inputs.evaluated if run.judged)]
    return [group for group in GROUPS if any(group in item.groups for item in judged)]


def differences(inputs: Inputs, group: str) -> Differences:
    """Differences of each evaluated iteration to SFT and to the iteration it started from, within ``group``.

    ``metrics.json`` holds those over all speakers. Those of seen and unseen speakers are computed from the judged
    utterances; there are none where either policy has no such utterance.
    """
    found: Differences = {"versus_sft": {}, "versus_previous": {}}
    runs = {run.name: run for run in inputs.runs}
    for run in inputs.evaluated:
        if run.previous is None or run.judged is None:
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
    points = [
        (x, run, run.judged.groups[group][metric.name])
        for x, run in enumerate(inputs.runs)
        if run.judged and metric.name in run.judged.groups.get(group, {})
    ]
    line = Line(
        label=metric.title,
        x=[x for x, _, _ in points],
        y=[interval.value for _, _, interval in points],
        low=[interval.low for _, _, interval in points],
        high=[interval.high for _, _, interval in points],
        notes=[f"{title(run)}: {_level(interval, metric)}" for _, run, interval in points],
        style="policy",
        markers=True,
    )
    return Chart(
        title=f"{metric.title}, {GROUP_TITLES[group].lower()}",
        lines=[line],
        levels=_ceiling_levels(inputs.ceiling, metric, group),
        x_title="iteration",
        x_names=[short(run) for run in inputs.runs],
        scale=metric.scale,
        unit=f"{numbers.NO_BREAK}{metric.unit}" if metric.unit else "",
        right=56,
    ).svg()


def _level(interval: Interval, metric: Metric) -> str:
    within = numbers.level_interval(interval, metric)
    return f"{numbers.level(interval.value, metric)} (95{numbers.NO_BREAK}% interval {within})"


def _ceiling_levels(ceiling: Ceiling, metric: Metric, group: str) -> list[Level]:
    found = [(system, item.groups.get(group, {}).get(metric.name)) for system, item in ceiling.judged.items()]
    return [Level(SHORT_SYSTEMS[system], interval.value, system) for system, interval in found if interval]


def largest_differences(scores: Iterable[Scores]) -> dict[str, float]:
    """By metric, the furthest end of any difference: the scale that its small pictures share."""
    largest: dict[str, float] = {}
    for name, interval in (item for found in scores for item in found.items()):
        largest[name] = max(largest.get(name, 0.0), abs(interval.low), abs(interval.high))
    return largest


def interval_picture(interval: Interval, largest: float, direction: str) -> Markup:
    """A paired difference on a line with zero in its middle. The cell gives it in words, so screen readers skip it."""

    def x(value: float) -> float:
        return 60 + 56 * value / (largest or 1)

    return Markup(
        f'<svg class="forest {direction}" viewBox="0 0 120 14" aria-hidden="true" focusable="false">'
        '<line class="zero" x1="60" y1="0" x2="60" y2="14"/>'
        f'<line class="range" x1="{x(interval.low):.1f}" y1="7" x2="{x(interval.high):.1f}" y2="7"/>'
        f'<circle cx="{x(interval.value):.1f}" cy="7" r="3.4"/></svg>'
    )
