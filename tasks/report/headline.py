"""The result in one sentence, its caveat in the next, and what a reader of both alone would miss."""

from __future__ import annotations

from dataclasses import dataclass

from model.statistics import Interval
from tasks.common.metrics import METRICS
from tasks.common.page import numbers
from tasks.common.scores import Scores
from tasks.report import decodings, voices
from tasks.report.load import Inputs, Run

WER, SIMILARITY, DURATION = METRICS["wer"], METRICS["similarity"], METRICS["duration_ratio"]
HELD_OUT = METRICS["held_out_wer"]
STARTS = {
    "better": "lowered the word error rate significantly",
    "worse": "raised the word error rate significantly",
    "includes zero": "did not change the word error rate significantly",
}
ON = {"long": "On texts longer than SFT had", "recorded": "On texts as long as SFT's"}
IN_DOMAIN = {
    "better": "On texts as long as SFT's, it fell",
    "worse": "On texts as long as SFT's, it rose",
    "includes zero": "On texts as long as SFT's, it did not change significantly",
}


@dataclass(frozen=True)
class Headline:
    sentence: str
    caveat: str  # what limits it: the other set of texts, and voices that training did not have
    direction: str  # of :func:`numbers.direction`, or "" where there is nothing to compare
    notes: list[str]


def headline(inputs: Inputs) -> Headline:
    """WER of the last evaluated iteration, each policy at its own best decoding.

    It is called lower or higher than the start's only if the difference is significant.
    """
    last, texts = inputs.evaluated[-1], inputs.sets[0]
    wer, change = _wer(last, texts), _versus_start(last, texts).get(WER.name)
    level = numbers.level(wer.value, WER) if wer else "not measured"
    direction = ""
    if last.name == "0":
        sentence = f"Nothing is aligned yet. {ON[texts]}, the start has a word error rate of {level}."
    elif change is None:
        sentence = (
            f"{ON[texts]}, the word error rate is {level} after iteration {last.name}; there is no paired difference "
            "to the start."
        )
    else:
        direction = numbers.direction(change, WER)
        sentence = f"{ON[texts]}, alignment {STARTS[direction]}: {_from_to(inputs, last, texts, change)}."
    return Headline(sentence, _caveat(inputs, last), direction, _notes(inputs, last))


def _from_to(inputs: Inputs, last: Run, texts: str, change: Interval) -> str:
    """Levels of start and last iteration at their decodings, and the paired difference with its relative size."""
    start = inputs.runs[0]
    before, after = _wer(start, texts), _wer(last, texts)
    paired = f"a paired difference of {numbers.tested_change(change, WER)}"
    if not before or not after:
        return paired
    relative = ""
    if before.value:
        percent = numbers.number(100 * change.value / before.value, 0, signed=True)
        relative = f" ({percent}{numbers.NO_BREAK}%)"
    return (
        f"{numbers.level(before.value, WER)} at the start, {numbers.level(after.value, WER)} after iteration "
        f"{last.name}{relative}, each at its own best decoding; {paired}"
    )


def _caveat(inputs: Inputs, last: Run) -> str:
    sentences = []
    for texts in inputs.sets[1:]:
        before, after = _wer(inputs.runs[0], texts), _wer(last, texts)
        change = _versus_start(last, texts).get(WER.name)
        if before and after and change:
            sentences.append(
                f"{IN_DOMAIN[numbers.direction(change, WER)]}: {numbers.level(before.value, WER)} at the start, "
                f"{numbers.level(after.value, WER)} now ({numbers.difference(change.value, WER)}, "
                f"95{numbers.NO_BREAK}% interval {numbers.difference_interval(change, WER)})."
            )
        elif after and last.name == "0":
            sentences.append(f"{ON[texts]}, it is {numbers.level(after.value, WER)}.")
    return " ".join([*sentences, *voices.sentence(inputs, last)])


def _wer(run: Run, texts: str, split: str = "test") -> Interval | None:
    return run.judged(texts, split=split).everyone.get(WER.name)


def _versus_start(run: Run, texts: str, decoding: str = "best") -> Scores:
    return run.judged(texts, decoding).versus_start


def _notes(inputs: Inputs, last: Run) -> list[str]:
    notes = []
    main = inputs.sets[0]
    if other := _versus_start(last, main).get(HELD_OUT.name):
        notes.append(f"The held-out recognizer finds {numbers.tested_change(other, WER)} on {main} texts.")
    if not last.one_decoding and (at_loop := _versus_start(last, main, "loop").get(WER.name)):
        notes.append(
            f"With every policy at the loop's decoding ({last.decoding('loop')}) the difference on {main} texts is "
            f"{numbers.tested_change(at_loop, WER)}."
        )
    notes += decodings.sentence(last)
    for texts in inputs.sets:
        changes = _versus_start(last, texts)
        similarity, duration = changes.get(SIMILARITY.name), changes.get(DURATION.name)
        if similarity and similarity.excludes_zero:
            word = "rose" if similarity.value > 0 else "fell"
            change = numbers.change(similarity, SIMILARITY)
            notes.append(f"Speaker similarity on {texts} texts {word} by {change} against the start.")
        if duration and duration.excludes_zero:
            word = "longer" if duration.value > 0 else "shorter"
            notes.append(
                f"Speech became {word}: duration ratio {numbers.change(duration, DURATION)} against the start."
            )
        step = last.judged(texts).versus_previous.get(WER.name)
        if step and last.previous != "0" and numbers.direction(step, WER) == "worse":
            notes.append(
                f"On {texts} texts iteration {last.name} is worse than iteration {last.previous}: "
                f"{numbers.change(step, WER)}."
            )
    return [*notes, *_best_on_dev(inputs, last), *_missing(inputs)]


def _best_on_dev(inputs: Inputs, last: Run) -> list[str]:
    """Name the iteration that dev prefers, if it is not the last."""
    scored = []
    for run in inputs.evaluated:
        rates = [score.value for texts in inputs.sets if (score := _wer(run, texts, "dev"))]
        if rates:
            scored.append((sum(rates) / len(rates), run))
    best = min(scored, key=lambda item: item[0])[1] if scored else last
    if best is last:
        return []
    return [f"Dev prefers {best.title.lower()}: it has the lowest word error rate there, the mean of all sets."]


def _missing(inputs: Inputs) -> list[str]:
    missing = [run.name for run in inputs.runs if not run.content]
    return [f"Not run (or not evaluated): iteration {', '.join(missing)}."] if missing else []
