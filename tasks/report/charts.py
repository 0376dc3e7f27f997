"""Charts as SVG text, styled by the page's CSS so that they follow dark mode and print.

Drawn by hand rather than by a plotting library: the bytes depend on nothing but the numbers, a chart is a few
kilobytes, and its text stays text (for screen readers and search, in the page's font).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

WIDTH, HEIGHT = 300, 200
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 10, 34
MOST_POINTS = 240  # of one line; longer curves are averaged into as many bins


@dataclass(frozen=True)
class Line:
    """One line; ``style`` is the CSS class that gives its color (``c0``, ``c1``, ...)."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: str
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    notes: Sequence[str] = ()  # shown when a point is hovered
    markers: bool = False


@dataclass(frozen=True)
class Level:
    """A horizontal line, such as the ceiling."""

    label: str
    y: float
    style: str


@dataclass(frozen=True)
class Chart:
    title: str
    lines: list[Line]
    levels: list[Level] = field(default_factory=list)
    x_title: str = ""
    x_names: Sequence[str] = ()  # names of x = 0, 1, ...; numbers otherwise
    scale: float = 1.0
    unit: str = ""
    right: int = RIGHT  # room for the levels' labels

    def svg(self) -> Markup:
        lines = [_thinned(line) for line in self.lines]
        ys = [v * self.scale for line in lines for part in (line.y, line.low, line.high) for v in part]
        ys += [item.y * self.scale for item in self.levels]
        ys = [v for v in ys if math.isfinite(v)]
        xs = [v for line in self.lines for v in line.x]
        if not ys or not xs:
            return Markup("")
        y_ticks = ticks(min(ys), max(ys))
        x_low, x_high = (-0.3, len(self.x_names) - 0.7) if self.x_names else (min(xs), max(xs))
        area = _Area(x_low, x_high, y_ticks[0], y_ticks[-1], self.right)
        parts = [_grid(area, y_ticks, self.unit), self._x_axis(area)]
        parts += [self._band(line, area) for line in lines if line.low]
        parts += self._levels(area)
        parts += [self._line(line, area) for line in lines]
        label = escape(f"{self.title}. {self._in_words()}")
        return Markup(
            f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
        )

    def _in_words(self) -> str:
        """The chart in words, for screen readers."""
        said = []
        for line in self.lines:
            finite = [v * self.scale for v in line.y if math.isfinite(v)]
            if self.x_names:
                said.append(f"{line.label}: " + "; ".join(line.notes))
            elif finite:
                said.append(f"{line.label}: from {finite[0]:.4g} to {finite[-1]:.4g}{self.unit}")
        said += [f"{item.label}: {item.y * self.scale:.4g}{self.unit}" for item in self.levels]
        return ". ".join(said)

    def _x_axis(self, area: _Area) -> str:
        marks: list[tuple[float, str]] = [(x, name) for x, name in enumerate(self.x_names)]
        if not marks:
            marks = [(x, tick_text(x)) for x in ticks(area.x_low, area.x_high, 4)]
        texts = [
            f'<text x="{area.x(x):.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{escape(name)}</text>'
            for x, name in marks
            if area.x_low <= x <= area.x_high
        ]
        middle = (LEFT + WIDTH - self.right) / 2
        title = f'<text x="{middle:.0f}" y="{HEIGHT - 4}" text-anchor="middle">{escape(self.x_title)}</text>'
        return "".join(texts) + title

    def _band(self, line: Line, area: _Area) -> str:
        top = [f"{area.x(x):.1f},{area.y(v * self.scale):.1f}" for x, v in zip(line.x, line.high, strict=True)]
        bottom = [f"{area.x(x):.1f},{area.y(v * self.scale):.1f}" for x, v in zip(line.x, line.low, strict=True)]
        whiskers = "".join(
            f'<line x1="{a.split(",")[0]}" y1="{a.split(",")[1]}" x2="{b.split(",")[0]}" y2="{b.split(",")[1]}"/>'
            for a, b in zip(top, bottom, strict=True)
        )
        polygon = f'<polygon points="{" ".join(top + bottom[::-1])}"/>' if len(top) > 1 else ""
        return f'<g class="band {line.style}">{polygon}{whiskers}</g>'

    def _line(self, line: Line, area: _Area) -> str:
        points = [(area.x(x), area.y(y * self.scale)) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
        drawn = _polyline(points)
        if line.markers or len(points) == 1:
            notes = [*line.notes, *[""] * len(points)]
            drawn += "".join(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{escape(note)}</title></circle>'
                for (x, y), note in zip(points, notes, strict=False)
            )
        return f'<g class="line {line.style}">{drawn}</g>'

    def _levels(self, area: _Area) -> list[str]:
        """Dashed lines with their names at the right, moved apart where they would overlap."""
        drawn = []
        last = -math.inf
        for item in sorted(self.levels, key=lambda item: -item.y):
            y = area.y(item.y * self.scale)
            last = max(y + 3.5, last + 12)
            end = WIDTH - self.right
            drawn.append(
                f'<g class="level {item.style}"><line x1="{LEFT}" y1="{y:.1f}" x2="{end}" y2="{y:.1f}"/>'
                f'<text x="{end + 4}" y="{last:.1f}">{escape(item.label)}</text></g>'
            )
        return drawn


def histogram(title: str, series: Sequence[tuple[str, Sequence[float], str]], x_title: str, bins: int = 20) -> Markup:
    """Outlined steps of shares over common bins; ``series`` holds (label, values, CSS class)."""
    everything = [v for _, values, _ in series for v in values if math.isfinite(v)]
    if not everything:
        return Markup("")
    edges = ticks(min(everything), max(everything), bins)
    step = edges[1] - edges[0]
    lines = []
    for label, values, style in series:
        counts = [0.0] * (len(edges) - 1)
        finite = [v for v in values if math.isfinite(v)]
        for value in finite:
            counts[min(int((value - edges[0]) / step + 1e-9), len(counts) - 1)] += 1 / len(finite)
        xs = [edges[0], *(e for edge in edges[1:-1] for e in (edge, edge)), edges[-1]]
        lines.append(Line(label, xs, [c for c in counts for _ in range(2)], style))
    return Chart(title, lines, x_title=x_title, scale=100, unit=" %").svg()


@dataclass(frozen=True)
class _Area:
    x_low: float
    x_high: float
    y_low: float
    y_high: float
    right: int

    def x(self, value: float) -> float:
        return LEFT + (value - self.x_low) / ((self.x_high - self.x_low) or 1) * (WIDTH - LEFT - self.right)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.y_low) / ((self.y_high - self.y_low) or 1) * (HEIGHT - TOP - BOTTOM)


def _grid(area: _Area, values: list[float], unit: str) -> str:
    lines = "".join(
        f'<line x1="{LEFT}" y1="{area.y(v):.1f}" x2="{WIDTH - area.right}" y2="{area.y(v):.1f}"/>'
        f'<text x="{LEFT - 6}" y="{area.y(v) + 3.5:.1f}" text-anchor="end">{tick_text(v)}{escape(unit)}</text>'
        for v in values
    )
    return f'<g class="grid">{lines}</g>'


def _polyline(points: list[tuple[float, float]]) -> str:
    return f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


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


def _thinned(line: Line) -> Line:
    """Drop points without a value, and average neighbors where there are more than a chart can show."""
    points = [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
    if line.low or len(points) == len(line.x) <= MOST_POINTS:
        return line
    size = max(1, math.ceil(len(points) / MOST_POINTS))
    bins = [points[i : i + size] for i in range(0, len(points), size)]
    means = [(sum(x for x, _ in b) / len(b), sum(y for _, y in b) / len(b)) for b in bins]
    return Line(line.label, [x for x, _ in means], [y for _, y in means], line.style, markers=line.markers)
