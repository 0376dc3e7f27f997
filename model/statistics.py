"""Bootstrap intervals of judged speech: of one system, and of the paired difference between two.

Speakers are resampled, then texts, then the draws of each text. Each of the lower levels is resampled only where the
level above it has fewer than ``FEW`` units. The sums over many units already vary with everything below them, so
resampling that too would count its variance twice (Davison and Hinkley 1997, section 3.8). Few units make the
intervals too narrow, and the level below makes up for it. ``python -m benchmarks.verdict`` measures both.

Percentile intervals (Efron and Tibshirani 1993, chapter 13). They refuse NaN: decide first what a missing value
counts as (:func:`model.metrics.count_missing`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from model import small_samples
from model.errors import InputError

LEVEL = 0.95
ONE_SIDE = (1 - LEVEL) / 2  # of a 95 % interval: equal systems that seem to win, or to lose, by chance
FEW = 20  # units of a level; with fewer, the level below is resampled within them
COUNTS_AT_ONCE = 4_000_000  # how often a unit was drawn, times resamples: 32 MB

Column = Sequence[float] | np.ndarray
Labels = Sequence[Hashable] | np.ndarray


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference with this interval is significant."""
        return self.low > 0 or self.high < 0

    @property
    def standard_error(self) -> float:
        """Half of the interval's width over that of a standard normal one."""
        return (self.high - self.low) / (2 * 1.96)

    def scaled(self, factor: float) -> Interval:
        """Return the interval in another unit; a negative factor swaps the ends."""
        low, high = sorted((factor * self.low, factor * self.high))
        return Interval(factor * self.value, low, high)

    def to_json(self) -> dict[str, float]:
        """Return ``{"value", "low", "high"}``, as metrics.json holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Interval:
        """Read what :meth:`to_json` gives; other keys are ignored."""
        return cls(*(float(content[key]) for key in ("value", "low", "high")))

    def __format__(self, spec: str) -> str:
        """``value [low, high]``, each number in the format ``spec``."""
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def bootstrap_interval(
    numerators: Column,
    denominators: Column | None = None,
    resamples: int = 2000,
    seed: int = 0,
    *,
    speakers: Labels | None = None,
    texts: Labels | None = None,
) -> Interval:
    """Ratio of sums over rows (an error rate), or mean, with its interval.

    Args:
        numerators: one number per row: errors for a rate, values for a mean.
        denominators: reference lengths, for a ratio of sums; None for a mean.
        speakers: each row's speaker; None: speakers are not resampled.
        texts: each row's text; the rows of one text by one speaker are its draws. None: every row is its own.
    """
    [drawn] = resampled([(numerators, denominators)], resamples, seed, speakers=speakers, texts=texts)
    return interval_of(ratio_or_mean(numerators, denominators), drawn)


def paired_interval(
    a: Column,
    b: Column,
    a_denominators: Column | None = None,
    b_denominators: Column | None = None,
    resamples: int = 2000,
    seed: int = 0,
    *,
    speakers: Labels | None = None,
    texts: Labels | None = None,
) -> Interval:
    """``b - a`` with its interval, both measured on the same rows in the same order.

    Each resample draws speakers and texts once and takes both systems' rows of them, so what makes a text hard for
    both cancels. With denominators a difference of ratios of sums (error rates), without them of means. For another
    statistic of the pair (say, a difference of duration ratios) pass means of per-row values. ``speakers`` and
    ``texts`` as in :func:`bootstrap_interval`.
    """
    if len(a) != len(b):
        raise ValueError(f"paired rows differ in number: {len(a)} and {len(b)}; pair the utterances by id first")
    systems = [(a, a_denominators), (b, b_denominators)]
    first, second = resampled(systems, resamples, seed, speakers=speakers, texts=texts)
    difference = ratio_or_mean(b, b_denominators) - ratio_or_mean(a, a_denominators)
    return interval_of(difference, second - first)


def ratio_or_mean(numerators: Column, denominators: Column | None = None) -> float:
    """Ratio of sums; without denominators the mean."""
    numerators = np.asarray(numerators)
    return float(numerators.mean() if denominators is None else numerators.sum() / np.asarray(denominators).sum())


def interval_of(value: float, drawn: np.ndarray, units: int | None = None) -> Interval:
    """``value`` with the 95 % percentile interval of its resamples ``(resamples,)``.

    Args:
        units: how many texts they are of; with less than ``FEW`` the interval is expanded
            (:mod:`model.small_samples`). None: not expanded.
    """
    tail = ONE_SIDE
    if units is not None and 2 <= units < FEW:
        tail = small_samples.tail(units)
    low, high = np.percentile(drawn, [100 * tail, 100 - 100 * tail])
    return Interval(value, float(low), float(high))


def p_above_zero(drawn: np.ndarray) -> float:
    """One-sided p of "not above zero": the share of resampled differences at or below it.

    Never 0: with the observed sample as one more resample (Davison and Hinkley 1997, equation 4.11).
    """
    return float((1 + (drawn <= 0).sum()) / (1 + len(drawn)))


def holm(p_values: Mapping[str, float], level: float) -> list[str]:
    """Names of the hypotheses rejected at this family-wise level (Holm 1979), the least p first."""
    rejected: list[str] = []
    for name in sorted(p_values, key=p_values.__getitem__):
        if p_values[name] > level / (len(p_values) - len(rejected)):
            break
        rejected.append(name)
    return rejected


def resampled(
    systems: Sequence[tuple[Column, Column | None]],
    resamples: int,
    seed: int,
    *,
    speakers: Labels | None = None,
    texts: Labels | None = None,
    few: int = FEW,
) -> list[np.ndarray]:
    """``(resamples,)`` ratios of sums or means per system; all systems share each resample's units.

    Args:
        systems: numerators and denominators (None: a mean) of each, over the same rows.
        speakers, texts: as in :func:`bootstrap_interval`.
        few: with fewer units of a level than this, the level below is resampled within them.
    Raises:
        ValueError: systems of different lengths, values that are not finite.
        InputError: a resample whose denominators sum to zero.
    """
    columns: list[np.ndarray] = []
    for numerators, denominators in systems:
        num = np.asarray(numerators, dtype=np.float64)
        den = np.ones_like(num) if denominators is None else np.asarray(denominators, dtype=np.float64)
        if num.ndim != 1 or num.size == 0 or num.shape != den.shape:
            raise ValueError(f"expected one number per utterance, at least one; found {num.shape} over {den.shape}")
        if not (np.isfinite(num).all() and np.isfinite(den).all()):
            raise ValueError("a value is not finite; decide what it counts as (count_missing) instead of skipping it")
        columns += [num, den]
    if len({column.size for column in columns}) > 1:
        raise ValueError(f"systems of {sorted({c.size for c in columns})} rows; pair them by id first")
    of_text, per_speaker = _levels(columns[0].size, speakers, texts)
    unit, within = of_text, [per_speaker]  # what is summed first, and how many units each of the level above has
    if len(per_speaker) >= few:
        unit, within = np.repeat(np.arange(len(per_speaker)), per_speaker)[of_text], []
    elif sum(per_speaker) < few:
        per_text = np.bincount(of_text)
        unit, within = np.argsort(np.argsort(of_text, kind="stable")), [per_speaker, per_text.tolist()]
    totals = np.stack([np.bincount(unit, column) for column in columns], axis=1)  # (units, columns)
    rng = np.random.default_rng(seed)
    sums = np.empty((resamples, len(columns)))
    step = max(1, COUNTS_AT_ONCE // len(totals))
    for start in range(0, resamples, step):  # blocks of resamples, to bound memory
        stop = min(resamples, start + step)
        sums[start:stop] = _counts(len(per_speaker), within, stop - start, rng) @ totals
    if (sums[:, 1::2] == 0).any():
        raise InputError("a resample has no reference words: too few utterances with text for an interval")
    return [sums[:, i] / sums[:, i + 1] for i in range(0, len(columns), 2)]


def _levels(rows: int, speakers: Labels | None, texts: Labels | None) -> tuple[np.ndarray, list[int]]:
    """Each row's text ``(rows,)``, numbered speaker by speaker, and the number of texts per speaker."""
    speakers = [None] * rows if speakers is None else speakers
    texts = range(rows) if texts is None else texts
    if not len(speakers) == len(texts) == rows:
        raise ValueError(f"{rows} rows, but {len(speakers)} speakers and {len(texts)} texts; give one of each per row")
    found: dict[Hashable, dict[Hashable, int]] = {}
    within = [
        found.setdefault(speaker, {}).setdefault(text, len(found[speaker]))
        for speaker, text in zip(speakers, texts, strict=True)
    ]
    per_speaker = [len(of_speaker) for of_speaker in found.values()]
    first = dict(zip(found, np.cumsum([0, *per_speaker[:-1]]), strict=True))
    return np.array([first[speaker] + i for speaker, i in zip(speakers, within, strict=True)]), per_speaker


def _counts(speakers: int, within: Sequence[list[int]], resamples: int, rng: np.random.Generator) -> np.ndarray:
    """``(resamples, units)``: how often each unit of the lowest level was drawn.

    A unit with n units below it that was drawn m times gives m n draws of them, each equally likely.

    Args:
        within: level by level, the number of units in each of the level above.
    """
    counts = rng.multinomial(speakers, np.full(speakers, 1 / speakers), resamples)
    for sizes in within:
        drawn = [rng.multinomial(m * n, np.full(n, 1 / n)) for m, n in zip(counts.T, sizes, strict=True)]
        counts = np.concatenate(drawn, axis=1)
    return counts.astype(np.float64)
