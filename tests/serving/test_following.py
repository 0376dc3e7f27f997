"""The registry goes away while its champion is served: that is said at once, and so is its return."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from serving.champion import Source, follow
from tasks.common.files import DataError
from tasks.common.tracking import patience
from tasks.common.tracking.client import TrackingError
from tests.mlflow_server import Forwarder

SOURCE = Source.parse("models:/speechalign-policy@champion")


def test_a_registry_that_has_answered_and_goes_away_is_not_waited_for(
    mlflow_server: str, monkeypatch: pytest.MonkeyPatch
):
    gate = Forwarder(mlflow_server)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", gate.address)
    monkeypatch.setattr(patience, "AWAY_SECONDS", 3600.0)
    monkeypatch.setattr(patience.time, "sleep", lambda _: pytest.fail("it waited"))
    with pytest.raises(DataError, match="has no champion in the registry"):
        SOURCE.version()
    gate.shut()
    with pytest.raises(TrackingError, match="expected an MLflow server at "):
        SOURCE.version()


def test_each_outage_of_the_registry_is_said_once_and_so_is_its_end(start, capsys: pytest.CaptureFixture[str]):
    server = start()
    answers, up = ["1", None, None, "1", "1", None, "1"], []

    class Registry:
        name = "speechalign-policy"

        def version(self) -> str:
            up.append(server.metrics.registry.get_sample_value("speechalign_registry_up"))
            if len(up) > len(answers):
                raise asyncio.CancelledError
            answer = answers[len(up) - 1]
            if answer is None:
                raise TrackingError("no answer")
            return answer

    with contextlib.suppress(BaseException):
        server.call(follow(Registry(), server.pool, server.metrics, 0.0))
    assert up[1:] == [1, 0, 0, 1, 1, 0, 1]
    said = capsys.readouterr()
    assert said.err.splitlines() == ["serve: no answer. Version 1 is still served"] * 2
    back = "serve: the registry answers again, and names version 1, which is served"
    assert said.out.splitlines() == [back] * 2
