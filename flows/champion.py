"""A new champion is confirmed on fresh draws, or the alias goes back. A webhook of MLflow starts it, by an event.

prefect.yaml has its deployment and trigger, docs/automation.md the way from MLflow to here.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import QUIET, process, waiting
from tasks.common.secrets import masked
from tasks.common.stage import failure
from tasks.common.tracking import patience


@flow(name="speechalign-champion", flow_run_name="champion {version}")
def speechalign_champion(version: str) -> State[None]:
    """Judge a version and the champion before it on fresh draws; the gate decides whether the alias stays.

    Args:
        version: of the registered model; if it is not the champion any more, nothing happens.
    """
    process.allow()
    logger = get_run_logger()
    errors: list[str] = []
    said: list[str] = []

    def show(stream: str, line: str) -> None:
        logger.info(masked(line))
        (errors if stream == "stderr" else said).append(line)

    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    command = [sys.executable, "-m", "tasks.register.confirm", "--version", version]
    # MLflow called a moment ago: if it is away now, it is waited for.
    with waiting.turn(logger.warning):
        code = process.run(command, {**QUIET, **patience.setting(), **os.environ, "PATH": path}, show)
    if code:
        return Failed(message=masked(failure(errors)) or f"ended with status {code}")
    return Completed(message=masked(said[-1]) if said else None)
