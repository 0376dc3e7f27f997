"""Evaluation alone: judge the policies as they lie in the workspace and make the report. Nothing is trained.

speechalign evaluate
"""

from __future__ import annotations

from typing import Annotated

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from pydantic import Field

from flows.current import current
from flows.graph import Graph, GraphError, Stage
from flows.loop import Choice, run_chosen, show_results
from flows.schedule import Options
from tasks.common import paths


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

    def choose() -> Choice:
        graph = current()
        chosen, lacking = judging(graph, iterations)
        if lacking:
            get_run_logger().info(f"left out: {_needs(lacking)}")
        return graph, chosen

    return run_chosen(choose, Options(jobs, False, retries, stage_timeout_seconds), show_results)


def judging(graph: Graph, iterations: list[str] | None = None) -> tuple[set[str], dict[str, list[str]]]:
    """The stages that judge and report, known by the files they write.

    Returns:
        Names of the stages to run, and of those left out with the paths they lack. Only without ``iterations`` is a
        stage left out: its policy does not exist (yet).

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
    lacking = _lacking([stage for stage in graph.stages.values() if stage in wanted])
    if lacking and (iterations or len(lacking) == len(wanted)):
        raise GraphError(f"{_needs(lacking)}: run the whole loop first (`speechalign run`)")
    return {stage.name for stage in wanted} - lacking.keys(), lacking


def _lacking(ordered: list[Stage]) -> dict[str, list[str]]:
    """Stages that cannot run, with the paths that do not exist and that no stage before them will make."""
    lacking: dict[str, list[str]] = {}
    made: set[str] = set()  # grows along the chain: each judgement reads the one of the iteration before
    for stage in ordered:
        if gone := [path for path in stage.missing() if path not in made]:
            lacking[stage.name] = gone
        else:
            made.update(stage.outs)
    return lacking


def _needs(lacking: dict[str, list[str]]) -> str:
    return "; ".join(f"{name} needs {', '.join(gone)}" for name, gone in lacking.items())
