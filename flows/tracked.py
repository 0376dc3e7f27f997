"""What a run does about MLflow's server: it waits for one that goes away, and sends what it missed."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

from flows import process
from tasks.common.stage import failure
from tasks.common.tracking import patience
from tasks.common.tracking.client import TrackingError, answers, tracking_uri
from tasks.common.tracking.outbox import UNSENT


@contextlib.contextmanager
def patiently() -> Iterator[None]:
    """Let the block's stages wait for an MLflow server that is there now, should it go away between two of them.

    Where it does not answer now, the first stage that needs it says so at once.
    """
    if patience.SECONDS in os.environ or not tracking_uri().startswith(("http://", "https://")):
        yield
        return
    try:
        answers(tracking_uri())
    except TrackingError:
        yield
        return
    with process.variables(patience.setting()):
        yield


def deliver(show: Callable[[str], None]) -> None:
    """Send MLflow the points that it missed, if there are any: no later stage may do so."""
    if lacking() and (reason := send()):
        show(f"MLflow lacks points of this run's curves ({reason}); the next run sends them")


def lacking() -> bool:
    """Return whether this folder keeps points that MLflow has missed."""
    return any(UNSENT.glob("*.json"))


def send() -> str | None:
    """Send what the folder keeps; return why that failed.

    Raises:
        process.StoppedError: the flow is ending.
    """
    errors: list[str] = []

    def note(stream: str, line: str) -> None:
        if stream == "stderr":
            errors.append(line)

    at_once = {**os.environ, patience.SECONDS: "0"}
    code = process.run([sys.executable, "-m", "tasks.common.tracking"], at_once, note)
    return (failure(errors) or f"status {code}") if code else None
