"""The study as a Prefect flow: one task per arm of ``study/params.yaml``, two at a time, then their tables.

speechalign study
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from pydantic import Field

from flows.current import current
from flows.graph import STUDY, Graph, GraphError
from flows.loop import Choice, run_chosen
from flows.schedule import Options, least_rise


@flow(name="speechalign-study")
def speechalign_study(
    jobs: Annotated[int, Field(ge=1)] = 2,
    retries: Annotated[int, Field(ge=0)] = 0,
    stage_timeout_seconds: Annotated[float, Field(gt=0)] | None = None,
    targets: list[str] | None = None,
) -> dict[str, str] | State[None]:
    """Run the arms that have changed and write the tables.

    Args:
        jobs: arms at once; they share ``compute.threads``.
        retries: of an arm that failed; it goes on where it was.
        stage_timeout_seconds: an arm that takes longer is killed and has failed.
        targets: only these and what they depend on, as in "arm@ipo"; all of them without.

    Returns:
        What became of each stage, or a failed state that names the error.
    """
    return run_chosen(lambda: choose(targets), Options(jobs, False, retries, stage_timeout_seconds), publish)


def choose(targets: list[str] | None) -> Choice:
    """The study's graph and the stages that ``targets`` name.

    Raises:
        GraphError: no such stage, or the main loop, from which the arms start, is not up to date.
    """
    loop, graph = current(), current(STUDY)
    # All stages, also those that no arm reads: arms depend on the folder runs, so a later run would make them stale.
    if changed := [name for name, stage in loop.stages.items() if stage.changed]:
        text = f"the study starts from the finished loop, and these stages are not up to date: {', '.join(changed)}"
        if stopped_early(loop):
            hint = "an early stop left iterations out, so run `speechalign run --no-early-stop` first"
        else:
            hint = "run `speechalign run` first"
        raise GraphError(f"{text}; {hint}")
    return graph, graph.closure(targets or graph.stages)


def stopped_early(loop: Graph) -> bool:
    """Whether a stage is missing because an iteration it builds on made things worse."""
    judged = {key for key, judge in loop.judges().items() if loop.up_to_date(loop.closure([judge.name]))}
    worse = {key for key in judged if (least_rise(key) or 0) > 0}
    return any(
        stage.changed and worse & loop.parents.get(stage.iteration or "", set()) for stage in loop.stages.values()
    )


def tables(graph: Graph, chosen: set[str]) -> dict[str, str]:
    """Return the pages that the chosen stages have written: name to Markdown."""
    pages = [Path(out) for name in graph.stages if name in chosen for out in graph.stages[name].outs]
    return {page.stem: page.read_text(encoding="utf-8") for page in pages if page.suffix == ".md" and page.is_file()}


def publish(graph: Graph, chosen: set[str]) -> None:
    """Print the pages and keep them with the flow run."""
    for name, text in tables(graph, chosen).items():
        create_markdown_artifact(text, key=f"speechalign-study-{name}")
        print(text)
