"""The result in words, and the rows of the tables."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from tasks.report import numbers
from tasks.report.charts import Chart, Level, Line
from tasks.report.load import GROUPS, SYSTEMS, Ceiling, Inputs, Interval, Judged, Run
from tasks.report.numbers import Metric
from tasks.report.paired import Differences

SYSTEM_TITLES = {
    "golden": "Golden speech",
    "resynthesised": "Golden, resynthesised",
    "golden_nar": "Golden level 1 through the NAR",
}
SHORT_SYSTEMS = {"golden": "golden", "resynthesised": "resynth.", "golden_nar": "via NAR"}
GROUP_TITLES = {"all": "All speakers", "seen": "Seen speakers", "unseen": "Unseen speakers"}


def title(run: Run) -> str:
    return "Iteration 0 (SFT)" if run.name == "0" else f"Iteration {run.name}"


def short(run: Run) -> str:
    return "SFT" if run.name == "0" else run.name


@dataclass(frozen=True)
class Headline:
    sentence: str
    verdict: str  # better, worse, unproven, or nothing where there is nothing to compare
    notes: list[str]


def headline(inputs: Inputs) -> Headline:
    """What the last evaluated iteration did to the WER: said as better or worse only if its interval excludes zero."""
    last = inputs.evaluated[-1]
    wer = _wer(last)
    now = f"{numbers.level(wer.value, numbers.WER)} after iteration {last.name}" if wer else "not measured"
    if last.name == "0":
        level = f" of {numbers.level(wer.value, numbers.WER)}" if wer else ""
        sentence = f"Nothing is aligned yet: only the SFT policy has been evaluated, with a word error rate{level}."
        return Headline(sentence, "nothing", _notes(inputs))
    change = last.judged.versus_sft.get("wer") if last.judged else None
    before = _wer(inputs.runs[0])
    if change is None or before is None:
        sentence = f"The word error rate is {now}; without a paired difference to SFT nothing is said about alignment."
        return Headline(sentence, "nothing", _notes(inputs))
    verdict = numbers.verdict(change, numbers.WER)
    start = {
        "better": "Alignment lowered the word error rate",
        "worse": "Alignment made the word error rate worse",
        "unproven": "Alignment made no proven change to the word error rate",
    }[verdict]
    sentence = (
        f"{start}: {numbers.level(before.value, numbers.WER)} after SFT, {now}, a paired difference of "
        f"{numbers.difference(change.value, numbers.WER)} "
        f"(95\N{NO-BREAK SPACE}% interval {numbers.difference_interval(change, numbers.WER)}"
        f"{', which includes zero' if verdict == 'unproven' else ''})."
    )
    return Headline(sentence, verdict, _notes(inputs))


def _wer(run: Run) -> Interval | None:
    return run.judged.groups.get("all", {}).get("wer") if run.judged else None


def _notes(inputs: Inputs) -> list[str]:
    """What a reader of the headline alone would miss."""
    notes = []
    last = inputs.evaluated[-1]
    changes = last.judged.versus_sft if last.judged else {}
    similarity, duration = changes.get("similarity"), changes.get("duration_ratio")
    if similarity and similarity.excludes_zero:
        word = "rose" if similarity.value > 0 else "fell"
        notes.append(f"Speaker similarity {word} by {_change(similarity, numbers.SIMILARITY)} against SFT.")
    if duration and duration.excludes_zero:
        word = "longer" if duration.value > 0 else "shorter"
        notes.append(f"Speech became {word}: duration ratio {_change(duration, numbers.DURATION)} against SFT.")
    step = last.judged.versus_previous.get("wer") if last.judged else None
    if step and last.previous != "0" and numbers.verdict(step, numbers.WER) == "worse":
        change = _change(step, numbers.WER)
        notes.append(f"Iteration {last.name} is worse than iteration {last.previous}: {change}.")
    scored = [(interval.value, run) for run in inputs.evaluated if (interval := _wer(run))]
    best = min(scored, key=lambda item: item[0])[1] if scored else last
    if best.name == "0" and last.name != "0":
        notes.append("No iteration has a lower WER than SFT.")
    elif best is not last:
        notes.append(f"The lowest WER below is that of {title(best)}; choosing it by this test set would flatter it.")
    if missing := [run.name for run in inputs.runs if run.judged is None]:
        notes.append(f"Not run (or not evaluated): iteration {', '.join(missing)}.")
    return notes


def _change(interval: Interval, metric: Metric) -> str:
    return f"{numbers.difference(interval.value, metric)} ({numbers.difference_interval(interval, metric)})"


@dataclass(frozen=True)
class Row:
    title: str
    kind: str  # ceiling or policy
    judged: Judged | None


def rows(inputs: Inputs) -> list[Row]:
    ceiling = [Row(SYSTEM_TITLES[system], "ceiling", inputs.ceiling.judged.get(system)) for system in SYSTEMS]
    return ceiling + [Row(title(run), "policy", run.judged) for run in inputs.runs]


def groups(inputs: Inputs) -> list[str]:
    """Groups of speakers that anything was measured on."""
    judged = [*inputs.ceiling.judged.values(), *(run.judged for run in inputs.evaluated if run.judged)]
    return [group for group in GROUPS if any(group in item.groups for item in judged)]


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
        unit=metric.unit,
        right=56,
    ).svg()


def _level(interval: Interval, metric: Metric) -> str:
    within = numbers.level_interval(interval, metric)
    return f"{numbers.level(interval.value, metric)} (95\N{NO-BREAK SPACE}% interval {within})"


def _ceiling_levels(ceiling: Ceiling, metric: Metric, group: str) -> list[Level]:
    found = [(system, item.groups.get(group, {}).get(metric.name)) for system, item in ceiling.judged.items()]
    return [Level(SHORT_SYSTEMS[system], interval.value, system) for system, interval in found if interval]


def largest_differences(found: Differences) -> dict[str, float]:
    """By metric, the furthest end of any paired interval: the scale that its small pictures share."""
    largest: dict[str, float] = {}
    for scores in (scores for runs in found.values() for scores in runs.values()):
        for name, interval in scores.items():
            largest[name] = max(largest.get(name, 0.0), abs(interval.low), abs(interval.high))
    return largest


def interval_picture(interval: Interval, largest: float, verdict: str) -> Markup:
    """A paired difference on a line with zero in its middle. The words beside it say the same: hidden from readers."""

    def x(value: float) -> float:
        return 60 + 56 * value / (largest or 1)

    return Markup(
        f'<svg class="forest {verdict}" viewBox="0 0 120 14" aria-hidden="true" focusable="false">'
        '<line class="zero" x1="60" y1="0" x2="60" y2="14"/>'
        f'<line class="range" x1="{x(interval.low):.1f}" y1="7" x2="{x(interval.high):.1f}" y2="7"/>'
        f'<circle cx="{x(interval.value):.1f}" cy="7" r="3.4"/></svg>'
    )
