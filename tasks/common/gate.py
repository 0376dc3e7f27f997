"""The gate: may a new policy become the champion? It decides from tables of judged utterances and limits alone.

A candidate is promoted if

* its gain over the champion is significant in at least one measure: word errors of each set of texts, or speaker
  similarity. Holm's correction keeps the chance that an equal candidate passes at 2.5 %, however many measures there
  are;
* a held-out judge, which chose no pair, sees at least half of that gain (:mod:`tasks.common.reward_hacking`). Otherwise
  the verdict is "not confirmed", or "reward hacking suspected" where the held-out judge excludes half of it;
* it has not lost in any measure, against the champion, the start *and* the best former champion in that measure. So
  nothing decays in small steps, each too small to see. A loss refuses if it is significant (by Holm's correction too),
  or if it exceeds the margin by more than its standard error. The margin is a share of the errors before;
* its speech has the length of golden speech, within bounds: preference optimization slows it in favor of the
  recognizer;
* its pitch is not flattened against champion and start: the ratio of its spreads, after over before, is not below
  ``1 - max_f0_flattening`` by more than its standard error. Its 95 % interval must exclude three times the flattening,
  so a small dev set can't open the gate. At least half of the utterances that had a pitch must still have one.

While there is no champion, the start must only have the right length. If it is refused, a later candidate becomes the
first champion without a gain, as long as it has lost nothing against the start.

A rule without numbers (no such judge, no pitch in most utterances) is left out, and the decision says so.
``benchmarks/gate.py`` measures how often all this decides right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from model.errors import InputError
from model.statistics import ONE_SIDE, holm
from tasks.common.changes import FAILED, Change, changes, comparable, partners
from tasks.common.metrics import METRICS
from tasks.common.params import Params
from tasks.common.reward_hacking import SHARE, SUSPECTED, cross_checks, f0_ratio, has_pitch, pitched

Row = Mapping[str, Any]  # of schemas.UTTERANCES
GAIN, CONFIRMED, LENGTH = "a significant gain", "confirmed by held-out judges", "duration ratio within bounds"
WON_BY = (GAIN, CONFIRMED, LENGTH)  # beginnings of the rules that say why a candidate was promoted
Verdict = Literal["promoted", "refused", "not confirmed"]
GAINS = ("wer", "similarity")  # metrics in which a candidate can win
LOSSES = ("wer", "held_out_wer", "similarity", "failed")  # metrics in which it must not lose
LEAST_RESAMPLES = 1000  # with fewer, no loss in one of six measures could be significant


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the gate allows. ``seed`` and ``resamples`` are of its intervals."""

    min_duration_ratio: float
    max_duration_ratio: float
    max_wer_increase: float  # share of the errors before, by either recognizer
    max_similarity_decrease: float  # share of the distance to 1 before
    max_failed_increase: float  # share of the samples
    max_f0_flattening: float  # share of the spread of pitch before
    resamples: int
    seed: int

    def margin(self, change: Change) -> float:
        """The largest loss allowed, in the metric's own unit."""
        if change.metric is FAILED:
            return self.max_failed_increase
        share = self.max_wer_increase if change.metric.better < 0 else self.max_similarity_decrease
        return share * change.errors_before


def limits_of(params: Params) -> Limits:
    """The limits that params.yaml gives."""
    block = params.register_.model_dump(exclude={"model_name"})
    return Limits(**block, resamples=max(LEAST_RESAMPLES, params.evaluate.bootstrap_samples), seed=params.seed)


@dataclass(frozen=True)
class Check:
    """One rule, with the numbers it looked at. ``passed`` is None where there was nothing to look at."""

    rule: str
    passed: bool | None
    found: str


@dataclass(frozen=True)
class Decision:
    """The gate's answer."""

    verdict: Verdict
    checks: tuple[Check, ...]

    @property
    def promoted(self) -> bool:
        return self.verdict == "promoted"

    @property
    def reason(self) -> str:
        """The rules that stopped the candidate, with their numbers; or what it won by, and what was left out."""
        shown = [check for check in self.checks if check.passed is False]
        if self.promoted:
            shown = [check for check in self.checks if check.rule.startswith(WON_BY) or check.passed is None]
        return "; ".join(f"{check.rule}: {check.found}" for check in shown)

    def as_dict(self) -> dict[str, Any]:
        """The decision as JSON holds it."""
        checks = [asdict(check) for check in self.checks]
        return {"verdict": self.verdict, "promoted": self.promoted, "reason": self.reason, "checks": checks}


def decide(
    candidate: Sequence[Row],
    limits: Limits,
    *,
    champion: Sequence[Row] | None = None,
    start: Sequence[Row] | None = None,
    former: Sequence[Sequence[Row]] = (),
) -> Decision:
    """Judge a candidate against the champion and against all that came before it.

    Args:
        candidate: its judged utterances, of the split that decides (dev), at its own best decoding.
        champion: those of the champion; None: there is none yet.
        start: those of the policy that the loop started from; None: the candidate is that policy.
        former: those of former champions. Tables of other texts, prompts or seeds are left out.
    Raises:
        InputError: the candidate has no rows, or too few of them in common with the champion's or the start's.
    """
    if not candidate:
        raise InputError("the candidate has no judged utterances; run `evaluate` first")
    checks = [duration(candidate, limits)]
    unconfirmed: list[Check] = []
    named = {"champion": champion, "start": None if start is champion else start}
    compared = {name: partners(rows, candidate) for name, rows in named.items() if rows is not None}
    found = {name: changes(old, new, limits.resamples, limits.seed) for name, (old, new) in compared.items()}
    for name, changed in found.items():
        won = significant_gains(changed)
        confirmations = [confirmed(name, change, changed) for change in won]
        checks += [check for check in confirmations if check.passed is not False or SUSPECTED in check.found]
        if name == "champion":
            checks.append(gained(changed, won))
            if all(check.passed is False for check in confirmations):
                unconfirmed = confirmations
        checks += not_worse(name, changed, limits)
        checks.append(not_flattened(name, *compared[name], limits))
    checks += decayed(candidate, former, [change for changed in found.values() for change in changed], limits)
    if any(check.passed is False for check in checks):
        return Decision("refused", tuple(checks))
    return Decision("not confirmed" if unconfirmed else "promoted", (*checks, *unconfirmed))


def duration(rows: Sequence[Row], limits: Limits) -> Check:
    """Synthesized speech over golden speech, as evaluation and report give it (sum over sum)."""
    rule, metric = LENGTH, METRICS["duration_ratio"]
    with_golden = [row for row in rows if metric.measured(row)]
    if not with_golden:
        return Check(rule, None, "left out: no golden speech of these texts")
    ratio, low, high = metric.value(with_golden), limits.min_duration_ratio, limits.max_duration_ratio
    return Check(rule, low <= ratio <= high, f"{ratio:.3f}, allowed [{low}, {high}]")


def significant_gains(changed: Sequence[Change]) -> list[Change]:
    """The measures with a significant gain, by Holm's correction over all of them."""
    measures = {change.name: change for change in changed if change.metric.name in GAINS}
    return [measures[name] for name in holm({n: c.p_gain for n, c in measures.items()}, ONE_SIDE)]


def gained(changed: Sequence[Change], won: Sequence[Change]) -> Check:
    """At least one significant gain over the champion."""
    shown = won or [change for change in changed if change.metric.name in GAINS]
    numbers = ", ".join(f"{change.name} {change} (p {change.p_gain:.4f})" for change in shown)
    return Check(f"{GAIN} over champion", bool(won), numbers if won else f"none: {numbers}")


def confirmed(name: str, change: Change, changed: Sequence[Change]) -> Check:
    """Does the held-out judge see the significant gain that the own judge sees?"""
    rule = f"{CONFIRMED}, against {name}: {change.name}"
    group = {other.metric.name: other for other in changed if other.which == change.which}
    before = {metric: other.before for metric, other in group.items()}
    checks = cross_checks({metric: other.difference for metric, other in group.items()}, before)
    check = next((check for check in checks if check.metric is change.metric), None)
    if check is None:
        return Check(rule, None, "left out: no held-out judge scored both")
    numbers = f"own judge {change}, held-out judge {group[check.held_out_metric.name]}"
    if check.outcome == "suspected":
        return Check(rule, False, f"{SUSPECTED}: {numbers}, which excludes {SHARE:.0%} of the gain")
    return Check(rule, check.outcome != "not confirmed", f"{check.outcome}: {numbers}")


def not_worse(name: str, changed: Sequence[Change], limits: Limits) -> list[Check]:
    """Per measure: no significant loss against ``name``, and none above the margin by more than its standard error."""
    measures = {change.name: change for change in changed if change.metric.name in LOSSES}
    lost = holm({n: c.p_loss for n, c in measures.items()}, ONE_SIDE)
    checks = []
    for measure, change in measures.items():
        rule, metric = f"{measure} not worse, against {name}", change.metric
        loss, margin = change.difference.scaled(-metric.better), limits.margin(change)
        allowed = f"{-metric.better * margin * metric.scale:+.{metric.difference_digits}f}"
        if measure in lost:
            checks.append(Check(rule, False, f"{change}: a significant loss"))
        elif loss.value - loss.standard_error > margin:
            checks.append(Check(rule, False, f"{change}: above the margin of {allowed} by more than a standard error"))
        else:
            checks.append(Check(rule, True, f"{change}, margin {allowed}"))
    return checks


def not_flattened(name: str, old: Sequence[Row], new: Sequence[Row], limits: Limits) -> Check:
    """Pitch not flattened against ``name``."""
    rule, most = f"pitch not flattened against {name}", limits.max_f0_flattening
    pairs = pitched(old, new)
    left = sum(after.get("f0_spread") is not None for _, after in pairs)
    if not has_pitch(old):
        return Check(rule, None, f"left out: only {len(pairs)} of {len(old)} utterances of {name} have a pitch")
    if 2 * left < len(pairs):
        return Check(rule, False, f"only {left} of {len(pairs)} utterances with a pitch still have one")
    ratio = f0_ratio(old, new, limits.resamples, limits.seed)
    if ratio is None:
        return Check(rule, None, "left out: the pitch did not move before")
    found = f"F0 spread {ratio:.3f} times that of {name}"
    if ratio.value + ratio.standard_error < 1 - most:
        return Check(rule, False, f"{found}; below {1 - most:g} by more than a standard error")
    if ratio.low < 1 - 3 * most:
        return Check(rule, False, f"{found}; too few data to exclude {1 - 3 * most:g}")
    return Check(rule, True, found)


def decayed(
    candidate: Sequence[Row], former: Sequence[Sequence[Row]], already: Sequence[Change], limits: Limits
) -> list[Check]:
    """No loss in any measure against the former champion that was best in it, where none compared already was."""
    best: dict[str, Change] = {}
    for change in already:
        best[change.name] = _better(change, best.get(change.name))
    found = dict(best)
    for rows in former:
        if comparable(candidate, rows):
            for change in changes(*partners(rows, candidate), limits.resamples, limits.seed):
                found[change.name] = _better(change, found.get(change.name))
    return not_worse("the best so far", [c for name, c in found.items() if c is not best.get(name)], limits)


def _better(change: Change, other: Change | None) -> Change:
    """Of two changes the one that starts from the better value."""
    sign = change.metric.better
    return change if other is None or sign * change.before > sign * other.before else other
