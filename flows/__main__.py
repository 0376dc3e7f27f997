"""``python -m flows run``, ``python -m flows evaluate`` and ``python -m flows study``."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Run SpeechAlign's stages through Prefect.")

Jobs = Annotated[int, typer.Option(min=1, help="Stages at once; they share compute.threads.")]
Retries = Annotated[int, typer.Option(min=0, help="How often a stage that failed is tried again.")]
Timeout = Annotated[float | None, typer.Option(min=1.0, help="Seconds after which a stage is killed and has failed.")]


@app.command()
def run(
    jobs: Jobs = 2,
    early_stop: Annotated[
        bool, typer.Option(help="Leave out iterations that build on one whose WER on the test set is proven worse.")
    ] = True,
    retries: Retries = 0,
    timeout: Timeout = None,
    targets: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this stage (or all of a name, as in evaluate) and what it depends on; may be repeated."
        ),
    ] = None,
) -> None:
    """The whole loop: what has changed, and what depends on it."""
    from flows import results
    from flows.graph import GraphError, read

    try:
        graph = read()
        chosen = graph.closure(targets or graph.stages)
    except GraphError as error:
        _fail(str(error))
    if graph.up_to_date(chosen):  # said without Prefect, whose temporary server takes most of the time
        print(f"nothing to do: all {len(chosen)} stages are up to date")
        results.show(results.rows(graph))
        return

    from flows.loop import speechalign_loop

    _end(
        speechalign_loop(
            jobs=jobs,
            early_stop=early_stop,
            retries=retries,
            stage_timeout_seconds=timeout,
            targets=targets,
            return_state=True,
        )
    )


@app.command()
def evaluate(
    jobs: Jobs = 2,
    retries: Retries = 0,
    timeout: Timeout = None,
    iterations: Annotated[
        list[str] | None, typer.Option(help="Only this iteration, without the report; may be repeated.")
    ] = None,
) -> None:
    """Judge the policies as they are and make the report; nothing is trained."""
    from flows.evaluate import speechalign_evaluate

    _end(
        speechalign_evaluate(
            jobs=jobs, retries=retries, stage_timeout_seconds=timeout, iterations=iterations, return_state=True
        )
    )


@app.command()
def study(
    jobs: Annotated[int, typer.Option(min=1, help="Arms at once; they share compute.threads.")] = 2,
    retries: Retries = 0,
    timeout: Timeout = None,
    targets: Annotated[
        list[str] | None,
        typer.Option(help="Only this arm (arm@ipo) or page (table, temperature), and what it depends on."),
    ] = None,
) -> None:
    """The paper's experiments, each an arm of study/params.yaml that starts from the finished loop."""
    from flows.graph import GraphError
    from flows.study import choose, speechalign_study, tables

    try:
        graph, chosen = choose(targets)
    except GraphError as error:
        _fail(str(error))
    if graph.up_to_date(chosen):
        print(f"nothing to do: all {len(chosen)} stages of the study are up to date")
        for page in tables(graph, chosen):
            print(page.read_text(encoding="utf-8"))
        return
    _end(
        speechalign_study(jobs=jobs, retries=retries, stage_timeout_seconds=timeout, targets=targets, return_state=True)
    )


def _end(state: State) -> None:
    if not state.is_completed():
        _fail(state.message or f"the flow ended as {state.name}")


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(1)


if __name__ == "__main__":
    # A polite kill ends like Ctrl-C, so that stages and Prefect's temporary server end with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except KeyboardInterrupt:
        print("stopped; the next run goes on from the last whole stage", file=sys.stderr)
        sys.exit(130)
