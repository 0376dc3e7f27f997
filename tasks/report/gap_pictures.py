"""Pictures of the gap: the distance over iterations, code usage, durations, and the projection to look at."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from tasks.report import numbers
from tasks.report.charts import HEIGHT, WIDTH, Chart, Level, Line, histogram
from tasks.report.gap_load import FRECHET, Gap
from tasks.report.results import short, title


def figures(gaps: Sequence[Gap]) -> list[tuple[str, Markup]]:
    """The distance over the iterations, the last one's codes and durations."""
    last = gaps[-1]
    drawn = [(FRECHET.title, _over_iterations(gaps))]
    if last.codes:
        drawn.append((f"Level-1 codes by golden use, {title(last.run)}", _codes(last)))
    if last.points:
        both = [
            (system, [row["seconds"] for row in last.points if row["system"] == system], style)
            for system, style in (("golden", "golden"), ("synthetic", "policy"))
        ]
        drawn.append((f"Durations, {title(last.run)}", histogram("Durations", both, "seconds")))
    return drawn


def _over_iterations(gaps: Sequence[Gap]) -> Markup:
    found = [(x, gap, gap.judged.groups["all"][FRECHET.name]) for x, gap in enumerate(gaps)]
    line = Line(
        label=FRECHET.title,
        x=[x for x, _, _ in found],
        y=[interval.value for _, _, interval in found],
        low=[interval.low for _, _, interval in found],
        high=[interval.high for _, _, interval in found],
        notes=[f"{title(gap.run)}: {numbers.level(interval.value, FRECHET)}" for _, gap, interval in found],
        style="policy",
        markers=True,
    )
    chance = Level("no gap", gaps[0].content["distances"][FRECHET.name]["floor"], "golden")
    names = [short(gap.run) for gap in gaps]
    return Chart(FRECHET.title, [line], [chance], x_title="iteration", x_names=names, right=56).svg()


def _codes(gap: Gap) -> Markup:
    """Shares of frames, codes in the order of golden use."""
    golden, synthetic = gap.codes["golden"], gap.codes["synthetic"]
    order = sorted(range(len(golden)), key=lambda code: (-golden[code], code))
    ranks = [float(rank + 1) for rank in range(len(order))]
    lines = [
        Line(label, ranks, [counts[code] / sum(counts) for code in order], style)
        for label, counts, style in (("synthetic", synthetic, "policy"), ("golden", golden, "golden"))
    ]
    return Chart("Usage of codes", lines, x_title="rank of the code", scale=100, unit=" %").svg()


def projection(gap: Gap) -> Markup:
    """t-SNE of golden and synthetic utterances; axes have no meaning and are left out."""
    xs, ys = ([row[axis] for row in gap.points if math.isfinite(row[axis])] for axis in "xy")
    if not xs:
        return Markup("")
    span = max(max(xs) - min(xs), max(ys) - min(ys)) or 1.0
    scale = (min(WIDTH, HEIGHT) - 20) / span
    middle = ((max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2)
    drawn = ""
    for system, style in (("golden", "golden"), ("synthetic", "policy")):
        dots = "".join(
            f"M{WIDTH / 2 + (row['x'] - middle[0]) * scale:.1f} {HEIGHT / 2 - (row['y'] - middle[1]) * scale:.1f}h0"
            for row in gap.points
            if row["system"] == system
        )
        drawn += f'<path class="dots {style}" d="{dots}"/>'
    label = escape(f"t-SNE of {len(xs) // 2} golden and as many synthetic utterances, {title(gap.run)}")
    return Markup(f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{drawn}</svg>')
