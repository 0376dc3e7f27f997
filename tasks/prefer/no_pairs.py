"""Why an iteration's texts gave no pair, and what to change."""

from __future__ import annotations

from collections.abc import Sequence

from model.judges.panel import Judgement
from tasks.common.finished import golden_instead, why_alike
from tasks.common.params import Params
from tasks.common.params.aligning import CHOOSE_FINISHED
from tasks.common.rows import Row


def why_no_pair(
    iteration: str, samples: Sequence[Row], judgements: Sequence[Judgement], advice: str, params: Params
) -> str:
    """Return the message for an iteration without pairs.

    Args:
        advice: the source's own.
    """
    p, wers = params.prefer, [judgement.wer for judgement in judgements]
    by_text: dict[str, list[float]] = {}
    for sample, wer in zip(samples, wers, strict=True):
        by_text.setdefault(sample["id"], []).append(wer)
    said = f"iteration {iteration}: {len(by_text)} texts gave no pair (source {p.source}, WER gap {p.min_wer_gap})"
    if p.source not in CHOOSE_FINISHED:
        return f"{said}; {advice}"
    if alike := why_alike([s["finished"] for s in samples], wers, params):
        return f"{said}; {alike}{golden_instead(params)}"
    lowest = min(wer for sample, wer in zip(samples, wers, strict=True) if sample["finished"])
    widest = max(max(found) - min(found) for found in by_text.values())
    return (
        f"{said}: the lowest WER of a finished sample is {lowest:.2f} (prefer.max_chosen_wer {p.max_chosen_wer}), the "
        f"widest gap within a text {widest:.2f}; {advice}{golden_instead(params)}"
    )
