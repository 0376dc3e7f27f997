"""What two systems' rows say about each measure: better, not worse, worse, or open. No torch.

Differences are paired by text, and each text counts once, however many draws a system has of it. Speakers, texts and
draws are resampled as everywhere in this project (:mod:`model.statistics`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from model.errors import InputError
from model.statistics import FEW, ONE_SIDE, Interval, holm
from tasks.common.changes import FAILED, Change, changes
from tasks.common.metrics import METRICS, RATE, Metric
from tasks.common.reward_hacking import Outcome, cross_checks, has_pitch, pitched
from tasks.gate.margins import Margins

Row = Mapping[str, Any]
State = Literal["better", "not worse", "worse", "open"]
UNJUDGED = Metric(
    name="unjudged",
    numerator="unjudged",
    title="Recordings that the recognizer failed on",
    short="Unjudged recordings",
    **RATE,
)
CLAIMS = ("wer", "similarity", "mos", "failed")  # measures in which a system can be better
GUARDS = (*CLAIMS, "held_out_wer", "held_out_similarity", "f0_spread", "words_per_second", "unjudged")
ALONE = ("failed",)  # a loss that Holm's correction does not share with others: no other measure excuses a lost file
SHOWN = ("folded_wer", "cer", "deletions", "insertions", "silence", "seconds")  # beside them, without a verdict
LEAST_TEXTS = 8  # with fewer, no swap of texts between equal systems is as rare as Holm's correction asks (2^-n)
MOST_DRAWS = 240  # least common multiple of the draws of two systems
TITLES = {  # where the table's words are of the loop
    "held_out_wer": ("Word error rate, second recognizer", "Second WER"),
    "held_out_similarity": ("Speaker similarity, second measure", "Second SIM"),
    "failed": ("Recordings that are missing, broken, silent, clipped, too short or too long", "Failed recordings"),
}
SECONDS = Metric(
    name="seconds", numerator="seconds", title="Duration", short="Duration", unit="s", difference_unit="s", digits=2,
    better=0, summary=False,
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One measure of two systems.

    ``agreement``: of a significant gain, what the second judge says (:mod:`tasks.common.reward_hacking`); None where
    there is none. ``margin`` is in the metric's unit; None of measures without a verdict. ``corrected``: the interval
    excludes zero, but the difference is not significant after Holm's correction and the permutation test.
    """

    change: Change
    state: State
    margin: float | None = None
    agreement: Outcome | None = None
    pairs: int = 0
    corrected: bool = False

    @property
    def few(self) -> bool:
        """Whether so few texts have a value that nothing follows from it, and no interval is shown."""
        return self.change.texts < LEAST_TEXTS

    @property
    def name(self) -> str:
        """Name of the metric."""
        return self.change.metric.name

    @property
    def loss(self) -> Interval:
        """The difference, worse upwards; of speed its size in either direction."""
        return loss_of(self.change)


def metric_of(name: str) -> Metric:
    """The table's metric, with words that fit two systems of anybody's."""
    metric = {"failed": FAILED, "unjudged": UNJUDGED, "seconds": SECONDS}.get(name) or METRICS[name]
    title, short = TITLES.get(name, (metric.title, metric.short))
    return replace(metric, title=title, short=short)


def aligned(*systems: Sequence[Row]) -> list[list[Row]]:
    """Rows of all systems text by text, repeated until all have as many draws of each.

    Raises:
        InputError: draws that have no sensible common multiple.
    """
    grouped = [_by_text(rows) for rows in systems]
    draws = [len(next(iter(of_text.values()))) for of_text in grouped]
    common = math.lcm(*draws)
    if common > MOST_DRAWS:
        raise InputError(f"the systems have {' and '.join(map(str, draws))} draws per text; leave out some of them")
    return [
        [{**of_text[text][i % own], "seed": i} for text in grouped[0] for i in range(common)]
        for of_text, own in zip(grouped, draws, strict=True)
    ]


def shared(systems: Sequence[Sequence[Row]], metric: Metric) -> list[list[Row]]:
    """Of aligned rows those of which every system has a value: all are compared on the same recordings."""
    kept = [own for own in zip(*systems, strict=True) if all(map(metric.measured, own))]
    return [[own[place] for own in kept] for place in range(len(systems))]


def findings(
    before: Sequence[Row], after: Sequence[Row], margins: Margins, resamples: int = 4000, seed: int = 0
) -> list[Finding]:
    """Return a finding per measure that both systems have; those without a verdict come last.

    Args:
        before, after: rows of :func:`tasks.gate.measure.measure`, of the same texts.
    """
    old, new = aligned(before, after)
    measures = [metric_of(name) for name in (*GUARDS, *SHOWN)]
    found = {change.metric.name: change for change in _changes(old, new, resamples, seed, measures)}
    repeats = len(old) / max(len(before), len(after))
    if has_pitch(old):
        found |= _voiceless(old, new)
    else:
        found.pop("f0_spread", None)
    tested = {name: change for name, change in found.items() if change.texts >= LEAST_TEXTS}
    won = holm({name: tested[name].p_gain for name in CLAIMS if name in tested}, ONE_SIDE)
    lost = holm({name: _p_loss(tested[name]) for name in GUARDS if name in tested and name not in ALONE}, ONE_SIDE)
    lost += [name for name in ALONE if name in tested and _p_loss(tested[name]) <= ONE_SIDE]
    won = [name for name in won if loss_of(tested[name]).high < 0]
    lost = [name for name in lost if loss_of(tested[name]).low > 0]
    checks = {
        check.metric.name: check.outcome
        for check in cross_checks(
            {name: change.difference for name, change in found.items()},
            {name: change.before for name, change in found.items()},
        )
    }
    result = []
    for name, change in found.items():
        metric = change.metric
        pairs = round(
            sum(name == "failed" or (metric.measured(a) and metric.measured(b)) for a, b in zip(old, new, strict=True))
            / repeats
        )
        if name in SHOWN:
            result.append(Finding(change, "open", pairs=pairs))
            continue
        margin, loss = margins.of(change), loss_of(change)
        within = name in tested and loss.high <= margin + 1e-12 and not _no_width(change)
        state: State = "better" if name in won else "not worse" if within else "worse" if name in lost else "open"
        agreement = checks.get(name) if name in won else None
        gained = name in CLAIMS and state != "better" and loss.high < 0
        corrected = name in tested and (gained or (state == "open" and loss.low > 0))
        result.append(Finding(change, state, margin, agreement, pairs, corrected))
    return result


def _changes(
    before: Sequence[Row], after: Sequence[Row], resamples: int, seed: int, measures: Sequence[Metric]
) -> list[Change]:
    """Changes of the measures that enough recordings have for each resample to hold one."""
    kept = {
        m.name: sum(m.name == "failed" or (m.measured(a) and m.measured(b)) for a, b in zip(before, after, strict=True))
        for m in measures
    }
    while True:
        try:
            return changes(before, after, resamples, seed, measures=[m for m in measures if m.name in kept])
        except InputError:  # a resample held none of the few recordings that have some measure
            least = min((name for name in kept if kept[name]), key=kept.__getitem__)
            kept = {name: number for name, number in kept.items() if number and name != least}
            if not kept:
                raise


def _no_width(change: Change) -> bool:
    """Whether few texts have the same errors under both systems, so that the interval has no width and says nothing.

    Equal similarities or pitches are another matter: the recordings are the same.
    """
    rate = change.metric.name in ("wer", "held_out_wer")
    return rate and change.texts < FEW and change.difference.low == change.difference.high


def _voiceless(before: Sequence[Row], after: Sequence[Row]) -> dict[str, Change]:
    """The spread of pitch as wholly lost, where less than half of the recordings with a pitch still have one.

    A recording without any sound has no pitch to lose: it is a failure, and counted as one.
    """
    pairs = [(old, new) for old, new in pitched(before, after) if new["seconds"] > 0]
    if 2 * sum(new["f0_spread"] is not None for _, new in pairs) >= len(pairs):
        return {}
    spread = sum(old["f0_spread"] for old, _ in pairs) / len(pairs)
    gone = Interval(-spread, -spread, -spread)
    texts, all_gone = len({new["id"] for _, new in pairs}), Interval(-1.0, -1.0, -1.0)
    return {"f0_spread": Change(metric_of("f0_spread"), None, spread, gone, 1.0, 0.0, all_gone, texts)}


def loss_of(change: Change) -> Interval:
    """The difference, worse upwards. Of a metric where neither is better a fall is the loss, of speed either."""
    difference = change.difference
    if change.metric.name == "words_per_second":
        size = max(abs(difference.low), abs(difference.high))
        least = 0.0 if difference.low <= 0 <= difference.high else min(abs(difference.low), abs(difference.high))
        return Interval(abs(difference.value), least, size)
    return difference.scaled(-(change.metric.better or 1))


def _p_loss(change: Change) -> float:
    if change.metric.name == "words_per_second":
        return min(1.0, 2 * min(change.p_gain, change.p_loss))
    return change.p_loss


def _by_text(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["id"], []).append(row)
    return found
