"""Evaluation alone: judge the policies as they lie in the workspace and make the report. Nothing is trained.

python -m flows evaluate
"""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Failed
from pydantic import Field

from flows.graph import Graph, GraphError, read
from flows.loop import walk
from flows.schedule import Options
from tasks import paths


@flow(name="speechalign-evaluate")
def speechalign_evaluate(
    jobs: Annotated[int, Field(ge=1)] = 2,
    retries: Annotated[int, Field(ge=0)] = 0,
    stage_timeout_seconds: Annotated[float, Field(gt=0)] | None = None,
    iterations: list[str] | None = None,
) -> dict[str, str] | State[None]:
    """Bring the judgements of the policies and the report up to date.

    Args:
        jobs: stages at once; they share ``compute.threads``.
        retries: of a stage that failed.
        stage_timeout_seconds: a stage that takes longer is killed and has failed.
        iterations: only these, and no report; all of them without.

    Returns:
        What became of each stage, or a failed state that names the error.
    """
    try:
        graph = read()
        chosen = judging(graph, iterations)
    except GraphError as error:
        return Failed(message=str(error))
    return walk(graph, chosen, Options(jobs, False, retries, stage_timeout_seconds))


def judging(graph: Graph, iterations: list[str] | None = None) -> set[str]:
    """Names of the stages that judge and report, known by the files they write.

    Without ``iterations``, those are left out that cannot run because their policy does not exist (yet).

    Raises:
        GraphError: a named iteration does not exist or has no policy, or nothing can be judged.
    """
    judges = graph.judges()
    if unknown := [name for name in iterations or [] if name not in judges]:
        raise GraphError(f"there is no iteration {', '.join(unknown)}; there are {', '.join(judges)}")
    if iterations:
        wanted = [judges[name] for name in iterations]
    else:
        others = (graph.writes(str(paths.CEILING / "metrics.json")), graph.writes(str(paths.REPORT)))
        wanted = [*judges.values(), *(stage for stage in others if stage)]
    made = {out for stage in wanted if not stage.missing() for out in stage.outs}
    lacking = {stage: gone for stage in wanted if (gone := [path for path in stage.missing() if path not in made])}
    if lacking and (iterations or len(lacking) == len(wanted)):
        text = "; ".join(f"{stage.name} needs {', '.join(gone)}" for stage, gone in lacking.items())
        raise GraphError(f"{text}: run the whole loop first (python -m flows run)")
    return {stage.name for stage in wanted} - {stage.name for stage in lacking}
