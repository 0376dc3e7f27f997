"""What the judges that took no part in choosing pairs say, beside the reward's own: who agrees, who does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.common.reward_hacking import SUSPECTED, Agreement, agreements, f0_ratio
from tasks.report import numbers
from tasks.report.load import Inputs, Interval, Run
from tasks.report.numbers import HELD_OUT, HELD_OUT_SIMILARITY, HELD_OUT_WER, SIMILARITY, WER, Metric
from tasks.report.results import title

# What is measured → how the own judge's and the held-out judge's difference is written.
WRITTEN = {"WER": (WER, HELD_OUT_WER), "similarity": (SIMILARITY, HELD_OUT_SIMILARITY)}
WORDS = {
    "suspected": SUSPECTED,
    "agree": "held-out judges agree",
    "opposed": "only the held-out judge sees a gain",
    "unproven": "not proven either way",
}


@dataclass(frozen=True)
class Row:
    """One iteration against SFT. A measure that either judge lacks has no verdict."""

    run: Run
    title: str
    verdicts: Mapping[str, tuple[str, str]]  # by measure: the verdict's CSS class and its words
    pitch: Interval | None  # spread of pitch, times that of SFT
    flattened: bool  # by more than the gate allows


def measured(inputs: Inputs) -> set[str]:
    """Names of the metrics that there is anything to show of."""
    judged = [run.judged for run in inputs.evaluated if run.judged]
    return {metric.name for item in judged for metric in HELD_OUT if metric.name in item.groups.get("all", {})}


def rows(inputs: Inputs) -> list[Row]:
    """Every evaluated iteration after SFT."""
    limit = 1 - inputs.params.register_.max_f0_flattening
    table = []
    for run in inputs.evaluated:
        if run.name == "0":
            continue
        verdicts: dict[str, tuple[str, str]] = {}
        for item in _agreements(inputs, run):
            verdicts[item.measure] = item.verdict, WORDS[item.verdict]
        pitch = _pitch(inputs, run)
        table.append(Row(run, title(run), verdicts, pitch, pitch is not None and pitch.value < limit))
    return table


def alarms(inputs: Inputs) -> list[str]:
    """A sentence for each iteration and measure where reward hacking is suspected, with both judges' numbers."""
    sentences = []
    for run in inputs.evaluated:
        for item in _agreements(inputs, run):
            if item.verdict == "suspected":
                own, held_out = WRITTEN[item.measure]
                sentences.append(
                    f"{SUSPECTED.capitalize()} in iteration {run.name}: the judge that chose the pairs finds a "
                    f"{own.short} difference to SFT of {_difference(item.own, own)}, a judge that did not finds "
                    f"{_difference(item.held_out, held_out)}."
                )
    return sentences


def _agreements(inputs: Inputs, run: Run) -> list[Agreement]:
    sft = inputs.runs[0].judged
    if run.judged is None or sft is None or run.name == "0":
        return []
    before = {name: interval.value for name, interval in sft.groups.get("all", {}).items()}
    differences = {name: vars(interval) for name, interval in run.judged.versus_sft.items()}
    return agreements(differences, before)


def _pitch(inputs: Inputs, run: Run) -> Interval | None:
    resamples, seed = inputs.params.evaluate.bootstrap_samples, inputs.params.seed
    ratio = f0_ratio(inputs.runs[0].utterances, run.utterances, resamples, seed)
    return Interval(**ratio) if ratio else None


def _difference(found: Mapping[str, float], metric: Metric) -> str:
    interval = Interval(**found)
    return f"{numbers.difference(interval.value, metric)} ({numbers.difference_interval(interval, metric)})"
