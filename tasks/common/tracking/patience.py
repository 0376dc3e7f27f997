"""Waiting for an MLflow server that goes away for some minutes, so that no finished work is lost to it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from tasks.common import secrets
from tasks.common.tracking.errors import TrackingError

T = TypeVar("T")
SECONDS = "SPEECHALIGN_MLFLOW_PATIENCE"  # for a server that has not yet answered this process; else it is refused
AWAY_SECONDS = 600.0  # for one that has
PAUSE_SECONDS = 2.0

_known: set[str] = set()


def setting() -> dict[str, str]:
    """Return the environment of a process that is to wait for a server which was there when its run began."""
    return {SECONDS: f"{AWAY_SECONDS:g}"}


def answered(uri: str) -> None:
    """Note that a server has answered this process."""
    _known.add(uri)


def patiently(action: Callable[[], T], uri: str, check: Callable[[str], None]) -> T:
    """Do something with a server; do it again once it is back, should it go away meanwhile.

    What is done may be done twice. A server that has never answered this process is waited for only as long as
    ``SPEECHALIGN_MLFLOW_PATIENCE`` says, which a run sets that has found it there.

    Args:
        check: raises a :class:`TrackingError` where the server does not answer.

    Raises:
        TrackingError: the server refuses, or was away for too long.
    """
    began: float | None = None
    while True:
        try:
            return action()
        except TrackingError:
            away = _away(uri, check)
            if away is None:  # it is there, and refuses
                raise
        if began is None:
            began = time.monotonic()
            if seconds := _patience(uri):
                reason = secrets.masked(str(away))
                print(f"waiting for MLflow, {seconds / 60:g} minutes at most: {reason}", file=sys.stderr, flush=True)
        while away and time.monotonic() - began < _patience(uri):
            time.sleep(PAUSE_SECONDS)
            away = _away(uri, check)
        if away:
            raise away


def _away(uri: str, check: Callable[[str], None]) -> TrackingError | None:
    try:
        check(uri)
    except TrackingError as error:
        return error
    return None


def _patience(uri: str) -> float:
    return AWAY_SECONDS if uri in _known else float(os.environ.get(SECONDS) or 0)
