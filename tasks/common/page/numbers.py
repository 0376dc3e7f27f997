"""Numbers as text: units, signs and precision of each metric, and the direction of a paired difference."""

from __future__ import annotations

from model.statistics import Interval
from tasks.common.scores import Quantity

NO_BREAK = "\N{NO-BREAK SPACE}"


def number(value: float, digits: int, signed: bool = False) -> str:
    """Fixed-point text with a real minus sign; never a negative zero."""
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    if float(text) == 0:
        text = f"{0:.{digits}f}"
    return text.replace("-", "−")


def level(value: float, metric: Quantity, unit: bool = True) -> str:
    """A value of a metric: ``9.7 %``."""
    return number(value * metric.scale, metric.digits) + (unit_text(metric.unit) if unit else "")


def level_interval(interval: Interval, metric: Quantity) -> str:
    """The ends of a value's interval: ``8.1 to 11.2``."""
    return f"{level(interval.low, metric, unit=False)} to {level(interval.high, metric, unit=False)}"


def difference(value: float, metric: Quantity, unit: bool = True) -> str:
    """A difference with its sign: ``−1.23 points``."""
    text = number(value * metric.scale, metric.difference_digits, signed=True)
    return text + (unit_text(metric.difference_unit) if unit else "")


def difference_interval(interval: Interval, metric: Quantity) -> str:
    """The ends of a difference's interval: ``−2.10 to −0.40``."""
    return f"{difference(interval.low, metric, unit=False)} to {difference(interval.high, metric, unit=False)}"


def change(interval: Interval, metric: Quantity) -> str:
    """A difference with its interval: ``−1.23 points (−2.10 to −0.40)``."""
    return f"{difference(interval.value, metric)} ({difference_interval(interval, metric)})"


def tested_change(interval: Interval, metric: Quantity) -> str:
    """A difference with its interval in a sentence: ``−1.23 points (95 % interval −2.10 to −0.40)``."""
    includes = "" if interval.excludes_zero else ", which includes zero"
    within = difference_interval(interval, metric)
    return f"{difference(interval.value, metric)} (95{NO_BREAK}% interval {within}{includes})"


def direction(interval: Interval, metric: Quantity) -> str:
    """``better`` or ``worse`` (``higher`` or ``lower`` where neither is), or ``includes zero``: not significant."""
    if not interval.excludes_zero:
        return "includes zero"
    if metric.better == 0:
        return "higher" if interval.value > 0 else "lower"
    return "better" if interval.value * metric.better > 0 else "worse"


def count(n: int, one: str, many: str | None = None) -> str:
    """``1 pair``, ``1,200 pairs``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def unit_text(unit: str) -> str:
    """A unit as it follows its number."""
    return NO_BREAK + unit if unit else ""
