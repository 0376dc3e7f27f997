"""The gate: may a new policy become the champion? It decides from tables of judged test utterances alone.

"Not worse" is a non-inferiority test on the paired 95 % interval of candidate minus champion (same utterances,
voice prompts and seeds). Two conditions, both needed:

* the interval reaches zero: no significant loss;
* the interval ends before the margin: no large loss is compatible with the data. Without this, a small test set would
  let any policy through, since its wide interval always reaches zero. Many small losses would also add up.

For WER worse is upwards (margin ``max_wer_increase``), for similarity downwards (``max_similarity_decrease``).
The duration ratio must lie within its bounds, since preference optimization slows speech in favor of the recognizer.
The share of failed samples (empty, or cut off at the length limit) may grow by ``max_failed_increase`` at most.

While there is no champion (the loop's SFT policy, judged first, was refused), these rules compare a candidate with
SFT. Otherwise the first iteration within the duration bounds would become champion, however much it had lost.

Two more rules compare with the champion and with the loop's SFT policy, so that what is lost in small steps shows too:

* the held-out judges, which chose no pair, must not contradict a significant gain by the reward's own judges
  (:mod:`tasks.common.reward_hacking` says when they do). A gain that is not significant is no reason to refuse. This
  rule stops gains that are not real; the rules above stop losses;
* pitch may not be flattened. The ratio of its spreads, after over before, must be ``1 - max_f0_flattening`` or more.
  Its 95 % interval must exclude twice the flattening, so a small test set can't open the gate. Two samples of one text
  differ more in pitch than in errors, so the interval has more room here. At least half of the utterances that had a
  pitch must still have one.

A rule without numbers (no such judge, or no pitch in most utterances) is left out, and the decision says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from model.errors import InputError
from model.statistics import Interval
from tasks.common.params import Params
from tasks.common.reward_hacking import SHARE, SUSPECTED, cross_checks, f0_ratio, has_pitch, pitched
from tasks.common.scores import METRICS, Metric, Scores, compare, confirmable, summarize, unspoken

Row = Mapping[str, Any]  # of schemas.UTTERANCES
KEY = ("id", "prompt_id", "seed", "text")


@dataclass(frozen=True)
class Check:
    """One rule, with the numbers it looked at. ``passed`` is None where there was nothing to look at."""

    rule: str
    passed: bool | None
    found: str


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
    return 2 * len(_by_key(candidate).keys() & _by_key(champion).keys()) >= len(candidate) > 0


def decide(
    candidate: Sequence[Row], champion: Sequence[Row] | None, params: Params, sft: Sequence[Row] | None = None
) -> Decision:
    """Judge a candidate against the champion (None: there is none yet, so the SFT policy stands in for it).

    Args:
        params: the limits are its block ``register``.
        sft: the loop's SFT policy on the same test; None if the candidate is that policy, which without a champion
            has only the duration rule to pass.
    Raises:
        InputError: the candidate has no rows, or too few of them in common with the champion's.
    """
    if not candidate:
        raise InputError("the candidate has no judged utterances; run `evaluate` first")
    checks = [duration(candidate, params)]
    if champion is not None:
        if not comparable(candidate, champion):
            raise InputError("candidate and champion were not judged on the same test utterances, prompts and seeds")
        checks += _against("champion", champion, candidate, params, losses=True)
    if sft is not None and sft is not champion and comparable(candidate, sft):
        # With a champion its margins decide; without one only SFT can show that the candidate lost something.
        checks += _against("SFT", sft, candidate, params, losses=champion is None)
    return Decision(all(check.passed is not False for check in checks), tuple(checks))


def _against(name: str, before: Sequence[Row], candidate: Sequence[Row], params: Params, losses: bool) -> list[Check]:
    """The rules that compare two policies. ``losses``: also those on WER, similarity and failed samples."""
    first, second = _by_key(before), _by_key(candidate)
    old = [row for key, row in first.items() if key in second]
    new = [row for key, row in second.items() if key in first]
    differences = compare(old, new, params.evaluate.bootstrap_samples, params.seed)
    checks = []
    if losses:
        limits = params.register_
        checks = [
            not_worse(name, METRICS["wer"], differences["wer"], limits.max_wer_increase),
            not_worse(name, METRICS["similarity"], differences["similarity"], limits.max_similarity_decrease),
            failures(name, old, new, limits.max_failed_increase),
        ]
    return [*checks, *confirmed(name, old, differences), not_flattened(name, old, new, params)]


def _by_key(rows: Sequence[Row]) -> dict[tuple[Any, ...], Row]:
    return {tuple(row[name] for name in KEY): row for row in rows}


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


def duration(rows: Sequence[Row], params: Params) -> Check:
    """Synthesized speech over golden speech, as evaluation and report give it (sum over sum)."""
    ratio = METRICS["duration_ratio"].value(rows)
    low, high = params.register_.min_duration_ratio, params.register_.max_duration_ratio
    return Check("duration ratio within bounds", low <= ratio <= high, f"{ratio:.3f}, allowed [{low}, {high}]")


def failures(name: str, old: Sequence[Row], new: Sequence[Row], max_increase: float) -> Check:
    """Samples cut off at the length limit or too short to be speech, against those of ``name``."""
    before, now = (sum(not row["finished"] or unspoken(row) for row in rows) for rows in (old, new))
    allowed = before + max_increase * len(new)
    found = f"{now} of {len(new)} ({name} {before}, allowed {allowed:g})"
    return Check(f"no more failed samples, against {name}", now <= allowed, found)


def confirmed(name: str, old: Sequence[Row], differences: Scores) -> list[Check]:
    """One check per metric: the held-out judges against the own ones, both on candidate minus ``name``."""
    before = {metric: score.value for metric, score in summarize(old, resamples=1, seed=0).items()}
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


def not_flattened(name: str, old: Sequence[Row], new: Sequence[Row], params: Params) -> Check:
    """Pitch not flattened against ``name``."""
    rule, most = f"pitch not flattened against {name}", params.register_.max_f0_flattening
    pairs = pitched(old, new)
    left = sum(after is not None for _, after in pairs)
    if not has_pitch(old):
        return Check(rule, None, f"left out: only {len(pairs)} of {len(old)} utterances of {name} have a pitch")
    if 2 * left < len(pairs):
        return Check(rule, False, f"only {left} of {len(pairs)} utterances with a pitch still have one")
    ratio = f0_ratio(old, new, params.evaluate.bootstrap_samples, params.seed)
    if ratio is None:
        return Check(rule, None, "left out: the pitch did not move before")
    found = f"spread of pitch {ratio:.3f} times that of {name}"
    limits = f"at least {1 - most:g}, the interval above {1 - 2 * most:g}"
    return Check(rule, ratio.value >= 1 - most and ratio.low >= 1 - 2 * most, f"{found}; {limits}")
