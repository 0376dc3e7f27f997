"""What a worker reports while it works, and at its end: an artifact of its flow run, which the flow reads.

It is Prefect's own record: no result storage has to be set up, the pages show it, and it outlives both sides.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterType

KIND = "speechalign-stage"
BEAT_SECONDS = 5.0  # between two signs of life
AWAY_SECONDS = 3600.0  # for which a server may be away without a result being lost
PAUSE_SECONDS = 2.0


@dataclass(frozen=True)
class Report:
    """What is known of a job from its worker."""

    beat: int = 0  # grows while the worker lives
    says: str = ""  # the stage's last line
    how: str = ""  # at the end: what became of the stage, as in flows.stage
    seconds: float = 0.0  # that it took
    message: str = ""
    entry: str = ""  # JSON: the stage's entry of dvc.lock

    @classmethod
    def read(cls, client: SyncPrefectClient, run: UUID) -> Report | None:
        """Return the report of a flow run, or None while there is none."""
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(
                flow_run_id=ArtifactFilterFlowRunId(any_=[run]), type=ArtifactFilterType(any_=[KIND])
            )
        )
        known = [artifact.data for artifact in found if isinstance(artifact.data, str)]
        try:
            reports = [cls(**json.loads(text)) for text in known]
        except (TypeError, ValueError):  # of another version
            return None
        return max(reports, key=lambda report: report.beat, default=None)


class Reporter:
    """A worker's side: signs of life in the background, and one result that is delivered whatever it takes."""

    def __init__(self, run: UUID, stage: str):
        self._run, self._stage = run, stage
        self._artifact: UUID | None = None
        self._report = Report()
        self._sending = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    def __enter__(self) -> Reporter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(BEAT_SECONDS)

    def say(self, line: str) -> None:
        """Note what the stage says; the next sign of life carries it."""
        self._change(says=line)

    def deliver(self, **result: Any) -> None:
        """Send the result; ask again while the server is away.

        Raises:
            Exception: it has been away for an hour.
        """
        self._ended.set()
        deadline = time.monotonic() + AWAY_SECONDS
        self._change(**result)
        while True:
            try:
                self._send()
                return
            except Exception:
                if time.monotonic() > deadline:
                    raise
            time.sleep(PAUSE_SECONDS)

    def _change(self, **fields: Any) -> None:
        self._report = Report(**{**asdict(self._report), **fields})

    def _live(self) -> None:
        while True:
            try:
                self._send()
            except Exception as error:  # the server may be away for minutes: the next beat tries again
                _ = error
            if self._ended.wait(BEAT_SECONDS):
                return

    def _send(self) -> None:
        with self._sending, get_client(sync_client=True) as client:
            self._change(beat=self._report.beat + 1)
            text = json.dumps(asdict(self._report))
            if self._artifact is None:
                made = client.create_artifact(
                    ArtifactCreate(key=_key(self._stage), type=KIND, data=text, flow_run_id=self._run)
                )
                self._artifact = made.id
            else:
                client.update_artifact(self._artifact, ArtifactUpdate(data=text))


def _key(stage: str) -> str:
    allowed: Callable[[str], bool] = lambda letter: letter.isascii() and letter.isalnum()  # noqa: E731
    return f"stage-{''.join(letter.lower() if allowed(letter) else '-' for letter in stage)}"
