"""Pictures of the gap: the distance over iterations, code usage, durations, and the projection to look at."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from tasks.report.charts import HEIGHT, WIDTH, Chart, Line, histogram
from tasks.report.gap import FRECHET, Gap
from tasks.report.results import over_iterations

SIDES = (("synthetic", "policy"), ("golden", "golden"))  # with their CSS classes


def figures(gaps: Sequence[Gap]) -> list[tuple[str, Markup]]:
    """The distance over the iterations, the last one's codes and durations, and every one's projection."""
    last = gaps[-1]
    no_gap = ("no gap", gaps[0].content["distances"][FRECHET.name]["floor"], "golden")
    distances = [("synthetic", "policy", [(gap.run, gap.scores[FRECHET.name]) for gap in gaps])]
    iterations = [gap.run.name for gap in gaps]
    seconds = [(side, [p["seconds"] for p in last.points if p["system"] == side], style) for side, style in SIDES]
    return [
        (FRECHET.title, over_iterations(FRECHET.title, FRECHET, iterations, distances, [no_gap])),
        (f"Level-1 codes by golden use, {last.run.title}", _codes(last)),
        (f"Durations, {last.run.title}", histogram("Durations", seconds, "seconds")),
        *((f"t-SNE, {gap.run.title}", _projection(gap)) for gap in gaps),
    ]


def _codes(gap: Gap) -> Markup:
    """Shares of frames, codes in the order of golden use."""
    ordered = sorted(gap.codes, key=lambda row: (-row["golden"], row["code"]))
    lines = []
    for side, style in SIDES:
        total = sum(row[side] for row in ordered)
        lines.append(Line(side, range(1, len(ordered) + 1), [100 * row[side] / total for row in ordered], style))
    return Chart("Usage of codes", lines, x_title="rank of the code", unit=" %").svg()


def _projection(gap: Gap) -> Markup:
    """t-SNE of golden and synthetic utterances; axes have no meaning and are left out."""
    (left, right), (bottom, top) = (
        (min(found), max(found)) for found in ([p[axis] for p in gap.points] for axis in "xy")
    )
    scale = (min(WIDTH, HEIGHT) - 20) / (max(right - left, top - bottom) or 1.0)
    drawn = ""
    for side, style in SIDES:
        dots = "".join(
            f"M{WIDTH / 2 + (point['x'] - (left + right) / 2) * scale:.1f} "
            f"{HEIGHT / 2 - (point['y'] - (bottom + top) / 2) * scale:.1f}h0"
            for point in gap.points
            if point["system"] == side
        )
        drawn += f'<path class="dots {style}" d="{dots}"/>'
    n = len(gap.points) // 2
    label = escape(f"t-SNE of {n} golden and as many synthetic utterances, {gap.run.title}")
    return Markup(f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{drawn}</svg>')
