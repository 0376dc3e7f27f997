"""One stage through DVC: its outcome, its words, and what happens when another process is at it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import threading
import time
from pathlib import Path

import pytest

from flows import graph, process, waiting
from flows.stage import FAILED, UNCHANGED, _Output, repro
from tasks.common.files import DataError
from tasks.common.stage import stage


def as_a_stage_says(message: str) -> list[str]:
    """What ``tasks.common.stage`` really prints of an error."""

    @stage
    def main() -> None:
        raise DataError(message)

    with contextlib.redirect_stderr(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        main()
    return printed.getvalue().splitlines()


@pytest.fixture(autouse=True)
def _allowed():
    process.allow()


def test_files_that_another_dvc_process_holds_are_waited_for(finished):
    lock = Path(".dvc/tmp/rwlock")
    held = str(Path("runs/2/policy").resolve())
    lock.write_text(json.dumps({"write": {held: {"pid": os.getpid(), "cmd": "another dvc"}}}))
    shown = []

    def show(text: str) -> None:
        shown.append(text)
        if "another DVC process" in text:
            lock.unlink()

    assert repro("align@2", 1, None, show).how == UNCHANGED
    assert shown == [f"waiting for another DVC process (PID {os.getpid()}): another dvc"]


def test_the_graph_waits_for_a_dvc_process_that_writes_what_it_reads(finished, monkeypatch):
    lock = Path(".dvc/tmp/rwlock")
    held = str(Path("runs/2/policy").resolve())
    lock.write_text(json.dumps({"write": {held: {"pid": os.getpid(), "cmd": "another dvc"}}}))
    said = []
    monkeypatch.setattr(waiting, "say", lambda message: (said.append(message), lock.unlink()))
    assert "align@2" in graph.read().stages
    assert said == [f"waiting for another DVC process (PID {os.getpid()}): another dvc"]


def test_a_second_run_waits_for_the_first_and_says_for_whom(finished, monkeypatch):
    monkeypatch.setattr(waiting, "SECONDS", 0.05)
    said, first = [], threading.Event()

    def run_first() -> None:
        with waiting.turn():
            first.set()
            deadline = time.monotonic() + 30
            while not said and time.monotonic() < deadline:
                time.sleep(0.05)

    thread = threading.Thread(target=run_first)
    thread.start()
    assert first.wait(30)
    with waiting.turn(said.append):
        assert said and said[0].startswith(f"waiting for another run in this folder, process {os.getpid()}")
    thread.join()
    said.clear()
    with waiting.turn(said.append):
        assert not said  # the first has given it back


def test_a_missing_input_is_told_as_dvc_tells_it(finished):
    Path("runs/1/policy").unlink()
    outcome = repro("align@2", 1, None, lambda _: None)
    assert outcome.how == FAILED
    assert "runs/1/policy" in outcome.message
    assert "\n" not in outcome.message


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (["UserWarning: old", *as_a_stage_says("lr: too large")], "lr: too large"),
        (
            as_a_stage_says("2 problem(s):\n  lr: too large\n  beta: missing"),
            "2 problem(s):\n  lr: too large\n  beta: missing",
        ),
        (as_a_stage_says("no codec: expected one of\n['a', 'b']"), "no codec: expected one of\n['a', 'b']"),
        (
            ["UserWarning: old", "2 problem(s):", "  lr: too large", "  beta: missing"],
            "2 problem(s):\n  lr: too large\n  beta: missing",
        ),
        (["Traceback (most recent call last):", '  File "a.py", line 1', "KeyError: 'x'"], "KeyError: 'x'"),
    ],
)
def test_a_failure_is_told_in_the_stages_own_words(said, reason):
    output = _Output("align@1", lambda _: None)
    for line in (*said, "ERROR: failed to reproduce 'align@1': failed to run: python x.py, exited with 1"):
        output.line("stderr", line)
    assert output.reason(1) == reason


def test_a_killed_stage_says_by_what():
    output = _Output("align@1", lambda _: None)
    output.line("stderr", "UserWarning: old")
    output.line("stderr", "ERROR: failed to reproduce 'align@1': failed to run: python x.py, exited with -9")
    assert output.reason(1).startswith("killed by signal 9")


def test_where_dvc_itself_was_killed_no_earlier_kill_is_named():
    output = _Output("align@1", lambda _: None)
    output.line("stderr", "WARNING: Process 'dvc repro' with (Pid 12), had been killed. Auto removed it")
    assert output.reason(-15) == "DVC was killed by signal 15"
    output.line("stderr", "ERROR: failed to reproduce 'align@1'")
    assert output.reason(1) == "failed to reproduce 'align@1'"
