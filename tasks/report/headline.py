"""The result in one sentence, and what a reader of that sentence alone would miss."""

from __future__ import annotations

from dataclasses import dataclass

from model.statistics import Interval
from tasks.common.scores import METRICS
from tasks.report import numbers
from tasks.report.load import Inputs, Run

WER, SIMILARITY, DURATION = METRICS["wer"], METRICS["similarity"], METRICS["duration_ratio"]
STARTS = {
    "better": "Alignment lowered the word error rate significantly",
    "worse": "Alignment raised the word error rate significantly",
    "includes zero": "Alignment did not change the word error rate significantly",
}


@dataclass(frozen=True)
class Headline:
    sentence: str
    direction: str  # of :func:`numbers.direction`, or "" where there is nothing to compare
    notes: list[str]


def headline(inputs: Inputs) -> Headline:
    """WER of the last evaluated iteration: called lower or higher than SFT's only if the difference is significant."""
    last, before = inputs.evaluated[-1], _wer(inputs.runs[0])
    wer = _wer(last)
    level = numbers.level(wer.value, WER) if wer else "not measured"
    change = last.judged.versus_sft.get(WER.name)
    direction = ""
    if last.name == "0":
        sentence = f"Nothing is aligned yet: only the SFT policy has been evaluated, with a word error rate of {level}."
    elif change is None or before is None:
        sentence = f"The word error rate is {level} after iteration {last.name}; there is no paired difference to SFT."
    else:
        direction = numbers.direction(change, WER)
        sentence = (
            f"{STARTS[direction]}: {numbers.level(before.value, WER)} after SFT, {level} after iteration {last.name}, "
            f"a paired difference of {numbers.tested_change(change, WER)}."
        )
    return Headline(sentence, direction, _notes(inputs))


def _wer(run: Run) -> Interval | None:
    return run.judged.everyone.get(WER.name)


def _notes(inputs: Inputs) -> list[str]:
    notes = []
    last = inputs.evaluated[-1]
    changes = last.judged.versus_sft
    similarity, duration = changes.get(SIMILARITY.name), changes.get(DURATION.name)
    if similarity and similarity.excludes_zero:
        word = "rose" if similarity.value > 0 else "fell"
        notes.append(f"Speaker similarity {word} by {numbers.change(similarity, SIMILARITY)} against SFT.")
    if duration and duration.excludes_zero:
        word = "longer" if duration.value > 0 else "shorter"
        notes.append(f"Speech became {word}: duration ratio {numbers.change(duration, DURATION)} against SFT.")
    step = last.judged.versus_previous.get(WER.name)
    if step and last.previous != "0" and numbers.direction(step, WER) == "worse":
        notes.append(f"Iteration {last.name} is worse than iteration {last.previous}: {numbers.change(step, WER)}.")
    scored = [(score.value, run) for run in inputs.evaluated if (score := _wer(run))]
    best = min(scored, key=lambda item: item[0])[1] if scored else last
    if best.name == "0" and last.name != "0":
        notes.append("No iteration has a lower WER than SFT.")
    elif best is not last:
        notes.append(f"The lowest WER is that of {best.title}; choosing it by this test set would be optimistic.")
    if missing := [run.name for run in inputs.runs if not run.judged.content]:
        notes.append(f"Not run (or not evaluated): iteration {', '.join(missing)}.")
    return notes
