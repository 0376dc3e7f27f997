"""``speechalign``: what it prints, how it ends, and that nothing outlives it."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import tomllib
import urllib.request
from importlib.metadata import EntryPoint
from pathlib import Path

import psutil
import pytest
from prefect.settings import PREFECT_HOME, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, temporary_settings
from typer.testing import CliRunner

from flows import __main__ as start
from flows import cli, process, server, stopping
from tests.flows.conftest import PROJECT, gone
from tests.tasks.prefer.votes.listening import systems

# The toy project has settings of its own, which the project's schema does not know.
TOY = "from tasks.common import params; params.load = lambda: None; from flows.cli import main; main()"


def heed_ctrl_c() -> None:
    """Undo what tests inherit that a shell runs in the background: Ctrl-C is ignored. At a terminal it is not."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup ignores
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def command(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", TOY, *arguments],
        env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    )


def test_the_installed_command_is_this_one():
    scripts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["scripts"]

    assert EntryPoint("speechalign", scripts["speechalign"], "console_scripts").load() is start.main


def test_help_names_every_command_and_loads_nothing_heavy():
    code = "import sys; from flows.cli import app; app(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)

    for name in ("run", "evaluate", "study", "say", "serve", "votes", "profile"):
        assert f" {name} " in done.stdout
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"torch", "prefect", "mlflow", "dvc", "pyarrow", "numpy"}


@pytest.mark.parametrize(
    "arguments", [["say", "--help"], ["serve", "--help"], ["profile"], ["profile", "use", "--help"]]
)
def test_the_commands_of_other_packages_explain_themselves_under_this_name(arguments):
    result = CliRunner().invoke(cli.app, arguments, prog_name="speechalign")

    assert f"Usage: speechalign {arguments[0]} " in result.output


def test_arguments_reach_the_commands_of_other_packages(tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    result = CliRunner().invoke(cli.app, ["profile", "show", "fsdd"])
    assert "prepare.corpus: synthetic -> fsdd" in result.output

    result = CliRunner().invoke(cli.app, ["say", "one", "--prompt", str(tmp_path / "gone.wav")])
    assert result.exit_code == 1
    assert "there is no voice prompt" in result.output


@pytest.mark.parametrize("arguments", [["run"], ["evaluate"], ["study"], ["profile", "show"], ["say", "one"]])
def test_outside_the_repository_it_says_where_to_run(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli.app, arguments)

    assert result.exit_code == 1
    assert f"run speechalign in the repository's top folder: cd {PROJECT}" in result.output
    assert not list(Path().iterdir())


def test_a_listening_test_of_two_folders_needs_no_repository(tmp_path, monkeypatch):
    systems(tmp_path, texts=2)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.app, ["votes", "before", "after", "--texts", "texts.csv"], prog_name="speechalign")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "listening/vote.html").is_file()
    done = CliRunner().invoke(cli.app, ["votes", "check", "votes.csv", "--iteration", "1"], prog_name="speechalign")
    assert done.exit_code == 3 and "params.yaml" in done.output


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


def test_a_wrong_target_is_one_message(finished):
    process = command("run", "--targets", "evalute")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors.splitlines()[0].startswith("error: dvc.yaml has no stage 'evalute'")
    assert len(errors.splitlines()) == 2


@pytest.mark.parametrize("name", ["run", "evaluate", "study"])
def test_unusable_settings_are_refused_before_anything_starts(finished, name):
    # The toy's own blocks are keys that the project's schema does not know.
    result = CliRunner().invoke(cli.app, [name])

    assert result.exit_code == 1
    assert "trouble: unknown key" in result.output
    assert finished.calls() == []


def test_an_iteration_that_does_not_exist_is_refused_without_prefect(finished):
    process = command("evaluate", "--iterations", "9", PREFECT_API_URL="http://127.0.0.1:9/api")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors.splitlines()[0] == "error: there is no iteration 9; there are 0, 1, 2"
    assert len(errors.splitlines()) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_leaves_no_process(finished, prefect_api, number):
    """After Ctrl-C, SIGTERM, and SIGKILL, which leaves the flow no time (of a worker: test_deployment)."""
    iterations = {"1": {"prev": "0", "rise": 0.001}, "2": {"prev": "1", "rise": 0.0}}
    finished.set(iterations=iterations, trouble={"policy@1": {"sleep": True}})
    process = command("run", "--targets", "align@1", PREFECT_API_URL=prefect_api)
    stage, child, stray = finished.pids(timeout=120)
    process.send_signal(number)
    process.communicate(timeout=120)
    assert process.returncode != 0
    if number != signal.SIGKILL:
        assert process.returncode == 130
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


def test_without_a_server_a_failure_ends_with_the_stages_message(finished):
    iterations = {"1": {"prev": "0", "rise": 0.001}, "2": {"prev": "1", "rise": 0.0}}
    finished.set(iterations=iterations, trouble={"policy@1": {"message": "no codes in data/codes"}})
    process = command("run", "--targets", "align@1", PREFECT_API_URL="")
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 1
    assert "error: align@1: no codes in data/codes" in errors.splitlines()
    assert "Traceback" not in errors


def at_a_terminal(*arguments: str) -> subprocess.Popen[str]:
    """Run the command as a shell does: it leads a process group, which Ctrl-C is sent to."""
    return subprocess.Popen(
        [sys.executable, "-c", TOY, *arguments],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "PREFECT_API_URL": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: (os.setsid(), signal.signal(signal.SIGINT, signal.SIG_DFL)),
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", ["Ctrl-C", "Ctrl-C while the server hangs", "kill -9"])
def test_ctrl_c_at_a_terminal_ends_the_run_its_stages_and_its_server(finished, how):
    iterations = {"1": {"prev": "0", "rise": 0.001}, "2": {"prev": "1", "rise": 0.0}}
    finished.set(iterations=iterations, trouble={"policy@1": {"sleep": True}})
    process = at_a_terminal("run", "--targets", "align@1")
    stray = finished.pids(timeout=200)[-1]
    below = psutil.Process(process.pid).children(recursive=True)
    servers = [one for one in below if "uvicorn" in one.cmdline()]
    assert servers
    if "hangs" in how:
        servers[0].suspend()
    os.killpg(process.pid, signal.SIGKILL if how == "kill -9" else signal.SIGINT)
    _, errors = process.communicate(timeout=30)

    gone([one.pid for one in below if one.pid != stray])
    if how == "kill -9":
        os.kill(stray, signal.SIGKILL)  # it left the stage's own session: only a living flow finds it
        return
    gone([stray])
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "stopped; the next run goes on from the last finished stage"
    assert "Traceback" not in errors and "Crash" not in errors


def finish(code: str) -> subprocess.CompletedProcess[str]:
    """Run Python code that heeds Ctrl-C to its end."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=50,
        preexec_fn=heed_ctrl_c,
    )


def test_a_second_ctrl_c_ends_at_once():
    code = "import os, signal, time; from flows import stopping; stopping.SECONDS = 100; stopping.install()\n"
    code += "try: os.kill(os.getpid(), signal.SIGINT); time.sleep(1)\nexcept KeyboardInterrupt: pass\n"
    code += "os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"
    done = finish(code)
    assert (done.returncode, done.stderr.count("stopped")) == (130, 1)


def test_a_second_ctrl_c_ends_a_run_that_holds_the_lock_of_its_children():
    code = "import os, signal, time; from flows import process, stopping; stopping.SECONDS = 100; stopping.install()\n"
    code += "try: os.kill(os.getpid(), signal.SIGINT); time.sleep(1)\nexcept KeyboardInterrupt: pass\n"
    code += "with process._lock: os.kill(os.getpid(), signal.SIGINT); time.sleep(0.1)\n"
    code += "time.sleep(60)"
    done = finish(code)
    assert (done.returncode, done.stderr) == (130, f"{stopping.MESSAGE}\n")


def test_a_run_that_cannot_end_its_children_leaves_all_the_same():
    """The watchers of the children then see the flow end."""
    code = "import os, signal, time; from flows import process, stopping; stopping.SECONDS = 0.1; stopping.install()\n"
    code += "stopping.LEAVING_SECONDS = 0.1; process.kill_all = lambda: time.sleep(60)\n"
    code += "try: os.kill(os.getpid(), signal.SIGINT); time.sleep(1)\nexcept KeyboardInterrupt: pass\n"
    code += "time.sleep(60)"
    done = finish(code)
    assert (done.returncode, done.stderr) == (130, "")


def test_what_ctrl_c_breaks_is_not_shown():
    """A library may turn the interruption of its import into an error of its own."""
    code = """if True:
        import os, signal, time
        from flows import cli
        def broken(**_):
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(60)
            except KeyboardInterrupt:
                raise ImportError("half imported")
        cli.app = broken
        cli.main()
    """
    done = finish(code)
    assert (done.returncode, done.stderr) == (130, f"{stopping.MESSAGE}\n")


def test_a_print_that_fails_before_the_signal_of_a_closed_terminal_comes_is_no_error():
    """The system closes the terminal first and tells the process then."""
    code = """if True:
        import errno, os, signal, threading
        from flows import cli
        def printing(**_):
            HANGUP
            raise OSError(errno.EIO, "Input/output error")
        cli.app = printing
        cli.main()
    """
    done = finish(code.replace("HANGUP", "threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGHUP)).start()"))
    assert (done.returncode, done.stderr) == (130, f"{stopping.MESSAGE}\n")
    done = finish(code.replace("HANGUP", "pass"))
    assert done.returncode == 1 and "Input/output error" in done.stderr  # of a disk


def test_a_terminal_that_closes_ends_the_command():
    """Its SIGHUP comes when nothing can be printed any more."""
    code = """if True:
        import time
        from flows import cli
        def work(**_):
            print("ready", flush=True)
            try:
                time.sleep(60)
            finally:
                print("tidying up", flush=True)
        cli.app = work
        cli.main()
    """
    child, terminal = pty.fork()
    if child == 0:
        heed_ctrl_c()
        os.execve(sys.executable, [sys.executable, "-c", code], {**os.environ, "PYTHONPATH": str(PROJECT)})
    shown = b""
    while b"ready" not in shown:
        shown += os.read(terminal, 100)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130


def test_ctrl_c_after_the_work_prints_no_frames():
    code = "import os, signal, time; from flows import stopping; stopping.install(); stopping.finish(); "
    code += "os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"
    done = finish(code)
    assert (done.returncode, done.stderr) == (130, f"{stopping.MESSAGE}\n")


@pytest.mark.parametrize(
    "start",
    ["import runpy; runpy.run_module('flows', run_name='__main__')", "from flows.__main__ import main; main()"],
    ids=["python -m flows", "speechalign"],
)
def test_ctrl_c_while_modules_are_imported_prints_no_frames(start):
    code = f"""if True:
        import importlib.abc, os, signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)
        class Early(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path=None, target=None):
                if name == "flows.cli":
                    os.kill(os.getpid(), signal.SIGINT)
        sys.meta_path.insert(0, Early())
        {start}
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:9/api", "http://no-such-host.invalid/api", "http://127.0.0.1:port/api", "localhost:4200/api"],
)
def test_a_prefect_server_that_is_not_there_is_one_message(finished, address):
    finished.set(prepare={"words": 4})
    process = command("run", PREFECT_API_URL=address)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors.startswith(f"error: expected a Prefect server at PREFECT_API_URL={address}, found: ")
    assert len(errors.splitlines()) == 2
    assert finished.calls() == []


@pytest.mark.parametrize("answer", [b"HTTP/1.0 200 OK\r\n\r\n<html>hello</html>", b"220 mail.example ESMTP\r\n", b""])
def test_a_server_that_is_not_prefects_is_one_message(answer):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client = listener.accept()[0]
            with client:
                client.recv(65536)
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
        with pytest.raises(server.ServerError, match=r"expected a Prefect server at .*, found: "):
            server._check(address)
        thread.join(30)


@pytest.mark.parametrize("known", ["", "example.org", "localhost, 127.0.0.1"])
def test_the_temporary_server_is_asked_without_a_proxy(monkeypatch, known):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", known)
    server._past_proxies()
    assert urllib.request.proxy_bypass("127.0.0.1")
    assert not known or urllib.request.proxy_bypass(known.partition(",")[0])


@pytest.mark.parametrize(
    ("app", "seconds", "said"),
    [
        (server.APP, 0, r"did not answer within 0 s.* give it longer"),
        ("no.such:app", 600, r"ended with status \d+; .*server\.log says why"),
    ],
)
def test_a_temporary_server_that_is_too_slow_is_told_from_one_that_ends(monkeypatch, tmp_path, app, seconds, said):
    process.allow()
    monkeypatch.setattr(server, "APP", app)
    settings = {PREFECT_HOME: tmp_path, PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: seconds}
    with temporary_settings(settings), pytest.raises(server.ServerError, match=said), server._temporary():
        pass
    assert (tmp_path / "server.log").is_file()
