"""The gate: may a new policy become the champion? Pure decision logic on two tables of judged test utterances.

"Not worse" is a non-inferiority test on the paired 95 % interval of candidate minus champion (same utterances,
voice prompts and seeds). Two conditions, both needed:

* the interval reaches zero: nothing shows that the candidate is worse;
* the interval ends before the margin: the data show that it is not much worse. Without this a small test set, whose
  wide interval always reaches zero, would let any policy through, and many small losses would add up.

For WER worse is upwards (margin ``max_wer_increase``), for similarity downwards (``max_similarity_decrease``).
The duration ratio must lie within its bounds (preference optimisation slows speech to please a recogniser), and the
share of failed samples (empty, or cut off at the length limit) may grow by ``max_failed_increase`` at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tasks.evaluation import compare, summarize

Row = Mapping[str, Any]  # of schemas.UTTERANCES
KEY = ("id", "prompt_id", "seed", "text")


@dataclass(frozen=True)
class Rules:
    """The ``register`` block's limits and how intervals are made."""

    min_duration_ratio: float
    max_duration_ratio: float
    max_wer_increase: float
    max_similarity_decrease: float
    max_failed_increase: float
    resamples: int
    seed: int


@dataclass(frozen=True)
class Check:
    """One rule, with the numbers it looked at."""

    rule: str
    passed: bool
    found: str


@dataclass(frozen=True)
class Decision:
    """The gate's answer."""

    promoted: bool
    checks: tuple[Check, ...]

    @property
    def reason(self) -> str:
        """The rules that stopped the candidate, with their numbers; or what it passed."""
        shown = self.checks if self.promoted else [check for check in self.checks if not check.passed]
        return "; ".join(f"{check.rule}: {check.found}" for check in shown)

    def as_dict(self) -> dict[str, Any]:
        return {"promoted": self.promoted, "reason": self.reason, "checks": [asdict(check) for check in self.checks]}


def comparable(candidate: Sequence[Row], champion: Sequence[Row]) -> bool:
    """Whether at least half of the candidate's rows have a partner: fewer would compare a chance remainder."""
    return 2 * len(_keys(candidate) & _keys(champion)) >= len(candidate) > 0


def decide(candidate: Sequence[Row], champion: Sequence[Row] | None, rules: Rules) -> Decision:
    """Judge a candidate against the champion (None: there is none yet, so only the duration rule holds).

    Raises:
        ValueError: the candidate has no rows, or too few of them in common with the champion's.
    """
    if not candidate:
        raise ValueError("the candidate has no judged utterances; run `evaluate` first")
    checks = [_duration(candidate, rules)]
    if champion is not None:
        if not comparable(candidate, champion):
            raise ValueError("candidate and champion were not judged on the same test utterances, prompts and seeds")
        common = _keys(candidate) & _keys(champion)
        new = [dict(row) for row in candidate if _key(row) in common]
        old = [dict(row) for row in champion if _key(row) in common]
        difference = compare(old, new, rules.resamples, rules.seed)
        checks += [
            _not_worse("WER", difference["wer"], 1, rules.max_wer_increase),
            _not_worse("similarity", difference["similarity"], -1, rules.max_similarity_decrease),
            _failures(new, old, rules),
        ]
    return Decision(all(check.passed for check in checks), tuple(checks))


def failed(row: Row) -> bool:
    """Cut off at the length limit, or nothing to hear."""
    return not row["finished"] or row["seconds"] <= 0


def _not_worse(name: str, difference: Mapping[str, float], worse: int, margin: float) -> Check:
    """``worse`` is +1 where a rise is a loss, -1 where a fall is."""
    value, low, high = (difference[key] for key in ("value", "low", "high"))
    least, most = sorted((worse * low, worse * high))  # the loss, between these
    found = f"candidate minus champion {value:+.4f} [{low:+.4f}, {high:+.4f}]"
    if least > 0:
        return Check(f"{name} not worse", False, f"{found} lies wholly on the worse side")
    if most > margin:
        return Check(f"{name} not worse", False, f"{found} reaches past the margin of {worse * margin:+.4f}")
    return Check(f"{name} not worse", True, f"{found}, margin {worse * margin:+.4f}")


def _duration(rows: Sequence[Row], rules: Rules) -> Check:
    # The reported value (sum over sum), so that the gate and the report never disagree.
    ratio = summarize([dict(row) for row in rows], 1, rules.seed)["duration_ratio"]["value"]
    within = rules.min_duration_ratio <= ratio <= rules.max_duration_ratio
    bounds = f"[{rules.min_duration_ratio}, {rules.max_duration_ratio}]"
    return Check("duration ratio within bounds", within, f"{ratio:.3f}, allowed {bounds}")


def _failures(new: Sequence[Row], old: Sequence[Row], rules: Rules) -> Check:
    now, before = sum(map(failed, new)), sum(map(failed, old))
    allowed = before + rules.max_failed_increase * len(new)
    found = f"{now} of {len(new)} (champion {before}, allowed {allowed:g})"
    return Check("no more failed samples", now <= allowed, found)


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in KEY)


def _keys(rows: Sequence[Row]) -> set[tuple[Any, ...]]:
    return {_key(row) for row in rows}
