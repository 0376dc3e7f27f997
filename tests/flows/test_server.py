"""What a run does while Prefect's server is away."""

from __future__ import annotations

import contextlib
import inspect
import logging

import prefect._internal.concurrency.services
import prefect.events.clients
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import process, server
from tests.flows.health import serving
from tests.mlflow_server import free_port


def test_the_end_of_a_run_waits_for_a_server_that_went_away(monkeypatch):
    monkeypatch.setattr(server, "PAUSE_SECONDS", 0.01)
    process.allow()
    port, said = free_port(), []
    with contextlib.ExitStack() as back:

        def show(text: str) -> None:
            said.append(text)
            back.enter_context(serving(port))

        with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
            server.wait_until_back(show)
            server.wait_until_back(show)
    assert len(said) == 1
    assert said[0].startswith(f"the stages have ended; waiting for Prefect's server at http://127.0.0.1:{port}/api")


def test_a_server_that_stays_away_is_not_waited_for_without_end(monkeypatch):
    monkeypatch.setattr(server, "AWAY_SECONDS", 0.2)
    monkeypatch.setattr(server, "PAUSE_SECONDS", 0.01)
    process.allow()
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        server.wait_until_back(lambda _: None)


@pytest.mark.parametrize(
    ("name", "module", "words"),
    [
        ("prefect.events.clients", prefect.events.clients, "Unable to connect to %r"),
        (
            "prefect._internal.concurrency",
            prefect._internal.concurrency.services,
            "Service %r failed to process item %r",
        ),
    ],
)
def test_events_that_a_server_did_not_take_are_one_line(name, module, words, capsys, caplog):
    assert words in inspect.getsource(module)  # Prefect's own
    with server._one_line_for_an_outage("http://me:hunter22@127.0.0.1:9/api"):
        for _ in range(3):
            logging.getLogger(name).error(words, *["x"] * words.count("%"))
        logging.getLogger(name).error("something else")
    said = capsys.readouterr().err
    assert said.count("does not answer; the run goes on") == 1 and "hunter22" not in said
    assert words.partition("%")[0] not in said and words.partition("%")[0] not in caplog.text
