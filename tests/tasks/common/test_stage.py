"""What a command says when it fails: one message for what a user can act on, a traceback for a bug."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tasks.common.code.closure import Project
from tasks.common.code.running import lines_of
from tasks.common.stage import stage
from tests.conftest import REPOSITORY

STAGE = """
from model.errors import SpeechAlignError
from tasks.common.stage import stage

@stage
def main():
    {body}

main()
"""


def run(body: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", STAGE.format(body=body)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_an_error_that_a_user_can_act_on_is_one_message(tmp_path):
    done = run("raise SpeechAlignError('there is no data; run prepare')", tmp_path)

    assert done.returncode == 1
    assert done.stderr == "error: there is no data; run prepare\n(SPEECHALIGN_DEBUG=1 shows where)\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ENAMETOOLONG])
def test_a_fault_of_the_machine_or_a_name_is_one_message(tmp_path, number):
    done = run(f"import os; raise OSError({number}, os.strerror({number}), 'data/codes')", tmp_path)

    assert done.returncode == 1
    assert os.strerror(number) in done.stderr and "data/codes" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("bug", ["1 / 0", "int('x')", "{}['x']", "open('missing')", "raise ValueError('shapes')"])
def test_a_bug_keeps_its_traceback(tmp_path, bug):
    done = run(bug, tmp_path)

    assert done.returncode == 1
    assert done.stderr.startswith("Traceback") and "in main" in done.stderr


def test_a_file_that_ends_early_is_no_ctrl_d_for_click(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    @stage
    def main():
        raise EOFError("no end marker")

    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app)

    assert isinstance(result.exception, RuntimeError)
    assert "Aborted" not in result.output


def test_ctrl_c_says_that_nothing_is_lost(tmp_path):
    done = run("raise KeyboardInterrupt", tmp_path)

    assert done.returncode == 130
    assert done.stderr == "stopped; nothing half-written; run again to go on\n"


def test_the_debug_switch_shows_where_a_message_comes_from(tmp_path):
    done = run("raise SpeechAlignError('no data')", tmp_path, SPEECHALIGN_DEBUG="1")

    assert done.returncode == 1
    assert "in main" in done.stderr and "no data" in done.stderr


def test_the_time_of_a_stage_is_noted_in_a_workspace_only(tmp_path):
    assert run("pass", tmp_path).returncode == 0
    assert not list(tmp_path.iterdir())
    (tmp_path / "dvc.yaml").touch()
    assert run("pass", tmp_path).returncode == 0
    assert list(tmp_path.rglob("timings.jsonl"))


@pytest.fixture
def workspace(tmp_path):
    """A command, the code it runs and its digests as the stage ``code`` notes them."""
    for name in ("model", "tasks"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tasks/say").mkdir()
    (tmp_path / "tasks/say/words.py").write_text("WORDS = 1\n")
    body = "import os; from pathlib import Path; from tasks.say import words; exec(os.environ.get('MEANWHILE', ''))"
    (tmp_path / "tasks/say/__main__.py").write_text(STAGE.format(body=body))
    (tmp_path / ".code").mkdir()
    (tmp_path / ".code/tasks.say.txt").write_text(lines_of(Project(tmp_path).closure("tasks.say")))
    return tmp_path


def say(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": "", "DVC_STAGE": "say", **environment}
    command = [sys.executable, "-m", "tasks.say"]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what the tests inherit may ignore it
    )


CTRL_C = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"


def test_ctrl_c_while_a_stage_imports_its_modules_prints_no_frames(workspace):
    (workspace / "tasks/say/words.py").write_text(f"{CTRL_C}\nWORDS = 1\n")
    command = workspace / "tasks/say/__main__.py"
    command.write_text(f"from tasks.say import words\n{command.read_text()}")
    done = say(workspace, DVC_STAGE="")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("where", ["the work", "the check before it"])
def test_ctrl_c_during_a_stage_is_one_message(workspace, where):
    if where == "the work":
        (workspace / "tasks/say/words.py").write_text(f"{CTRL_C}\nWORDS = 1\n")
    else:
        running = workspace / "tasks/common/code/running.py"
        running.write_text(running.read_text().replace("    spec = getattr", f"    {CTRL_C}\n    spec = getattr"))
    done = say(workspace, DVC_STAGE="" if where == "the work" else "say")
    assert (done.returncode, done.stderr) == (130, "stopped; nothing half-written; run again to go on\n")


EDIT = "Path('tasks/say/words.py').write_text({!r})"


@pytest.mark.parametrize("meanwhile", ["", EDIT.format("WORDS = 1  # one\n")])
def test_a_stage_whose_code_stays_the_same_ends_well(workspace, meanwhile):
    assert say(workspace, MEANWHILE=meanwhile).returncode == 0


def test_an_edit_during_the_run_is_an_error(workspace):
    done = say(workspace, MEANWHILE=EDIT.format("WORDS = 2\n"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: the code of tasks.say changed during the run; run again\n")


def test_an_edit_after_the_digests_were_noted_is_an_error_though_it_is_reverted(workspace):
    (workspace / "tasks/say/words.py").write_text("WORDS = 2\n")
    done = say(workspace, MEANWHILE=EDIT.format("WORDS = 1\n"))
    assert done.returncode == 1 and "changed during the run" in done.stderr


def test_a_command_that_dvc_does_not_run_may_be_edited(workspace):
    (workspace / "tasks/say/words.py").write_text("WORDS = 2\n")
    assert say(workspace, DVC_STAGE="").returncode == 0
