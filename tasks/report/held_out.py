"""Scores of the judges that took no part in choosing pairs, next to the reward's own: confirmed or contradicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from model.statistics import Interval
from tasks.common.page import numbers
from tasks.common.reward_hacking import SUSPECTED, CrossCheck, cross_checks, f0_ratio
from tasks.common.scores import Metric, Scores, by_judge, confirmable
from tasks.report.load import Inputs, Run

WORDS = {
    "suspected": SUSPECTED,
    "confirmed": "confirmed by the held-out judge",
    "not confirmed": "not confirmed by the held-out judge",
    "opposed": "gain for the held-out judge only",
    "inconclusive": "inconclusive",
}
STYLES = {"suspected": "worse", "confirmed": "better"}  # CSS classes


@dataclass(frozen=True)
class Row:
    """One iteration against the start. A metric that either judge lacks has no outcome."""

    run: Run
    scores: Scores  # paired differences
    outcomes: Mapping[str, tuple[str, str]]  # by metric: CSS class and words
    pitch: Interval | None  # F0 spread, times that of the start
    flattened: bool  # by more than the gate allows


def measured(inputs: Inputs) -> set[str]:
    """Names of the metrics with scores of any policy."""
    held_out = {metric.name for metric in by_judge(held_out=True)}
    return held_out & {name for run in inputs.evaluated for texts in inputs.sets for name in run.judged(texts).everyone}


def unpaired() -> list[Metric]:
    """Held-out metrics that confirm no other; the F0 spread is shown as a ratio instead."""
    confirming = {other.name for _, other in confirmable()}
    return [metric for metric in by_judge(held_out=True) if metric.name not in confirming | {"f0_spread"}]


def rows(inputs: Inputs, texts: str) -> list[Row]:
    """Every evaluated iteration after the start, on one set of texts."""
    limit, resamples = 1 - inputs.params.register_.max_f0_flattening, inputs.params.evaluate.bootstrap_samples
    table = []
    for run in inputs.evaluated:
        if run.name == "0":
            continue
        outcomes = {
            check.metric.name: (STYLES.get(check.outcome, ""), WORDS[check.outcome])
            for check in _cross_checks(inputs, run, texts)
        }
        pitch = f0_ratio(inputs.runs[0].rows(texts), run.rows(texts), resamples, inputs.params.seed)
        scores = run.judged(texts).versus_start
        table.append(Row(run, scores, outcomes, pitch, pitch is not None and pitch.value < limit))
    return table


def alarms(inputs: Inputs) -> list[str]:
    """A sentence for each iteration and metric where reward hacking is suspected, with both judges' numbers."""
    return [
        f"{SUSPECTED.capitalize()} in iteration {run.name}: the {check.metric.short} difference to the start on "
        f"{texts} texts is {numbers.change(check.own, check.metric)} for the judge that chose the pairs, and "
        f"{numbers.change(check.held_out, check.held_out_metric)} for a held-out judge."
        for run in inputs.evaluated
        for texts in inputs.sets
        for check in _cross_checks(inputs, run, texts)
        if check.outcome == "suspected"
    ]


def _cross_checks(inputs: Inputs, run: Run, texts: str) -> list[CrossCheck]:
    before = {name: score.value for name, score in inputs.runs[0].judged(texts).everyone.items()}
    return cross_checks(run.judged(texts).versus_start, before) if before else []
