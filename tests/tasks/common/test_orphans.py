"""A stage whose DVC is killed ends too: the next run would write the same files at the same time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil

from tests.conftest import REPOSITORY

STAGE = """
import os, subprocess, sys, time
from pathlib import Path
from tasks.common.stage import stage

@stage
def main():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path("pids.part").write_text(f"{os.getpid()} {child.pid}")
    os.replace("pids.part", "pids")
    time.sleep(60)

main()
"""
# A shell that stays between DVC and the stage, as where a command has several parts.
PIPELINE = {False: "cmd: python slow.py", True: "cmd: 'true && python slow.py && true'"}


def test_a_stage_whose_dvc_was_killed_while_it_was_starting_does_not_begin(tmp_path):
    stage = (
        "import subprocess, sys\n"
        "shell = 'while kill -0 $PPID 2>/dev/null; do sleep 0.1; done; exec \"$0\" -m late'\n"
        "subprocess.Popen(['sh', '-c', shell, sys.executable], start_new_session=True)\n"
    )
    (tmp_path / "late.py").write_text(
        "from pathlib import Path\nfrom tasks.common.stage import stage\n"
        "Path('imported').touch()\n@stage\ndef main():\n    Path('begun').touch()\nmain()\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{tmp_path}", "DVC_STAGE": "late"}
    subprocess.run([sys.executable, "-c", stage], cwd=tmp_path, env=environment, check=True, timeout=30)
    _when((tmp_path / "imported").exists)
    time.sleep(2)
    assert not (tmp_path / "begun").exists()


def test_kill_minus_9_of_dvc_ends_its_stage_and_what_the_stage_has_started(tmp_path):
    for shell_between, command in PIPELINE.items():
        folder = tmp_path / str(shell_between)
        folder.mkdir()
        (folder / "slow.py").write_text(STAGE)
        (folder / "dvc.yaml").write_text(f"stages:\n  slow:\n    {command}\n")
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
        }
        subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=folder, check=True)
        dvc = subprocess.Popen(
            [sys.executable, "-m", "dvc", "repro", "-q"], cwd=folder, env=environment, start_new_session=True
        )
        try:
            pids = _when(lambda file=folder / "pids": file.is_file() and [int(pid) for pid in file.read_text().split()])
            dvc.send_signal(signal.SIGKILL)
            dvc.wait()
            _when(lambda pids=pids: not any(map(_runs, pids)))
        finally:
            dvc.kill()


def _when(condition, seconds: float = 30):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
