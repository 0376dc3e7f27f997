"""The gate's rules: each looks at two tables of judged test utterances, paired row by row, and gives a check.

The reasons for each are in :mod:`tasks.register.gate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.statistics import Interval
from tasks.common.reward_hacking import SHARE, SUSPECTED, cross_checks, f0_ratio, has_pitch, pitched
from tasks.common.scores import METRICS, Metric, Scores, confirmable, summarize, unspoken

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


def not_worse(name: str, metric: Metric, difference: Interval, margin: float) -> Check:
    """``difference`` is candidate minus ``name``; ``margin`` is the largest loss allowed."""
    rule = f"{metric.short} not worse, against {name}"
    loss = difference.scaled(-metric.better)
    found = f"candidate minus {name} {difference:+.4f}"
    if loss.low > 0:
        return Check(rule, False, f"{found} lies wholly on the worse side")
    if loss.high > margin:
        return Check(rule, False, f"{found} reaches past the margin of {-metric.better * margin:+.4f}")
    return Check(rule, True, f"{found}, margin {-metric.better * margin:+.4f}")


def duration(rows: Sequence[Row], rules: Rules) -> Check:
    """Synthesized speech over golden speech, as evaluation and report give it (sum over sum)."""
    ratio = METRICS["duration_ratio"].value(rows)
    within = rules.min_duration_ratio <= ratio <= rules.max_duration_ratio
    bounds = f"[{rules.min_duration_ratio}, {rules.max_duration_ratio}]"
    return Check("duration ratio within bounds", within, f"{ratio:.3f}, allowed {bounds}")


def failures(name: str, old: Sequence[Row], new: Sequence[Row], rules: Rules) -> Check:
    """Failed samples, against those of ``name``."""
    now, before = sum(map(failed, new)), sum(map(failed, old))
    allowed = before + rules.max_failed_increase * len(new)
    found = f"{now} of {len(new)} ({name} {before}, allowed {allowed:g})"
    return Check(f"no more failed samples, against {name}", now <= allowed, found)


def confirmed(name: str, old: Sequence[Row], differences: Scores, rules: Rules) -> list[Check]:
    """One check per metric: the held-out judges against the own ones, both on candidate minus ``name``."""
    before = {metric: score.value for metric, score in summarize(old, 1, rules.seed).items()}
    found = {check.metric.name: check for check in cross_checks(differences, before)}
    checks = []
    for metric, _ in confirmable():
        rule = f"{metric.short} confirmed by held-out judges, against {name}"
        check = found.get(metric.name)
        if check is None:
            checks.append(Check(rule, None, "left out: no held-out judge scored both"))
            continue
        numbers = f"own judge {check.own:+.4f}, held-out judge {check.held_out:+.4f}"
        if check.outcome == "suspected":
            checks.append(Check(rule, False, f"{SUSPECTED}: {numbers}, which excludes {SHARE:.0%} of the gain"))
        else:
            checks.append(Check(rule, True, f"{numbers}: {check.outcome}"))
    return checks


def not_flattened(name: str, old: Rows, new: Rows, rules: Rules) -> Check:
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
    found = f"spread of pitch {ratio:.3f} times that of {name}"
    limits = f"at least {1 - most:g}, the interval above {1 - 2 * most:g}"
    return Check(rule, ratio.value >= 1 - most and ratio.low >= 1 - 2 * most, f"{found}; {limits}")
