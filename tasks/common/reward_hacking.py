"""Do the judges that took no part in choosing pairs confirm the reward's own judges? For report and gate.

Both judge the same utterances under two policies, as paired differences with 95 % intervals. Where the own judge's
gain is significant, there are three answers:

* *confirmed*: the held-out judge sees at least half of the gain;
* *not confirmed*: it sees less, but half of the gain is compatible with its interval, so more data may tell;
* *reward hacking suspected*: the held-out judge's whole interval lies below half of the gain, which includes a
  significant loss. Chance alone seldom does it. A noisy held-out judge, whose interval is wide, is never enough.

Gains in word errors are compared twice, and the answer is the better of the two. One comparison is in points, since
both recognizers count errors over the same words. The other is in shares of each recognizer's own errors before, since
one that errs less has less to gain. The two speaker measures have scales of their own. Their gains are compared as
shares of the distance to 1, the same voice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from model.statistics import Interval, bootstrap_interval
from tasks.common.scores import Metric, Scores, confirmable, levels, paired

Row = Mapping[str, Any]  # of schemas.UTTERANCES
Outcome = Literal["suspected", "not confirmed", "confirmed", "opposed", "inconclusive"]
SUSPECTED = "reward hacking suspected"
SHARE = 0.5  # of the own judge's gain, that the held-out judge must see


@dataclass(frozen=True)
class CrossCheck:
    """Two judges' paired differences of one metric, and what they show together.

    ``outcome`` of a significant gain by the own judge: ``confirmed``, ``not confirmed`` or ``suspected`` (see above).
    Otherwise ``confirmed``, where both losses are significant; ``opposed``, where the held-out judge's gain and the
    own judge's loss are; else ``inconclusive``.
    """

    metric: Metric
    held_out_metric: Metric
    own: Interval
    held_out: Interval
    outcome: Outcome


def cross_checks(differences: Scores, before: Mapping[str, float]) -> list[CrossCheck]:
    """One per metric that both an own and a held-out judge measured.

    Args:
        differences: after minus before, by metric (:func:`tasks.common.scores.compare`).
        before: by metric, the values that the differences start from.
    """
    found = []
    for metric, other in confirmable():
        if metric.name not in differences or other.name not in differences:
            continue
        own, held_out = differences[metric.name], differences[other.name]
        outcomes = [_outcome(_share(own, metric, before), _share(held_out, other, before))]
        if metric.better < 0:
            outcomes.append(_outcome(own.scaled(-1), held_out.scaled(-1)))
        outcome = min(outcomes, key=("confirmed", "opposed", "inconclusive", "not confirmed", "suspected").index)
        found.append(CrossCheck(metric, other, own, held_out, outcome))
    return found


def _share(difference: Interval, metric: Metric, before: Mapping[str, float]) -> Interval:
    """Gain, better upwards, as a share of what there was to gain: the errors, or the distance to 1."""
    to_gain = before[metric.name] if metric.better < 0 else 1 - before[metric.name]
    to_gain, gain = max(to_gain, 1e-6), difference.scaled(metric.better)
    return Interval(gain.value / to_gain, gain.low / to_gain, gain.high / to_gain)


def _outcome(own: Interval, held_out: Interval) -> Outcome:
    """Compare two gains, better upwards."""
    if own.low > 0:
        if held_out.high < SHARE * own.value:
            return "suspected"
        return "confirmed" if held_out.value >= SHARE * own.value else "not confirmed"
    if own.high < 0 and held_out.high < 0:
        return "confirmed"
    if own.high < 0 and held_out.low > 0:
        return "opposed"
    return "inconclusive"


def has_pitch(rows: Sequence[Row]) -> bool:
    """Whether at least half of the utterances have a pitch. A coarse codec leaves little voicing to find it by."""
    return 2 * sum(row.get("f0_spread") is not None for row in rows) >= len(rows) > 0


def pitched(before: Sequence[Row], after: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Pairs of rows of the same sample (text, prompt, seed) whose pitch had a spread before."""
    return [(old, new) for old, new in paired(before, after) if old.get("f0_spread") is not None]


def f0_ratio(before: Sequence[Row], after: Sequence[Row], resamples: int, seed: int) -> Interval | None:
    """Mean spread of pitch after over that before, on the samples where both are defined; below 1: flattened.

    None where too few utterances have a pitch before (:func:`has_pitch`), none has one after, or every spread before
    is zero.
    """
    if not has_pitch(before):
        return None
    pairs = [(old, new) for old, new in pitched(before, after) if new.get("f0_spread") is not None]
    first, second = (np.array([pair[i]["f0_spread"] for pair in pairs]) for i in (0, 1))
    if not first.sum():
        return None
    speakers, texts = levels([new for _, new in pairs])
    return bootstrap_interval(second, first, resamples, seed, speakers=speakers, texts=texts)
