"""The gap between golden and synthetic level-1 tokens, iteration by iteration: does alignment close it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.report import numbers
from tasks.report.gap_load import CLASSIFIER, COSTS, FRECHET, METRICS, Gap, not_measured, read, synthetic_nar
from tasks.report.gap_pictures import figures, projection
from tasks.report.load import Inputs
from tasks.report.results import largest_differences, title


def sentence(gaps: Sequence[Gap]) -> tuple[str, str]:
    """Whether alignment narrows the gap, in one sentence, and the direction of the difference ("": nothing aligned)."""
    last = gaps[-1]
    change = last.judged.versus_sft.get(FRECHET.name)
    accuracy = last.judged.groups["all"][CLASSIFIER.name]
    told = f"A classifier tells golden from synthetic tokens in {numbers.level(accuracy.value, CLASSIFIER)} of cases"
    if change is None:
        chance = last.content["classifier"]["p"] >= 0.05
        return f"{told}, which {'does not differ' if chance else 'differs'} significantly from chance.", ""
    direction = numbers.direction(change, FRECHET)
    start = {
        "better": "Alignment narrows the gap significantly",
        "worse": "Alignment widens the gap significantly",
        "includes zero": "Alignment does not change the gap significantly",
    }[direction]
    within = f"95{numbers.NO_BREAK}% interval {numbers.difference_interval(change, FRECHET)}"
    includes = "" if change.excludes_zero else ", which includes zero"
    return (
        f"{start}: against SFT, the Fréchet distance of iteration {last.run.name} differs by "
        f"{numbers.difference(change.value, FRECHET)} ({within}{includes}). {told}.",
        direction,
    )


def floor(gaps: Sequence[Gap]) -> dict[str, str]:
    """By metric, the measurement where there is no gap: the median of swapped labels, and 95 % below."""
    distances = gaps[0].content["distances"]
    found = {
        metric.name: f"{numbers.level(item['floor'], metric)}; 95{numbers.NO_BREAK}% below "
        f"{numbers.level(item['floor_high'], metric, unit=False)}"
        for metric in METRICS
        if (item := distances.get(metric.name))
    }
    return {**found, CLASSIFIER.name: numbers.level(0.5, CLASSIFIER)}


def context(inputs: Inputs) -> dict[str, Any]:
    """Values for the section's template."""
    gaps = read(inputs)
    missing = [(title(run), why) for run, why in not_measured(inputs)]
    if not gaps:
        return {"found": [], "missing": missing}
    said, direction = sentence(gaps)
    return {
        "found": gaps,
        "missing": missing,
        "sentence": said,
        "direction": direction,
        "metrics": METRICS,
        "costs": COSTS,
        "floor": floor(gaps),
        "largest": largest_differences(gap.judged.versus_sft for gap in gaps),
        "largest_cost": largest_differences(gap.cost("difference").versus_sft for gap in gaps),
        "figures": figures(gaps),
        "projection": projection,
        "synthetic_nar": synthetic_nar(),
    }
