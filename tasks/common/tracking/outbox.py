"""Metric points on their way to MLflow: sent in the background, so that a server that is gone slows no training.

Points that do not arrive are kept in ``runs/.state/mlflow``. The next stage that reaches the server sends them, or
``python -m tasks.common.tracking``.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.common import paths, secrets
from tasks.common.files import DataError, read_json, write_json
from tasks.common.tracking.client import TrackingError, answers, failures, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

UNSENT = paths.STATE / "mlflow"
SECONDS, POINTS = 5.0, 500  # MLflow takes at most 1,000 metrics per request
LONGEST_PAUSE = 120.0  # between two attempts, each twice as long after the last as the one before
SECONDS_TO_END = 60.0  # for a request under way when the run ends


class Outbox:
    """Points of one run, sent a few seconds after they were added, many in one request.

    The loop's run (``parent_run_id``) ends with it.
    """

    def __init__(self, client: MlflowClient, run_id: str, parent_run_id: str):
        self._client, self._run_id, self._parent_run_id = client, run_id, parent_run_id
        self._points: list[Metric] = []
        self._changed = threading.Condition()
        self._ending = False
        self._failed = False
        self._thread: threading.Thread | None = None

    def add(self, points: Sequence[Metric]) -> None:
        """Take points; never waits for the server."""
        with self._changed:
            self._points += points
            if self._thread is None:
                self._thread = threading.Thread(target=self._send, daemon=True)
                self._thread.start()
            if len(self._points) >= POINTS and not self._failed:
                self._changed.notify()

    def close(self, status: str) -> bool:
        """Send what is left; return False where the server is gone, after keeping points and status in a file."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        if self._thread:
            self._thread.join(SECONDS_TO_END)
        if not self._points and not self._failed:
            return True
        self.keep(status)
        return False

    def keep(self, status: str) -> None:
        """Write what the server lacks to a file: the points that are left, and how the run ended."""
        points = [[one.key, one.value, one.timestamp, one.step] for one in self._points]
        kept = {
            "tracking_uri": secrets.address(tracking_uri()),
            "status": status,
            "parent_run_id": self._parent_run_id,
            "points": points,
        }
        write_json(UNSENT / f"{self._run_id}.json", kept)
        print(
            f"warning: {len(points)} metric points are kept in {UNSENT}; the next stage that reaches MLflow sends "
            "them, or `python -m tasks.common.tracking`",
            file=sys.stderr,
        )

    def _send(self) -> None:
        pause = SECONDS
        while True:
            with self._changed:
                if not self._ending:
                    self._changed.wait(pause)
                ending, batch = self._ending, self._points[:POINTS]
            try:
                if batch:
                    if self._failed:
                        answers(tracking_uri())  # in seconds; MLflow's own retries take minutes
                    with failures():
                        self._client.log_batch(self._run_id, metrics=batch)
            except TrackingError as error:
                if not self._failed:
                    said = secrets.masked(str(error))
                    print(f"warning: {said}. The work goes on; metrics are kept for a later attempt", file=sys.stderr)
                self._failed, pause = True, min(2 * pause, LONGEST_PAUSE)
                if ending:
                    return
                continue
            with self._changed:
                self._points = self._points[len(batch) :]
                self._failed, pause = False, SECONDS if len(self._points) < POINTS else 0.0
                if ending and not self._points:
                    return


def send_unsent(client: MlflowClient) -> tuple[int, int]:
    """Send what earlier stages could not; return the number of points and of runs.

    MLflow takes a point that it has already for the same.

    Raises:
        TrackingError: the server refuses them; they stay.
    """
    from mlflow.entities import Metric
    from mlflow.exceptions import MlflowException

    sent = runs = 0
    for file in sorted(UNSENT.glob("*.json")):
        try:
            kept = read_json(file)
            points = [Metric(str(key), float(value), int(when), int(step)) for key, value, when, step in kept["points"]]
            where, status, parent = kept["tracking_uri"], str(kept["status"]), kept.get("parent_run_id")
        except (DataError, LookupError, TypeError, ValueError) as error:
            raise DataError(f"{file} does not hold metric points ({error}); remove it") from error
        if where != secrets.address(tracking_uri()):
            continue  # of another server
        run_id = file.stem
        with failures():
            try:
                for start in range(0, len(points), POINTS):
                    client.log_batch(run_id, metrics=points[start : start + POINTS])
                for ended in (run_id, parent):
                    if ended:
                        client.set_terminated(str(ended), status)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # a run that somebody deleted
                    raise
        file.unlink(missing_ok=True)
        sent, runs = sent + len(points), runs + 1
    return sent, runs


def send_unsent_quietly(client: MlflowClient) -> None:
    """Try to; a stage has other work."""
    with contextlib.suppress(TrackingError):
        send_unsent(client)
