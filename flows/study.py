"""The study as a Prefect flow: one task per arm and seed of ``study/params.yaml``, two at a time, then their tables.

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
from flows.graph import STUDY, Graph
from flows.loop import Choice, artifacts_are_extra, run_chosen
from flows.schedule import Options


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
        targets: only these and what they depend on, as in "arm@rejection-17" or "loop"; all of them without.

    Returns:
        What became of each stage, or a failed state that names the error.
    """
    return run_chosen(lambda: choose(targets), Options(jobs, False, retries, stage_timeout_seconds), publish)


def choose(targets: list[str] | None) -> Choice:
    """The study's graph and the stages that ``targets`` name.

    Raises:
        GraphError: no such stage.
    """
    current()  # an arm runs the loop's commands, and depends on what they compute
    graph = current(STUDY)
    return graph, graph.closure(targets or graph.stages)


def tables(graph: Graph, chosen: set[str]) -> dict[str, str]:
    """Return the pages that the chosen stages have written: name to Markdown."""
    pages = [Path(out) for name in graph.stages if name in chosen for out in graph.stages[name].outs]
    return {page.stem: page.read_text(encoding="utf-8") for page in pages if page.suffix == ".md" and page.is_file()}


def publish(graph: Graph, chosen: set[str]) -> None:
    """Print the pages and keep them with the flow run."""
    for name, text in tables(graph, chosen).items():
        print(text)
        with artifacts_are_extra():
            create_markdown_artifact(text, key=f"speechalign-study-{name}")
