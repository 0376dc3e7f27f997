"""Outputs of the gap stages, in the form of the page's other scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from model.statistics import Interval
from tasks.common import paths, schemas
from tasks.common.files import DataError
from tasks.common.scores import METRICS as SCORES
from tasks.common.scores import RATE, Quantity, Scores
from tasks.report.load import Inputs, Judged, Run
from tasks.report.raw import Rows, read_columns, read_json, read_rows

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


@dataclass(frozen=True)
class Gap:
    """Output of ``gap@k`` for one iteration."""

    run: Run
    content: dict[str, Any]
    points: Rows
    codes: dict[str, list[float]]

    @property
    def judged(self) -> Judged:
        """Distances, and their paired differences to SFT, in the form that the page's tables take."""
        found = {**self.content["distances"], "classifier": self.content["classifier"]}
        return Judged({"all": scores_of(found)}, versus_sft=scores_of(self.content.get("versus_sft", {})))

    def cost(self, row: str) -> Judged:
        """A row of the paper's Table 1: ``golden``, ``synthetic`` or their paired ``difference``."""
        return Judged(
            {"all": scores_of(self.content["table1"][row])}, versus_sft=scores_of(self.content["table1"][row])
        )


def read(inputs: Inputs) -> list[Gap]:
    """Read the gap of each iteration that was measured.

    Raises:
        DataError: a file that lacks what the stage writes.
    """
    found = []
    for run in inputs.runs:
        content = read_json(paths.gap(run.name))
        if content is None or run.judged is None or "why" in content:
            continue
        if missing := [key for key in ("distances", "classifier", "table1") if key not in content]:
            raise DataError(f"{paths.gap(run.name)} lacks {', '.join(missing)}; run its gap stage again")
        points = read_rows(paths.gap_points(run.name), schemas.GAP_POINTS)
        found.append(Gap(run, content, points, read_columns(paths.gap_codes(run.name))))
    return found


def scores_of(found: dict[str, Any]) -> Scores:
    return {name: Interval.from_json(value) for name, value in found.items()}


def not_measured(inputs: Inputs) -> list[tuple[Run, str]]:
    """Iterations whose gap could not be measured, and why."""
    found = [(run, read_json(paths.gap(run.name)) or {}) for run in inputs.runs]
    return [(run, content["why"]) for run, content in found if "why" in content]


def synthetic_nar() -> dict[str, Any]:
    """Scores of the NAR that was trained on synthetic tokens, or why there are none."""
    content = read_json(paths.SYNTHETIC_NAR / "result.json") or {"why": "nar_synthetic has not run"}
    if "why" in content:
        return {"measured": False, "why": content["why"]}
    return {"measured": True, "judged": Judged({"all": scores_of(content["scores"])})}
