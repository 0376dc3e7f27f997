"""The gap between golden and synthetic level-1 tokens, iteration by iteration: does alignment close it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model.statistics import Interval
from tasks.common import curves, paths, schemas
from tasks.common.files import DataError, read_table
from tasks.common.page import numbers
from tasks.common.scores import METRICS as SCORES
from tasks.common.scores import RATE, Quantity, Scores
from tasks.report.load import Inputs, Rows, Run, json_or

FRECHET = Quantity(name="frechet", title="Fréchet distance of the NAR's states", short="Fréchet", digits=4, better=-1)
CLASSIFIER = Quantity(name="classifier", title="Told apart by a classifier", short="Told apart", **RATE)
CODES = Quantity(name="codes", title="Usage of codes, total variation", short="Codes", **RATE)
SECONDS = Quantity(
    name="seconds",
    title="Durations, Wasserstein-1",
    short="Durations",
    unit="ms",
    difference_unit="ms",
    digits=0,
    scale=1000,
    better=-1,
)
METRICS = (FRECHET, CLASSIFIER, CODES, SECONDS)
COSTS = (SCORES["wer"], SCORES["similarity"])  # the columns of the paper's Table 1
STARTS = {
    "better": "Alignment narrows the gap significantly",
    "worse": "Alignment widens the gap significantly",
    "includes zero": "Alignment does not change the gap significantly",
}


@dataclass(frozen=True)
class Gap:
    """Output of ``gap@k`` for one iteration."""

    run: Run
    content: dict[str, Any]  # of gap.json
    scores: Scores  # distances
    versus_start: Scores  # their paired differences
    costs: dict[str, Scores]  # rows of the paper's Table 1: golden, synthetic and their paired difference
    points: Rows
    codes: list[dict[str, float]]


def read(inputs: Inputs) -> tuple[list[Gap], list[tuple[str, str]]]:
    """Read the gap of each iteration that was measured, and the title of each that could not be, with the reason.

    Raises:
        DataError: a file that lacks what the stage writes.
    """
    found, missing = [], []
    for run in inputs.evaluated:
        content = json_or(paths.gap(run.name), {})
        if "why" in content:
            missing.append((run.title, content["why"]))
        elif content:
            if lacking := [key for key in ("distances", "classifier", "table1") if key not in content]:
                raise DataError(f"{paths.gap(run.name)} lacks {', '.join(lacking)}; run its gap stage again")
            found.append(
                Gap(
                    run,
                    content,
                    scores_of({**content["distances"], "classifier": content["classifier"]}),
                    scores_of(content.get("versus_start", {})),
                    {row: scores_of(scores) for row, scores in content["table1"].items()},
                    read_table(paths.gap_points(run.name), schemas.GAP_POINTS),
                    curves.read(paths.gap_codes(run.name)),
                )
            )
    return found, missing


def scores_of(found: dict[str, Any]) -> Scores:
    return {name: Interval.from_json(value) for name, value in found.items()}


def sentence(gaps: Sequence[Gap]) -> tuple[str, str]:
    """Whether alignment narrows the gap, in one sentence, and the direction of the difference ("": nothing aligned)."""
    last = gaps[-1]
    accuracy = numbers.level(last.scores[CLASSIFIER.name].value, CLASSIFIER)
    told = f"A classifier tells golden from synthetic tokens in {accuracy} of cases"
    change = last.versus_start.get(FRECHET.name)
    if change is None:
        chance = last.content["classifier"]["p"] >= 0.05
        return f"{told}, which {'does not differ' if chance else 'differs'} significantly from chance.", ""
    direction = numbers.direction(change, FRECHET)
    return (
        f"{STARTS[direction]}: against the start, the Fréchet distance of iteration {last.run.name} differs by "
        f"{numbers.tested_change(change, FRECHET)}. {told}.",
        direction,
    )


def floor(gaps: Sequence[Gap]) -> dict[str, str]:
    """By metric, the measurement where there is no gap: the median of swapped labels, and 95 % below."""
    distances = gaps[0].content["distances"]
    found = {
        metric.name: f"{numbers.level(distances[metric.name]['floor'], metric)}; 95{numbers.NO_BREAK}% below "
        f"{numbers.level(distances[metric.name]['floor_high'], metric, unit=False)}"
        for metric in (FRECHET, CODES, SECONDS)
    }
    return {**found, CLASSIFIER.name: numbers.level(0.5, CLASSIFIER)}


def synthetic_nar() -> dict[str, Any]:
    """Scores of the NAR that was trained on synthetic tokens, or ``why`` there are none."""
    content = json_or(paths.SYNTHETIC_NAR / "result.json", {"why": "nar_synthetic has not run"})
    return content if "why" in content else {"scores": scores_of(content["scores"])}
