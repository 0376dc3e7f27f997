"""The gate: may a new policy become the champion? Decides from two tables of judged test utterances alone.

"Not worse" is a non-inferiority test on the paired 95 % interval of candidate minus champion (same utterances,
voice prompts and seeds). Two conditions, both needed:

* the interval reaches zero: no significant loss;
* the interval ends before the margin: no large loss is compatible with the data. Without this a small test set, whose
  wide interval always reaches zero, would let any policy through, and many small losses would add up.

For WER worse is upwards (margin ``max_wer_increase``), for similarity downwards (``max_similarity_decrease``).
The duration ratio must lie within its bounds, since preference optimization slows speech in favor of the recognizer.
The share of failed samples (empty, or cut off at the length limit) may grow by ``max_failed_increase`` at most.

While there is no champion (the loop's SFT policy, judged first, was refused), these rules compare a candidate with
SFT. Otherwise the first iteration within the duration bounds would become champion, however much it had lost.

Two more rules compare with the champion and with the loop's SFT policy, so that what is lost in small steps shows too:

* the held-out judges, which chose no pair, must not contradict a significant gain by the reward's own judges
  (:mod:`tasks.common.reward_hacking` says when they do). A gain that is not significant is no reason to refuse: this
  rule stops gains that are not real, the rules above stop losses;
* pitch may not be flattened: the ratio of its spreads, after over before, must be ``1 - max_f0_flattening`` or more,
  and its 95 % interval must exclude twice the flattening (so a small test set can't open the gate). Two samples of one
  text differ more in pitch than in errors, so the interval has more room here. At least half of the utterances that
  had a pitch must still have one.

A rule without numbers (no such judge, or no pitch in most utterances) is left out, and the decision says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from model.errors import InputError
from tasks.common.scores import METRICS, compare
from tasks.register.rules import Check, Row, Rows, Rules, confirmed, duration, failures, not_flattened, not_worse

KEY = ("id", "prompt_id", "seed", "text")


@dataclass(frozen=True)
class Decision:
    """The gate's answer."""

    promoted: bool
    checks: tuple[Check, ...]

    @property
    def reason(self) -> str:
        """The rules that stopped the candidate, with their numbers; or what it passed and what was left out."""
        shown = self.checks if self.promoted else [check for check in self.checks if check.passed is False]
        return "; ".join(f"{check.rule}: {check.found}" for check in shown)

    def as_dict(self) -> dict[str, Any]:
        return {"promoted": self.promoted, "reason": self.reason, "checks": [asdict(check) for check in self.checks]}


def comparable(candidate: Sequence[Row], champion: Sequence[Row]) -> bool:
    """Whether at least half of the candidate's rows have a partner: fewer would compare a chance remainder."""
    return 2 * len(_keys(candidate) & _keys(champion)) >= len(candidate) > 0


def decide(
    candidate: Sequence[Row], champion: Sequence[Row] | None, rules: Rules, sft: Sequence[Row] | None = None
) -> Decision:
    """Judge a candidate against the champion (None: there is none yet, so the SFT policy stands in for it).

    Args:
        sft: the loop's SFT policy on the same test; None if the candidate is that policy, which without a champion
            has only the duration rule to pass.
    Raises:
        InputError: the candidate has no rows, or too few of them in common with the champion's.
    """
    if not candidate:
        raise InputError("the candidate has no judged utterances; run `evaluate` first")
    checks = [duration(candidate, rules)]
    if champion is not None:
        if not comparable(candidate, champion):
            raise InputError("candidate and champion were not judged on the same test utterances, prompts and seeds")
        checks += _against("champion", champion, candidate, rules, losses=True)
    if sft is not None and sft is not champion and comparable(candidate, sft):
        # With a champion its margins decide; without one only SFT can show that the candidate lost something.
        checks += _against("SFT", sft, candidate, rules, losses=champion is None)
    return Decision(all(check.passed is not False for check in checks), tuple(checks))


def _against(name: str, before: Sequence[Row], candidate: Sequence[Row], rules: Rules, losses: bool) -> list[Check]:
    """The rules that compare two policies. ``losses``: also those on WER, similarity and failed samples."""
    old, new = _paired(before, candidate)
    differences = compare(old, new, rules.resamples, rules.seed)
    checks = []
    if losses:
        checks = [
            not_worse(name, METRICS["wer"], differences["wer"], rules.max_wer_increase),
            not_worse(name, METRICS["similarity"], differences["similarity"], rules.max_similarity_decrease),
            failures(name, old, new, rules),
        ]
    return [*checks, *confirmed(name, old, differences, rules), not_flattened(name, old, new, rules)]


def _paired(old: Sequence[Row], new: Sequence[Row]) -> tuple[Rows, Rows]:
    """The rows of both that the other has too."""
    common = _keys(old) & _keys(new)
    return [dict(row) for row in old if _key(row) in common], [dict(row) for row in new if _key(row) in common]


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in KEY)


def _keys(rows: Sequence[Row]) -> set[tuple[Any, ...]]:
    return {_key(row) for row in rows}
