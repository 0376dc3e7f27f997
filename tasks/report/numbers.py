"""Numbers as text: units, signs and precision of each metric, and what a paired difference proves."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.report.load import Interval


@dataclass(frozen=True)
class Metric:
    """How one metric is written."""

    name: str
    title: str
    short: str
    scale: float  # from the stored number to the shown one
    digits: int
    unit: str  # after a level
    difference_unit: str  # after a difference
    better: int  # -1: lower is better, +1: higher, 0: neither (a duration ratio is best near 1)


WER = Metric("wer", "Word error rate", "WER", 100, 1, "\N{NO-BREAK SPACE}%", "\N{NO-BREAK SPACE}points", -1)
CER = Metric("cer", "Character error rate", "CER", 100, 1, "\N{NO-BREAK SPACE}%", "\N{NO-BREAK SPACE}points", -1)
SIMILARITY = Metric("similarity", "Speaker similarity", "SIM", 1, 3, "", "", +1)
DURATION = Metric("duration_ratio", "Duration ratio", "Duration", 1, 3, "", "", 0)
ALL = (WER, CER, SIMILARITY, DURATION)
# Of judges that took no part in choosing pairs.
HELD_OUT_WER = Metric(
    "held_out_wer", "Word error rate, held-out recogniser", "WER, held out", 100, 1, WER.unit, WER.difference_unit, -1
)
HELD_OUT_SIMILARITY = Metric(
    "held_out_similarity", "Speaker similarity, held-out measure", "SIM, held out", 1, 3, "", "", +1
)
F0_SPREAD = Metric("f0_spread", "Spread of pitch", "F0 spread", 1, 2, "\N{NO-BREAK SPACE}st", "\N{NO-BREAK SPACE}st", 0)
HELD_OUT = (HELD_OUT_WER, HELD_OUT_SIMILARITY, F0_SPREAD)


def number(value: float, digits: int, signed: bool = False) -> str:
    """Fixed-point text with a real minus sign; never a negative zero."""
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if float(text) == 0:
        text = f"{0:.{digits}f}"
    return text.replace("-", "−")


def level(value: float, metric: Metric, unit: bool = True) -> str:
    return number(value * metric.scale, metric.digits) + (metric.unit if unit else "")


def level_interval(interval: Interval, metric: Metric) -> str:
    return f"{level(interval.low, metric, unit=False)} to {level(interval.high, metric, unit=False)}"


def difference(value: float, metric: Metric, unit: bool = True) -> str:
    """One digit more for rates than their levels have, so that an interval's end near zero shows its sign."""
    text = number(value * metric.scale, _difference_digits(metric), signed=True)
    return text + (metric.difference_unit if unit else "")


def difference_interval(interval: Interval, metric: Metric) -> str:
    return f"{difference(interval.low, metric, unit=False)} to {difference(interval.high, metric, unit=False)}"


def _difference_digits(metric: Metric) -> int:
    return metric.digits + (metric.scale == 100)


def verdict(interval: Interval, metric: Metric) -> str:
    """``better``, ``worse``, ``longer``, ``shorter`` or ``unproven`` (the interval includes zero)."""
    if not interval.excludes_zero:
        return "unproven"
    if metric.better == 0:
        return "longer" if interval.value > 0 else "shorter"  # only durations are compared so
    return "better" if interval.value * metric.better > 0 else "worse"


def count(n: int, one: str, many: str | None = None) -> str:
    """``1 pair``, ``1,200 pairs``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
