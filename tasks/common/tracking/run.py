"""The open MLflow run of one iteration: what a stage may log to it."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common import digests, secrets
from tasks.common.tracking.client import TrackingError, answers, failures, patiently, tracking_uri
from tasks.common.tracking.outbox import Outbox

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

_REFUSED = re.compile(r"[^\w.\- :/]")


class Run:
    """The open run of one iteration.

    Points are sent in the background. Everything else waits for a server that goes away for some minutes: what a stage
    logs at its end must not cost its work.
    """

    def __init__(self, client: MlflowClient, run_id: str, parent_run_id: str, position: int):
        self.run_id, self.parent_run_id, self.position = run_id, parent_run_id, position
        self._client = client
        self._outbox = Outbox(client, run_id, parent_run_id)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log metrics at a step. Returns at once: points are sent in the background, many in one request."""
        self._outbox.add(_points(metrics, step))

    def log_curve(self, name: str, rows: Sequence[Mapping[str, float]]) -> None:
        """Log rows of a training curve, each at its step, as ``name/metric``."""
        for row in rows:
            self.log_metrics({f"{name}/{key}": value for key, value in row.items() if key != "step"}, int(row["step"]))

    def log_results(self, metrics: Mapping[str, float]) -> None:
        """Log an iteration's results to its run and, with the iteration as the step, to the loop's."""
        self.log_metrics(metrics, self.position)
        points = _points(metrics, self.position)
        patiently(lambda: self._client.log_batch(self.parent_run_id, metrics=points))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set or replace tags of the run."""
        from mlflow.entities import RunTag

        entries = [RunTag(key, str(value)) for key, value in tags.items()]
        patiently(lambda: self._client.log_batch(self.run_id, tags=entries))

    def log_dict(self, content: Any, file: str) -> None:
        """Store ``content`` as the JSON artifact ``file``."""
        patiently(lambda: self._client.log_dict(self.run_id, content, file))

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Store a file, or a folder's contents, below ``folder`` of the run's artifacts."""
        log = self._client.log_artifacts if Path(path).is_dir() else self._client.log_artifact
        patiently(lambda: log(self.run_id, str(path), folder))

    def log_dataset(self, name: str, path: Path, context: str = "training") -> str:
        """Log which data the run read, by DVC's digest; return the digest."""
        from mlflow.entities import Dataset, DatasetInput, InputTag
        from mlflow.exceptions import MlflowException

        digest = digests.md5(Path(path))
        dataset = Dataset(name, digest, source_type="local", source=json.dumps({"uri": Path(path).as_posix()}))
        inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])]

        def log() -> None:
            try:
                self._client.log_inputs(self.run_id, datasets=inputs)
            except MlflowException as error:
                if "UNIQUE constraint" not in str(error):
                    raise
                # Two runs logged the same data at the same moment, and the other was first: now it is found.
                self._client.log_inputs(self.run_id, datasets=inputs)

        patiently(log)
        return digest

    def close(self, status: str) -> None:
        """Send the remaining points, and end this run and the loop's."""
        if not self._outbox.close(status):
            return  # the status is kept with the points
        for run_id in (self.run_id, self.parent_run_id):
            try:
                answers(tracking_uri())  # in seconds; MLflow's own retries take longer
                with failures():
                    self._client.set_terminated(run_id, status)
            except TrackingError as error:
                print(f"warning: {secrets.masked(str(error))}", file=sys.stderr)
                self._outbox.keep(status)
                return


class Unlogged(Run):
    """The run in a training process that leaves logging to the first one."""

    def __init__(self) -> None:
        self.run_id = self.parent_run_id = ""

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None: ...

    def log_results(self, metrics: Mapping[str, float]) -> None: ...

    def set_tags(self, tags: Mapping[str, str]) -> None: ...

    def log_dict(self, content: Any, file: str) -> None: ...

    def log_artifact(self, path: Path, folder: str | None = None) -> None: ...

    def log_dataset(self, name: str, path: Path, context: str = "training") -> str:
        return ""


def _points(metrics: Mapping[str, float], step: int) -> list[Metric]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    return [Metric(name, float(value), now, step) for name, value in metrics.items()]


def log_params(client: MlflowClient, run_id: str, values: Mapping[str, Any]) -> None:
    """Log any number of parameters to a run. Signs that MLflow refuses in a name become "_": ``evaluate@2``."""
    from mlflow.entities import Param

    entries = [Param(_REFUSED.sub("_", key), str(value)) for key, value in values.items()]
    for start in range(0, len(entries), 100):  # MLflow's limit per request
        client.log_batch(run_id, params=entries[start : start + 100])
