"""The whole loop as a Prefect flow: one task per stage of ``dvc.yaml``, in the order of DVC's graph.

    speechalign run

Works without a server (Prefect starts a temporary one) and as a deployment (``prefect.yaml``).
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Annotated

from prefect import flow, get_run_logger, runtime
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from flows import process, results, server, tracked, waiting
from flows.current import current
from flows.graph import Graph, GraphError
from flows.schedule import Options, Schedule
from flows.stage import SKIPPED, UNCHANGED
from tasks.common.secrets import masked

Choice = tuple[Graph, set[str]]  # the graph and the names of the stages to run


@flow(name="speechalign-loop")
def speechalign_loop(
    jobs: Annotated[int, Field(ge=1)] = 2,
    early_stop: bool = True,
    retries: Annotated[int, Field(ge=0)] = 0,
    stage_timeout_seconds: Annotated[float, Field(gt=0)] | None = None,
    targets: list[str] | None = None,
    again: list[str] | None = None,
) -> dict[str, str] | State[None]:
    """Run what has changed and what depends on it.

    Args:
        jobs: stages at once; they share ``compute.threads``.
        early_stop: leave out the iterations that build on one whose WER on dev is significantly worse, on either set of
            texts.
        retries: of a stage that failed.
        stage_timeout_seconds: a stage that takes longer is killed and has failed.
        targets: only these stages and what they depend on; "evaluate" names every ``evaluate@k``.
        again: stages that run even if they are up to date, such as "prepare" once the corpus has grown.

    Returns:
        What became of each stage (ran, restored, unchanged, skipped), or a failed state that names the error.
    """

    def choose() -> Choice:
        graph = current()
        graph.named(again or [])
        return graph, graph.closure(targets or graph.stages)

    options = Options(jobs, early_stop, retries, stage_timeout_seconds, frozenset(again or ()))
    return run_chosen(choose, options, show_results)


def run_chosen(
    choose: Callable[[], Choice], options: Options, show: Callable[[Graph, set[str]], None]
) -> dict[str, str] | State[None]:
    """Choose stages, run them and, if none has failed, show what they made.

    Returns:
        What became of each stage, or a failed state that names the errors.
    """
    process.allow()
    try:
        with waiting.turn(get_run_logger().warning, _work()), tracked.patiently():
            try:
                graph, chosen = choose()
            except GraphError as error:
                return Failed(message=str(error))
            schedule = Schedule(graph, chosen, options)
            outcomes = schedule.run()
            process.allow()  # the walk ended with everything stopped
            tracked.deliver(get_run_logger().warning)
    except waiting.NeedlessError as needless:
        return Completed(name="Needless", message=str(needless))
    get_run_logger().info(summary(schedule))
    server.wait_until_back(get_run_logger().warning)
    if failed := schedule.failed:
        return Failed(message="; ".join(f"{name}: {outcome.message}" for name, outcome in failed.items()))
    show(graph, chosen)
    return {name: outcome.how for name, outcome in outcomes.items()}


def _work() -> str | None:
    """Return what a run of a deployment is going to do; None for a run that a person waits for at a terminal."""
    if runtime.deployment.id is None:
        return None
    return json.dumps([runtime.deployment.id, runtime.flow_run.parameters], sort_keys=True, default=str)


def show_results(graph: Graph, _chosen: set[str]) -> None:
    """Print the table of results and keep it with the flow run."""
    table = results.rows(graph)
    results.show(table)
    with artifacts_are_extra():
        results.publish(table)


@contextlib.contextmanager
def artifacts_are_extra() -> Iterator[None]:
    """Keep a run that is finished from failing where Prefect's server does not take its artifacts."""
    try:
        yield
    except Exception as error:
        get_run_logger().warning(f"Prefect keeps no artifacts of this run: {masked(str(error))}")


def summary(schedule: Schedule) -> str:
    """Return what became of the stages, in a few lines."""
    outcomes = schedule.outcomes
    skipped = [name for name, outcome in outcomes.items() if outcome.how == SKIPPED]
    if {outcome.how for outcome in outcomes.values()} <= {UNCHANGED, SKIPPED} and outcomes.keys() == schedule.chosen:
        text = f"nothing to do: {len(outcomes) - len(skipped)} stages are up to date"
        return f"{text}; skipped: {outcomes[skipped[0]].message} ({', '.join(skipped)})" if skipped else text
    lines = [", ".join(f"{count} {how}" for how, count in Counter(item.how for item in outcomes.values()).items())]
    for name, outcome in outcomes.items():
        if outcome.how != UNCHANGED:
            seconds = f"{outcome.seconds:7.1f} s" if outcome.seconds else " " * 9
            lines.append(f"  {name:<14} {outcome.how:<10} {seconds}  {outcome.message}".rstrip())
    if left := [name for name in schedule.graph.stages if name in schedule.chosen - outcomes.keys()]:
        lines.append(f"  not started: {', '.join(left)}")
    return "\n".join(lines)
