"""A run waits for an MLflow server that was there when it began, and sends what the server missed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from flows import process, tracked
from tasks.common.files import write_json
from tasks.common.tracking import patience
from tasks.common.tracking.outbox import UNSENT
from tests.flows.conftest import PROJECT
from tests.flows.health import serving


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that says that it is well."""
    with serving() as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        yield address


def test_stages_of_a_run_that_has_found_mlflow_wait_for_it(address):
    with tracked.patiently():
        assert float(os.environ[patience.SECONDS]) == patience.AWAY_SECONDS
    assert patience.SECONDS not in os.environ


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:///mlflow.db"])
def test_stages_of_other_runs_refuse_at_once(uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with tracked.patiently():
        assert patience.SECONDS not in os.environ


def test_what_the_user_has_chosen_stays(address, monkeypatch):
    monkeypatch.setenv(patience.SECONDS, "5")
    with tracked.patiently():
        assert os.environ[patience.SECONDS] == "5"
    assert os.environ[patience.SECONDS] == "5"


def test_points_that_mlflow_still_lacks_at_the_end_of_a_run_are_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv(patience.SECONDS, "600")  # of the stages: the end of a run waits for nothing
    process.allow()
    said: list[str] = []
    tracked.deliver(said.append)
    assert not said
    write_json(UNSENT / "a.json", {"points": [["loss", 0.5, 1, 3]]})
    tracked.deliver(said.append)
    assert len(said) == 1 and "127.0.0.1:9" in said[0] and said[0].endswith("the next run sends them")
    assert tracked.lacking()
