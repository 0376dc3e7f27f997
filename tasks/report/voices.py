"""Are voices cloned? Similarity between its floor (two different speakers) and its ceiling (the same speaker)."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from tasks.common.metrics import METRICS
from tasks.common.page import numbers
from tasks.report import results
from tasks.report.load import Inputs, Run

SIMILARITY = METRICS["similarity"]
KINDS = ("seen", "unseen")
HALFWAY = 0.5  # of the way from floor to ceiling: below it, voices do not count as cloned


def bounds(inputs: Inputs, kind: str) -> tuple[float, float] | None:
    """Similarity of two different speakers' golden speech, and of the same speaker's; None where not measured."""
    found = inputs.ceiling.voices.get(kind, {})
    return (found["floor"].value, found["ceiling"].value) if {"floor", "ceiling"} <= found.keys() else None


def way(inputs: Inputs, kind: str, similarity: float) -> float | None:
    """Share of the distance from floor to ceiling that a similarity reaches."""
    if not (found := bounds(inputs, kind)) or found[1] <= found[0]:
        return None
    return (similarity - found[0]) / (found[1] - found[0])


def way_text(inputs: Inputs, kind: str, similarity: float) -> str:
    """The share in percent: ``38 %``."""
    share = way(inputs, kind, similarity)
    return "–" if share is None else f"{numbers.number(100 * share, 0)}{numbers.NO_BREAK}%"


def set_of(inputs: Inputs) -> str:
    """The set of texts whose similarity is compared: recorded, like the bounds, where there is one."""
    return "recorded" if "recorded" in inputs.sets else inputs.sets[0]


def sentence(inputs: Inputs, run: Run) -> Sequence[str]:
    """Whether unseen voices are cloned, in one sentence; none where there are no such voices."""
    score = run.judged(set_of(inputs)).groups.get("unseen", {}).get(SIMILARITY.name)
    found = bounds(inputs, "unseen")
    share = way(inputs, "unseen", score.value) if score else None
    if score is None or found is None or share is None:
        return []
    said = "are cloned at least halfway" if share >= HALFWAY else "are not cloned"
    floor, value, ceiling = (numbers.level(x, SIMILARITY) for x in (found[0], score.value, found[1]))
    reached = way_text(inputs, "unseen", score.value)
    return [
        f"Unseen voices {said}: their similarity of {value} is {reached} of the way from two different speakers "
        f"({floor}) to the same one ({ceiling})."
    ]


def figures(inputs: Inputs) -> list[tuple[str, Markup]]:
    """Similarity over the iterations between its bounds, of seen and of unseen voices."""
    drawn = []
    for kind in KINDS:
        scores = [(run, run.judged(set_of(inputs)).groups.get(kind, {}).get(SIMILARITY.name)) for run in inputs.runs]
        ends = bounds(inputs, kind)
        levels = [("different", ends[0], "golden_nar"), ("same", ends[1], "golden")] if ends else []
        chart = results.over_iterations(
            f"Similarity of {kind} voices",
            SIMILARITY,
            [run.name for run in inputs.runs],
            [("own best decoding", "policy", scores)],
            levels,
        )
        if chart:
            drawn.append((f"Similarity, {kind} voices", chart))
    return drawn
