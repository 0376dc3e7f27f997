"""The graph, once DVC knows the code as it is now."""

from __future__ import annotations

from flows import process
from flows.graph import PIPELINE, Graph, GraphError, read
from flows.stage import FAILED, repro

CODE = "code"  # the stage that digests what every other one computes


def current(pipeline: str = PIPELINE) -> Graph:
    """Bring the pipeline's stage ``code`` up to date, which takes a few seconds, and return the graph.

    It runs before any other stage. The graph then says which stages an edit has made stale; a changed comment leaves
    none, and no process starts.

    Raises:
        GraphError: as :func:`flows.graph.read`, or a module cannot be parsed.
    """
    process.allow()
    graph = read(pipeline)
    code = graph.stages.get(CODE)
    if code is None or not code.changed:
        return graph
    outcome = repro(code.address, threads=1, timeout=None, show=lambda line: None)
    if outcome.how == FAILED:
        raise GraphError(f"{code.address}: {outcome.message}")
    return read(pipeline)
