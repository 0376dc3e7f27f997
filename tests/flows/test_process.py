"""A child's output arrives as it comes, and nothing of it outlives the call."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from flows import process
from tests.flows.conftest import PROJECT, alive, gone, wait_for

# A child that waits for two others: one in its group, one in a session of its own that ignores SIGTERM.
SLEEPER = """
import os, subprocess, sys, time
own = subprocess.Popen(["sleep", "300"])
stray = subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 300 & wait; wait"], start_new_session=True)
open("pids.part", "w").write(f"{os.getpid()} {own.pid} {stray.pid}")
os.rename("pids.part", "pids")
time.sleep(300)
"""


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    process.allow()


def run_python(code: str, timeout: float | None = None) -> tuple[int, list[tuple[str, str]]]:
    lines: list[tuple[str, str]] = []
    code_ = process.run([sys.executable, "-uc", code], os.environ, lambda *line: lines.append(line), timeout)
    return code_, lines


def sleeping() -> list[int]:
    wait_for(Path("pids").is_file)
    return [int(pid) for pid in Path("pids").read_text().split()]


def test_lines_of_both_streams_and_the_exit_code():
    code, lines = run_python("import sys; print('a\\rb'); print('c', file=sys.stderr); print('é', end=''); sys.exit(3)")
    assert code == 3
    assert sorted(lines) == [("stderr", "c"), ("stdout", "a"), ("stdout", "b"), ("stdout", "é")]


def test_lines_arrive_while_the_child_runs():
    code = "import os, time\nprint('first')\nwhile not os.path.exists('seen'): time.sleep(0.05)\n"
    process.run([sys.executable, "-uc", code], os.environ, lambda *_: Path("seen").touch(), timeout=60)
    assert Path("seen").exists()


def test_the_time_limit_ends_the_child_and_all_it_started():
    # The limit is long enough for the child to start its own children on a busy machine.
    with pytest.raises(process.TimeLimitError, match="longer than 8 s"):
        run_python(SLEEPER, timeout=8)
    gone(sleeping())


def test_an_error_in_the_caller_ends_the_child():
    def broken(*_: str) -> None:
        raise KeyError("reader")

    with pytest.raises(KeyError):
        process.run(["sh", "-c", "echo $$ > pids; echo x; sleep 300"], os.environ, broken)
    gone(sleeping())


def test_what_a_finished_child_leaves_running_is_ended():
    code, _ = run_python("import subprocess\nopen('pids', 'w').write(str(subprocess.Popen(['sleep', '300']).pid))")
    assert code == 0
    gone(sleeping())


def test_variables_are_those_of_the_block_and_put_back(monkeypatch):
    monkeypatch.setenv("SPEECHALIGN_ONE", "1")
    with process.variables({"SPEECHALIGN_ONE": "2", "SPEECHALIGN_TWO": "2"}):
        _, lines = run_python("import os; print(os.environ['SPEECHALIGN_ONE'], os.environ['SPEECHALIGN_TWO'])")
    assert lines == [("stdout", "2 2")]
    assert os.environ["SPEECHALIGN_ONE"] == "1" and "SPEECHALIGN_TWO" not in os.environ


def test_stop_all_ends_running_children_and_starts_no_other():
    raised: list[BaseException] = []

    def target() -> None:
        try:
            run_python(SLEEPER)
        except process.StoppedError as error:
            raised.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    pids = sleeping()
    assert alive(pids) == pids
    process.stop_all()
    thread.join(30)
    assert len(raised) == 1
    gone(pids)
    with pytest.raises(process.StoppedError):
        run_python("pass")


def test_a_killed_flow_leaves_nothing_either():
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, sys; from flows import process;"
            "process.run(['sh', '-c', 'sleep 300 & echo $$ $! > pids; wait'], os.environ, lambda *_: None)",
        ],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    pids = sleeping()
    pids += [one.pid for one in psutil.Process(owner.pid).children()]  # the watcher among them
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    gone(pids)
