"""The gap between golden and synthetic level-1 tokens, iteration by iteration: does alignment close it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.report import numbers
from tasks.report.gap_load import CLASSIFIER, COSTS, FRECHET, METRICS, Gap, not_measured, read, synthetic_nar
from tasks.report.gap_pictures import figures, projection
from tasks.report.load import Inputs, Scores
from tasks.report.results import title


def sentence(gaps: Sequence[Gap]) -> tuple[str, str]:
    """Whether alignment closes the gap, in one sentence, and the verdict: better, worse, unproven or nothing."""
    last = gaps[-1]
    change = last.judged.versus_sft.get(FRECHET.name)
    accuracy = last.judged.groups["all"][CLASSIFIER.name]
    told = f"A classifier tells golden from synthetic tokens in {numbers.level(accuracy.value, CLASSIFIER)} of cases"
    if change is None:
        chance = last.content["classifier"]["p"] >= 0.05
        return f"{told}, which is {'no proven' if chance else 'a proven'} gap; nothing is aligned yet.", "nothing"
    verdict = numbers.verdict(change, FRECHET)
    start = {
        "better": "Alignment narrows the gap",
        "worse": "Alignment widens the gap",
        "unproven": "It is not proven that alignment changes the gap",
    }[verdict]
    within = f"95\N{NO-BREAK SPACE}% interval {numbers.difference_interval(change, FRECHET)}"
    includes = ", which includes zero" if verdict == "unproven" else ""
    return (
        f"{start}: against SFT, the Fréchet distance of iteration {last.run.name} differs by "
        f"{numbers.difference(change.value, FRECHET)} ({within}{includes}). {told}.",
        verdict,
    )


def floor(gaps: Sequence[Gap]) -> dict[str, str]:
    """By metric, what the measurement shows where there is no gap: the median of swapped labels, and 95 % below."""
    distances = gaps[0].content["distances"]
    found = {
        metric.name: f"{numbers.level(item['floor'], metric)}; 95\N{NO-BREAK SPACE}% below "
        f"{numbers.level(item['floor_high'], metric, unit=False)}"
        for metric in METRICS
        if (item := distances.get(metric.name))
    }
    return {**found, CLASSIFIER.name: numbers.level(0.5, CLASSIFIER)}


def largest(differences: Sequence[Scores]) -> dict[str, float]:
    """By metric, the furthest end of any difference: the scale that its small pictures share."""
    found: dict[str, float] = {}
    for scores in differences:
        for name, interval in scores.items():
            found[name] = max(found.get(name, 0.0), abs(interval.low), abs(interval.high))
    return found


def context(inputs: Inputs) -> dict[str, Any]:
    """What the section's template is given."""
    gaps = read(inputs)
    missing = [(title(run), why) for run, why in not_measured(inputs)]
    if not gaps:
        return {"found": [], "missing": missing}
    said, verdict = sentence(gaps)
    return {
        "found": gaps,
        "missing": missing,
        "sentence": said,
        "verdict": verdict,
        "metrics": METRICS,
        "costs": COSTS,
        "floor": floor(gaps),
        "largest": largest([gap.judged.versus_sft for gap in gaps]),
        "largest_cost": largest([gap.cost("difference").versus_sft for gap in gaps]),
        "figures": figures(gaps),
        "projection": projection,
        "synthetic_nar": synthetic_nar(),
    }
