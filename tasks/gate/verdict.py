"""From findings to a verdict in plain words: better, worse or not shown, and how many texts would show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tasks.common.page.numbers import count
from tasks.gate import phrases
from tasks.gate.findings import LEAST_TEXTS, Finding, findings
from tasks.gate.margins import Margins
from tasks.gate.more_texts import closest, needed
from tasks.gate.phrases import listed, worded

Answer = Literal["better", "worse", "not shown"]
EXIT: dict[Answer, int] = {"better": 0, "worse": 1, "not shown": 2}
TOO_MANY_UNJUDGED = 0.05  # of a system's recordings: word errors of the rest claim nothing


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

    @property
    def headline(self) -> str:
        """The verdict as it is told everywhere: ``Better: after is better in WER (…)``."""
        return f"{self.answer.capitalize()}: {self.sentence}"


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
    reasons = [*phrases.doubts(gains), *map(_unread_words, unread), *phrases.left_out(before, after, found)]
    answer: Answer = "not shown"
    more, advice = None, ""
    if worse:
        answer = "worse"
        sentence = f"{names[1]} is {phrases.losses(worse)}"
        sentence += f", though better in {listed(map(worded, gains))}" if gains else ""
    elif confirmed and not undecided and not unread:
        answer = "better"
        kept = [phrases.name(f.name) for f in with_verdict if f.state == "not worse"]
        sentence = f"{names[1]} is better in {listed(map(worded, confirmed))}"
        sentence += f", not worse in {listed(kept)}" if kept else ""
        sentence += phrases.agreement(confirmed, found)
    elif texts < LEAST_TEXTS:
        few = "is" if texts == 1 else "are"
        sentence = f"{count(texts, 'text')} {few} too few to tell anything from chance; {LEAST_TEXTS} are the least"
    else:
        sentence = _open(names[1], gains, undecided, with_verdict)
        if not unread:
            more, advice = needed(with_verdict, texts)
    sentence += (f"; {advice}" if advice else "") + phrases.missing(names[1], after)
    return Verdict(*names, answer, sentence, tuple(reasons), tuple(found), texts, more)


def overall(verdicts: Sequence[Verdict]) -> Answer:
    """The answer against the first system and all others: better than the first, and not worse than any."""
    if any(verdict.answer == "worse" for verdict in verdicts):
        return "worse"
    lost = any(f.state == "open" for verdict in verdicts[1:] for f in _with_margin(verdict))
    return "better" if verdicts[0].answer == "better" and not lost else "not shown"


def last_line(verdicts: Sequence[Verdict]) -> str:
    """The answer to all comparisons in one line, which begins with ``Better``, ``Worse`` or ``Not shown``."""
    first, *others = verdicts
    if not others:
        return first.headline
    answer, after = overall(verdicts), first.after
    if answer == "worse":
        said = f"{after} is worse than {listed(v.before for v in verdicts if v.answer == 'worse')}"
    elif answer == "better":
        said = f"{after} is better than {first.before} and not worse than {listed(v.before for v in others)}"
    elif first.answer == "better":
        lost = listed(v.before for v in others if any(f.state == "open" for f in _with_margin(v)))
        said = f"{after} is better than {first.before}, but a loss against {lost} is not excluded"
    else:
        said = f"{after} is not shown to be better than {first.before}"
    return f"{answer.capitalize()}: {said}"


def _with_margin(verdict: Verdict) -> list[Finding]:
    return [finding for finding in verdict.findings if finding.margin is not None]


def _open(after: str, gains: Sequence[Finding], undecided: Sequence[Finding], found: Sequence[Finding]) -> str:
    """What is neither better nor worse: what seems better, or comes closest, and which losses are not excluded."""
    if gains:
        seems = f"{after} seems better in {listed(map(worded, gains))}"
        lost = listed(map(worded, undecided)) if undecided else ""
        return seems + (f", but a loss above the margin is not excluded in {lost}" if lost else "")
    nearest = closest(found)
    said = "no measure is significantly better" + (f"; closest is {worded(nearest)}" if nearest else "")
    if undecided:
        lost = listed(phrases.name(f.name) if f is nearest else worded(f) for f in undecided)
        said += f"; a loss above the margin is not excluded in {lost}"
    return said


def _unread(rows: Sequence[Mapping[str, Any]]) -> float:
    return sum(row["unjudged"] for row in rows) / max(1, len(rows))


def _unread_words(name: str) -> str:
    return f"the recognizer failed on more than {TOO_MANY_UNJUDGED:.0%} of {name}, so no word error rate is claimed"
