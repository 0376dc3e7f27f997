"""``python -m flows``: what it says, how it ends, and that nothing outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.flows.conftest import PROJECT, gone


def command(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "flows", *arguments],
        env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that a shell runs in the background inherit that Ctrl-C is ignored; a command at a terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_nothing_to_do_is_said_without_prefect(finished):
    # An address where no server is: had Prefect been asked for anything, the run would fail.
    process = command("run", PREFECT_API_URL="http://127.0.0.1:9/api")
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "nothing to do: all 10 stages are up to date" in printed
    assert "10.0 [9.0, 11.0]" in printed
    assert finished.calls() == []


def test_help_names_the_options(finished):
    printed, _ = command("run", "--help", COLUMNS="120").communicate(timeout=120)
    for option in ("--jobs", "--no-early-stop", "--targets", "--retries", "--timeout"):
        assert option in printed


def test_a_wrong_target_is_one_line_and_no_traceback(finished):
    process = command("run", "--targets", "evalute")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors.splitlines()[0].startswith("dvc.yaml has no stage 'evalute'")
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_leaves_no_process(finished, prefect_api, number):
    """Ctrl-C, a polite kill, and one that leaves the flow no time for anything (of a worker: test_deployment)."""
    iterations = {"1": {"prev": "0", "rise": 0.001}, "2": {"prev": "1", "rise": 0.0}}
    finished.set(iterations=iterations, trouble={"policy@1": {"sleep": True}})
    process = command("run", "--targets", "align@1", PREFECT_API_URL=prefect_api)
    stage, child, stray = finished.pids(timeout=120)
    process.send_signal(number)
    process.communicate(timeout=120)
    assert process.returncode != 0
    if number != signal.SIGKILL:
        gone([stage, child, stray])
        return
    gone([stage, child])
    os.kill(stray, signal.SIGKILL)  # it left the stage's own session: only a living flow finds it
    # DVC was killed in mid-stage, and the next run goes on from the last whole stage.
    finished.set(trouble={})
    process = command("run", "--targets", "align@1", PREFECT_API_URL=prefect_api)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert finished.calls() == ["policy@1", "policy@1"]


def test_without_a_server_a_failure_ends_as_the_stages_message(finished):
    iterations = {"1": {"prev": "0", "rise": 0.001}, "2": {"prev": "1", "rise": 0.0}}
    finished.set(iterations=iterations, trouble={"policy@1": {"message": "no codes in data/codes"}})
    process = command("run", "--targets", "align@1", PREFECT_API_URL="")
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 1
    assert "align@1: no codes in data/codes" in errors.splitlines()
    assert "Traceback" not in errors
