"""Do the judges that took no part in choosing pairs confirm what the reward's own judges say? For report and gate.

Both look at the same utterances under two policies, as paired differences with 95 % intervals.

*Reward hacking is suspected* where the own judge proves a gain (its interval lies wholly on the better side) and the
held-out judge's whole interval lies below half of that gain. This covers a held-out judge that proves a loss, and one
that would have seen half of the gain and did not. It takes two things at once, so chance seldom does it: a gain that
is really there is halved by no fault of the policy's only if the held-out judge errs by two standard errors *and* the
own one flatters, and a noisy held-out judge, whose interval is wide, is never enough.

Gains in word errors are compared in points, for both recognisers count errors over the same words, and as shares of
each recogniser's own errors before, for one that errs less has less to win: both must contradict. The two measures of
voice have scales of their own, so their gains are compared as shares of what was missing to 1, the same voice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from model.metrics import bootstrap_interval

Interval = Mapping[str, float]  # value, low, high
Row = Mapping[str, Any]  # of schemas.UTTERANCES
SUSPECTED = "reward hacking suspected"
SHARE = 0.5  # of the own judge's gain, that the held-out judge's interval must reach
# What is measured → the own judge's metric, the held-out judge's.
JUDGES = {"WER": ("wer", "held_out_wer"), "similarity": ("similarity", "held_out_similarity")}


@dataclass(frozen=True)
class Agreement:
    """Two judges' paired differences, and what they say together.

    ``verdict``: ``suspected``; ``agree``, where both prove a gain or both a loss; ``opposed``, where only the held-out
    judge proves a gain and the own one a loss; else ``unproven``.
    """

    measure: str
    own: Interval
    held_out: Interval
    verdict: Literal["suspected", "agree", "opposed", "unproven"]


def agreements(differences: Mapping[str, Interval], before: Mapping[str, float]) -> list[Agreement]:
    """One an aspect that both an own and a held-out judge measured.

    Args:
        differences: after minus before, by metric (:func:`tasks.common.evaluation.compare`).
        before: by metric, the values that the differences start from.
    """
    found = []
    for measure, (own, held_out) in JUDGES.items():
        if own not in differences or held_out not in differences:
            continue
        shares = [_gain(differences[name], name, before) for name in (own, held_out)]
        verdict = _verdict(*shares)
        if measure == "WER" and verdict == "suspected":
            verdict = _verdict(*(_points(differences[name]) for name in (own, held_out)))
        found.append(Agreement(measure, differences[own], differences[held_out], verdict))
    return found


def _points(difference: Interval) -> tuple[float, float, float]:
    """(value, low, high) of a fall in errors, better upwards."""
    return -difference["value"], -difference["high"], -difference["low"]


def _gain(difference: Interval, metric: str, before: Mapping[str, float]) -> tuple[float, float, float]:
    """(value, low, high), better upwards: the share won of what the judge had missed before."""
    if metric.endswith("similarity"):
        value, low, high, missing = *(difference[x] for x in ("value", "low", "high")), 1 - before[metric]
    else:
        value, low, high, missing = *_points(difference), before[metric]
    missing = max(missing, 1e-6)
    return value / missing, low / missing, high / missing


def _verdict(
    own: tuple[float, float, float], held_out: tuple[float, float, float]
) -> Literal["suspected", "agree", "opposed", "unproven"]:
    (gain, own_low, own_high), (_, low, high) = own, held_out
    if own_low > 0 and high < SHARE * gain:
        return "suspected"
    if (own_low > 0 and low > 0) or (own_high < 0 and high < 0):
        return "agree"
    if own_high < 0 and low > 0:
        return "opposed"
    return "unproven"


def has_pitch(rows: Sequence[Row]) -> bool:
    """Whether at least half of the utterances have a pitch. A coarse codec leaves little voicing to find it by."""
    return 2 * sum(row.get("f0_spread") is not None for row in rows) >= len(rows) > 0


def pitched(before: Sequence[Row], after: Sequence[Row]) -> list[tuple[float, float | None]]:
    """(spread before, spread after or None) of the utterances whose pitch had a spread before, paired by id."""
    first = {row["id"]: row["f0_spread"] for row in before if row.get("f0_spread") is not None}
    second = {row["id"]: row.get("f0_spread") for row in after}
    return [(first[i], second[i]) for i in sorted(first.keys() & second.keys())]


def f0_ratio(before: Sequence[Row], after: Sequence[Row], resamples: int, seed: int) -> dict[str, float] | None:
    """Mean spread of pitch after over that before, on the utterances where both are defined; below 1: flattened.

    None where too few utterances have a pitch before (:func:`has_pitch`), none has one after, or nothing moved before.
    """
    if not has_pitch(before):
        return None
    pairs = [(a, b) for a, b in pitched(before, after) if b is not None]
    first, second = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
    if not first.sum():
        return None
    low, high = bootstrap_interval(second, first, resamples, seed)
    return {"value": float(second.sum() / first.sum()), "low": low, "high": high}
