"""The gate's rules: each looks at two tables of judged test utterances, paired row by row, and gives a check.

Why each is as it is stands in :mod:`tasks.register.gate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.common.evaluation import summarize, unspoken
from tasks.common.reward_hacking import JUDGES, SHARE, SUSPECTED, agreements, f0_ratio, has_pitch, pitched

Row = Mapping[str, Any]  # of schemas.UTTERANCES
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Rules:
    """The ``register`` block's limits and how intervals are made."""

    min_duration_ratio: float
    max_duration_ratio: float
    max_wer_increase: float
    max_similarity_decrease: float
    max_failed_increase: float
    max_f0_flattening: float
    resamples: int
    seed: int


@dataclass(frozen=True)
class Check:
    """One rule, with the numbers it looked at. ``passed`` is None where there was nothing to look at."""

    rule: str
    passed: bool | None
    found: str


def failed(row: Row) -> bool:
    """Cut off at the length limit, or too short to be speech."""
    return not row["finished"] or unspoken(row)


def not_worse(name: str, measure: str, difference: Mapping[str, float], worse: int, margin: float) -> Check:
    """``difference`` is candidate minus ``name``; ``worse`` is +1 where a rise is a loss, -1 where a fall is."""
    rule = f"{measure} not worse, against {name}"
    value, low, high = (difference[key] for key in ("value", "low", "high"))
    least, most = sorted((worse * low, worse * high))  # the loss, between these
    found = f"candidate minus {name} {value:+.4f} [{low:+.4f}, {high:+.4f}]"
    if least > 0:
        return Check(rule, False, f"{found} lies wholly on the worse side")
    if most > margin:
        return Check(rule, False, f"{found} reaches past the margin of {worse * margin:+.4f}")
    return Check(rule, True, f"{found}, margin {worse * margin:+.4f}")


def duration(rows: Sequence[Row], rules: Rules) -> Check:
    # The reported value (sum over sum), so that the gate and the report never disagree.
    ratio = summarize([dict(row) for row in rows], 1, rules.seed)["duration_ratio"]["value"]
    within = rules.min_duration_ratio <= ratio <= rules.max_duration_ratio
    bounds = f"[{rules.min_duration_ratio}, {rules.max_duration_ratio}]"
    return Check("duration ratio within bounds", within, f"{ratio:.3f}, allowed {bounds}")


def failures(name: str, old: Sequence[Row], new: Sequence[Row], rules: Rules) -> Check:
    now, before = sum(map(failed, new)), sum(map(failed, old))
    allowed = before + rules.max_failed_increase * len(new)
    found = f"{now} of {len(new)} ({name} {before}, allowed {allowed:g})"
    return Check(f"no more failed samples, against {name}", now <= allowed, found)


def confirmed(
    name: str, old: Rows, new: Rows, difference: Mapping[str, Mapping[str, float]], rules: Rules
) -> list[Check]:
    """A check a measure: the held-out judges against the own ones, both on candidate minus ``name``."""
    before = {metric: scores["value"] for metric, scores in summarize(old, 1, rules.seed).items()}
    found = {agreement.measure: agreement for agreement in agreements(difference, before)}
    checks = []
    for measure in JUDGES:
        rule = f"held-out judges agree on {measure}, against {name}"
        agreement = found.get(measure)
        if agreement is None:
            checks.append(Check(rule, None, "left out: no held-out judge heard both"))
            continue
        numbers = f"own judge {_interval(agreement.own)}, held-out judge {_interval(agreement.held_out)}"
        if agreement.verdict == "suspected":
            reason = f"{SUSPECTED}: {numbers}, which excludes {SHARE:.0%} of the gain"
            checks.append(Check(rule, False, reason))
        else:
            checks.append(Check(rule, True, f"{numbers}: {agreement.verdict}"))
    return checks


def lively(name: str, old: Rows, new: Rows, rules: Rules) -> Check:
    """Pitch not flattened against ``name``."""
    rule, most = f"pitch not flattened against {name}", rules.max_f0_flattening
    pairs = pitched(old, new)
    left = sum(after is not None for _, after in pairs)
    if not has_pitch(old):
        return Check(rule, None, f"left out: only {len(pairs)} of {len(old)} utterances of {name} have a pitch")
    if 2 * left < len(pairs):
        return Check(rule, False, f"only {left} of {len(pairs)} utterances with a pitch still have one")
    ratio = f0_ratio(old, new, rules.resamples, rules.seed)
    if ratio is None:
        return Check(rule, None, "left out: the pitch did not move before")
    found = f"spread of pitch {ratio['value']:.3f} [{ratio['low']:.3f}, {ratio['high']:.3f}] times that of {name}"
    limits = f"at least {1 - most:g}, the interval above {1 - 2 * most:g}"
    return Check(rule, ratio["value"] >= 1 - most and ratio["low"] >= 1 - 2 * most, f"{found}; {limits}")


def _interval(difference: Mapping[str, float]) -> str:
    return "{value:+.4f} [{low:+.4f}, {high:+.4f}]".format(**difference)
