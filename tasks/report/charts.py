"""Charts as SVG text, styled by the page's CSS so that they follow dark mode and print.

Drawn by hand rather than by a plotting library: the bytes depend on nothing but the numbers, a chart is a few
kilobytes, and its text stays text (for screen readers and search, in the page's font).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from model.statistics import Interval

WIDTH, HEIGHT = 300, 200
LEFT, TOP, BOTTOM = 44, 10, 34


@dataclass(frozen=True)
class Line:
    """One line, or one mark per point where ``intervals`` are given."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: str  # the CSS class that gives its color
    intervals: Sequence[Interval] = ()
    notes: Sequence[str] = ()  # the intervals in words: shown when a mark is hovered


@dataclass(frozen=True)
class Level:
    """A horizontal line, such as the ceiling."""

    label: str
    y: float
    style: str


@dataclass(frozen=True)
class Chart:
    title: str
    lines: Sequence[Line]
    levels: Sequence[Level] = ()
    x_title: str = ""
    x_names: Sequence[str] = ()  # names of x = 0, 1, ...; numbers otherwise
    unit: str = ""

    def svg(self) -> Markup:
        """The chart, or nothing if no line has a point."""
        xs = [x for line in self.lines for x in line.x]
        if not xs:
            return Markup("")
        ys = [y for line in self.lines for y in line.y] + [level.y for level in self.levels]
        ys += [end for line in self.lines for interval in line.intervals for end in (interval.low, interval.high)]
        right = WIDTH - (56 if self.levels else 10)
        columns: list[tuple[float, str]] = list(enumerate(self.x_names))
        columns = columns or [(x, tick_text(x)) for x in ticks(min(xs), max(xs), 4)]
        first, last = (-0.3, len(self.x_names) - 0.7) if self.x_names else (min(xs), max(xs))
        rows = ticks(min(ys), max(ys))
        across, up = _scale(first, last, LEFT, right), _scale(rows[0], rows[-1], HEIGHT - BOTTOM, TOP)
        grid = [_rule(LEFT, up(y), right, up(y)) for y in rows]
        grid += [_text(LEFT - 6, up(y) + 3.5, tick_text(y) + self.unit, "end") for y in rows]
        grid += [_text(across(x), HEIGHT - BOTTOM + 15, name) for x, name in columns if first <= x <= last]
        grid += [_text((LEFT + right) / 2, HEIGHT - 4, self.x_title)]
        parts = [_group("grid", grid)]
        below = -math.inf
        for level in sorted(self.levels, key=lambda level: -level.y):
            below = max(up(level.y) + 3.5, below + 12)  # names are moved apart where they would overlap
            name = _text(right + 4, below, level.label, "start")
            parts.append(_group(f"level {level.style}", [_rule(LEFT, up(level.y), right, up(level.y)), name]))
        for line in self.lines:
            points = [(across(x), up(y)) for x, y in zip(line.x, line.y, strict=True)]
            drawn = [f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>']
            for (x, y), interval, note in zip(points, line.intervals, line.notes, strict=False):
                drawn.append(_rule(x, up(interval.low), x, up(interval.high)))
                drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{escape(note)}</title></circle>')
            parts.append(_group(f"line {line.style}", drawn))
        label = escape(f"{self.title}. {self._in_words()}")
        return Markup(
            f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
        )

    def _in_words(self) -> str:
        """The chart in words, for screen readers."""
        said = [
            f"{line.label}: "
            + ("; ".join(line.notes) or f"from {line.y[0]:.4g}{self.unit} to {line.y[-1]:.4g}{self.unit}")
            for line in self.lines
        ]
        return ". ".join(said + [f"{level.label}: {level.y:.4g}{self.unit}" for level in self.levels])


def histogram(title: str, series: Sequence[tuple[str, Sequence[float], str]], x_title: str, bins: int = 20) -> Markup:
    """Outlined steps of shares over common bins; ``series`` holds (label, values, CSS class)."""
    finite = [(label, np.array(values)[np.isfinite(values)], style) for label, values, style in series]
    finite = [(label, values, style) for label, values, style in finite if len(values)]
    if not finite:
        return Markup("")
    everything = np.concatenate([values for _, values, _ in finite])
    edges = ticks(everything.min(), everything.max(), bins)
    lines = []
    for label, values, style in finite:
        shares = 100 * np.histogram(values, edges)[0] / len(values)
        lines.append(Line(label, np.repeat(edges, 2)[1:-1].tolist(), np.repeat(shares, 2).tolist(), style))
    return Chart(title, lines, x_title=x_title, unit=" %").svg()


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low or 1) * (end - start)


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, content: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


def _group(style: str, parts: Sequence[str]) -> str:
    return f'<g class="{style}">{"".join(parts)}</g>'


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers that cover ``low`` to ``high``, about so many steps."""
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-9):
        low, high = low - (abs(low) * 0.1 or 1), high + (abs(high) * 0.1 or 1)
    raw = (high - low) / about
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def tick_text(value: float) -> str:
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"
    return text.replace("-", "−").replace("e−0", "e−")
