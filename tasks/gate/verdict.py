"""From findings to a verdict in plain words: better, worse or not shown, and how many texts would show it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from model.statistics import Interval
from tasks.common.page.numbers import count
from tasks.common.text_lists import some
from tasks.gate.findings import CLAIMS, GUARDS, LEAST_TEXTS, Finding, findings, metric_of
from tasks.gate.margins import Margins

Answer = Literal["better", "worse", "not shown"]
EXIT: dict[Answer, int] = {"better": 0, "worse": 1, "not shown": 2}
BAD_INPUT = 3
TOO_MANY_UNJUDGED = 0.05  # of a system's recordings: word errors of the rest claim nothing
FAR = 20  # times as many texts: nobody records so many to find a difference this small
POWER_Z = 0.84  # a chance of 80 % to see it
NAMES = {
    "wer": "WER",
    "held_out_wer": "WER by the second recognizer",
    "similarity": "similarity",
    "held_out_similarity": "similarity by the second measure",
    "mos": "predicted MOS",
    "f0_spread": "pitch",
    "words_per_second": "speed",
    "failed": "failed recordings",
    "unjudged": "recordings that can't be judged",
}


@dataclass(frozen=True)
class Verdict:
    """What follows about ``after`` against ``before``.

    ``reasons``: one sentence each. ``more_texts``: how many more would show it, with a chance of 80 %; None where no
    number that makes sense would.
    """

    before: str
    after: str
    answer: Answer
    sentence: str
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]
    texts: int
    more_texts: int | None = None

    @property
    def code(self) -> int:
        """The command's exit status."""
        return EXIT[self.answer]


def judge(
    before: Sequence[Mapping[str, Any]],
    after: Sequence[Mapping[str, Any]],
    margins: Margins,
    names: tuple[str, str],
    resamples: int = 4000,
    seed: int = 0,
) -> Verdict:
    """Decide between two systems' rows (:func:`tasks.gate.measure.measure`) of the same texts."""
    found = findings(before, after, margins, resamples, seed)
    texts = len({row["id"] for row in after})
    with_verdict = [f for f in found if f.margin is not None and not (f.few and texts >= LEAST_TEXTS)]
    unread = [name for name, rows in zip(names, (before, after), strict=True) if _unread(rows) > TOO_MANY_UNJUDGED]
    gains = [f for f in with_verdict if f.state == "better" and not (f.name == "wer" and unread)]
    confirmed = [f for f in gains if f.agreement not in ("not confirmed", "suspected")]
    worse = [f for f in with_verdict if f.state == "worse"]
    undecided = [f for f in with_verdict if f.state == "open" and f.name not in {g.name for g in gains}]
    reasons = [*_doubts(gains), *(_unread_words(name) for name in unread), *_left_out(before, after, found)]
    kept = [f for f in with_verdict if f.state == "not worse"]
    if worse:
        sentence = f"{names[1]} is {_losses(worse)}"
        sentence += f", though better in {_listed(map(worded, gains))}" if gains else ""
        sentence += missing(names[1], after)
        return Verdict(*names, "worse", sentence, tuple(reasons), tuple(found), texts)
    if confirmed and not undecided and not unread:
        sentence = f"{names[1]} is better in {_listed(map(worded, confirmed))}"
        sentence += f", not worse in {_listed(NAMES[f.name] for f in kept)}" if kept else ""
        sentence += _agreement(confirmed, found) + missing(names[1], after)
        return Verdict(*names, "better", sentence, tuple(reasons), tuple(found), texts)
    sentence = "not shown: "
    if texts < LEAST_TEXTS:
        sentence += (
            f"too few texts: of {count(texts, 'text')} nothing can be told from chance, {LEAST_TEXTS} are the least"
        )
        sentence += missing(names[1], after)
        return Verdict(*names, "not shown", sentence, tuple(reasons), tuple(found), texts)
    needed = _needed(gains, undecided, with_verdict, texts)
    if gains:
        sentence += f"{names[1]} seems better in {_listed(map(worded, gains))}"
        if undecided:
            sentence += f", but a loss above the margin is not excluded in {_listed(map(worded, undecided))}"
    else:
        closest = _closest(with_verdict)
        sentence += "no measure is significantly better" + (f"; closest is {worded(closest)}" if closest else "")
        if undecided:
            listed = _listed(NAMES[f.name] if f is closest else worded(f) for f in undecided)
            sentence += f"; a loss above the margin is not excluded in {listed}"
    if needed is not None and not unread:
        sentence += f"; about {needed} more texts would show it"
    sentence += missing(names[1], after)
    return Verdict(*names, "not shown", sentence, tuple(reasons), tuple(found), texts, needed)


def missing(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """``; 2 of 10 texts have no recording by after (t3, t7)``; "" where none is missing."""
    lacking = list(dict.fromkeys(row["id"] for row in rows if row["file"] is None))
    if not lacking:
        return ""
    have = {row["id"] for row in rows if row["file"] is not None}
    texts = count(len({row["id"] for row in rows}), "text")
    some_of = "no recording" if not have & set(lacking) else "too few recordings"
    verb = "has" if len(lacking) == 1 else "have"
    return f"; {len(lacking)} of {texts} {verb} {some_of} by {name} ({some(lacking)})"


def overall(verdicts: Sequence[Verdict]) -> Answer:
    """The answer against the first system and all others: better than the first, and not worse than any."""
    if any(verdict.answer == "worse" for verdict in verdicts):
        return "worse"
    others = [f for verdict in verdicts[1:] for f in verdict.findings if f.margin is not None]
    lost = any(f.state == "open" for f in others)
    return "better" if verdicts[0].answer == "better" and not lost else "not shown"


def worded(finding: Finding) -> str:
    """``WER (−31 %, 95 % [−44, −15])``; failures and scores in points of their scale."""
    return f"{NAMES[finding.name]} ({amount(finding)})"


def _losses(worse: Sequence[Finding]) -> str:
    """``worse in WER (…), and faster than allowed (…)``: speed has a direction, of which neither is better."""
    speed = [
        f"{_direction(f)} than allowed ({amount(f)}, must stay within "
        f"±{100 * (f.margin or 0.0) / f.change.before:.0f}\N{NO-BREAK SPACE}%)"
        for f in worse
        if f.name == "words_per_second"
    ]
    others = [worded(finding) for finding in worse if finding.name != "words_per_second"]
    return ", and ".join(([f"worse in {_listed(others)}"] if others else []) + speed)


def _direction(finding: Finding) -> str:
    """Whether the system after is the faster or the slower one."""
    return "faster" if finding.change.difference.value > 0 else "slower"


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


def _interval(interval: Interval, digits: int, unit: str) -> str:
    values = [f"{value:+.{digits}f}" for value in (interval.value, interval.low, interval.high)]
    zero = f"{0:.{digits}f}"
    values = [zero if value[1:] == zero else value.replace("-", "−") for value in values]
    return f"{values[0]}{unit}, 95\N{NO-BREAK SPACE}% [{values[1]}, {values[2]}]"


def _doubts(gains: Iterable[Finding]) -> list[str]:
    said = {
        "suspected": "the second {judge} excludes half of the gain in {name}: the first may be fooled",
        "not confirmed": "the second {judge} sees less than half of the gain in {name}, and can't exclude it",
    }
    return [
        said[f.agreement].format(judge="recognizer" if f.name == "wer" else "measure of voice", name=NAMES[f.name])
        for f in gains
        if f.agreement in said and f.agreement is not None
    ]


def _agreement(gains: Sequence[Finding], found: Sequence[Finding]) -> str:
    measured = {finding.name for finding in found}
    said = []
    if any(f.name == "wer" for f in gains):
        both = "held_out_wer" in measured
        said.append("both recognizers agree" if both else "one recognizer only")
    if any(f.name == "similarity" for f in gains):
        both = "held_out_similarity" in measured
        said.append("both measures of voice agree" if both else "one measure of voice only")
    return "; " + " and ".join(said) if said else ""


def _left_out(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], found: Sequence[Finding]
) -> list[str]:
    """What only few recordings have: no interval can be made of it."""
    there = {finding.name for finding in found if not finding.few}
    if len({row["id"] for row in after}) < LEAST_TEXTS:
        return []
    few = [
        NAMES[name]
        for name in GUARDS
        if name not in there and all(any(map(metric_of(name).measured, rows)) for rows in (before, after))
    ]
    return (
        [f"nothing can be said about {_listed(few)}: fewer than {LEAST_TEXTS} texts have it of both systems"]
        if few
        else []
    )


def _unread(rows: Sequence[Mapping[str, Any]]) -> float:
    return sum(row["unjudged"] for row in rows) / max(1, len(rows))


def _unread_words(name: str) -> str:
    return f"the recognizer failed on more than {TOO_MANY_UNJUDGED:.0%} of {name}, so no word error rate is claimed"


def _closest(found: Sequence[Finding]) -> Finding | None:
    claims = [f for f in found if f.name in CLAIMS and f.loss.value < 0]
    return min(claims, key=lambda f: f.change.p_gain, default=None)


def _needed(gains: Sequence[Finding], undecided: Sequence[Finding], found: Sequence[Finding], texts: int) -> int | None:
    """Texts that are missing for the closest claim, if there is no gain yet, and for every margin that is open."""
    z = 1.96 + POWER_Z
    ratios = []
    if not gains:
        claims = sum(f.name in CLAIMS for f in found)
        closest = _closest(found)
        if closest is None:
            return None
        ratios.append((_z_of(0.025 / max(1, claims)) + POWER_Z) * closest.loss.standard_error / -closest.loss.value)
    for finding in undecided:
        room = (finding.margin or 0.0) - finding.loss.value
        if room <= 0:
            return None
        ratios.append(z * finding.loss.standard_error / room)
    if not ratios:
        return None
    total = texts * max(1.0, *ratios) ** 2
    more = total - texts
    if total > FAR * texts or more < 1:
        return None
    size = 10 ** max(0, math.floor(math.log10(more)) - 1)
    return math.ceil(more / size) * size


def _z_of(tail: float) -> float:
    """Standard normal quantile of the upper ``tail``."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(1 - tail)


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    return listed[0] if len(listed) == 1 else ", ".join(listed[:-1]) + " and " + listed[-1]
