"""The command, with a registry and policies in miniature: the bytes of ``say``, and the alias followed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from typer import Typer
from typer.testing import CliRunner

from serving import __main__ as command
from serving.champion import Source
from tasks.common.files import DataError
from tasks.common.tracking.client import connect
from tasks.register import __main__ as register
from tasks.register import say
from tests.serving.running import post, send
from tests.tasks.conftest import empty_mlflow_db, sqlite  # noqa: F401  (fixtures)
from tests.tasks.register import tiny

PROJECT = Path(__file__).resolve().parents[2]
NAME = "speechalign-policy"
TEXTS = {"wav": "one two", "flac": "One two. Three?\nFour!"}


def run(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "serving", *arguments],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1", **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def said(folder: Path, kind: str, version: int, seed: int) -> bytes:
    app = Typer()
    app.command()(say.main)
    out = folder / f"said.{kind}"
    options = ["--prompt", "voices/alice.wav", "--out", str(out), "--seed", str(seed), "--temperature", "0.7"]
    result = CliRunner().invoke(app, [TEXTS[kind], *options, "--model", f"models:/{NAME}/{version}"])
    assert result.exit_code == 0, result.output
    return out.read_bytes()


def test_the_champion_is_served_with_the_bytes_of_say_and_followed(sqlite: str, tmp_path: Path):  # noqa: F811
    params = tiny.params(tmp_path, iterations=2)
    tiny.write_loop(tmp_path, params, [tiny.judged(), tiny.judged(wer=0.5)])
    register.register(params, torch.device("cpu"))  # version 1 is the champion, 2 is worse
    (tmp_path / "voices").mkdir()
    tiny.write_prompt(tmp_path / "voices/alice.wav", seconds=2)
    server = run("--port", "0", "--voices", "voices", "--poll", "0.2")
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert "version 1 at http://127.0.0.1:" in line
        address = line.split()[-1]

        def ask(kind: str, seed: int = 3) -> tuple[str, bytes]:
            body = {"input": TEXTS[kind], "voice": "alice", "seed": seed, "temperature": 0.7, "response_format": kind}
            reply = post(address, body)
            assert reply.status == 200, reply.message
            return reply.headers["X-Model-Version"], reply.body

        for kind in TEXTS:
            assert ask(kind) == ("1", said(tmp_path, kind, version=1, seed=3))
        refused = post(address, {"input": "one \u4e8c", "voice": "alice"})
        assert refused.status == 400 and "\u4e8c" in refused.message  # by the policy itself

        connect().set_registered_model_alias(NAME, "champion", "2")
        versions = []
        deadline = time.monotonic() + 120
        with ThreadPoolExecutor(2) as clients:
            while "2" not in versions:
                assert time.monotonic() < deadline
                versions += [version for version, _ in clients.map(ask, ["wav", "wav"])]  # none is refused
        assert versions[0] == "1"
        assert ask("wav") == ("2", said(tmp_path, "wav", version=2, seed=3))
        assert json.loads(send(f"{address}/health").body)["version"] == "2"

        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    finally:
        server.kill()
        server.wait()


def test_without_a_champion_nothing_is_served(sqlite: str):  # noqa: F811
    with pytest.raises(DataError, match="has no champion in the registry"):
        Source.parse(f"models:/{NAME}@champion").version()
    with pytest.raises(DataError, match="has no 7 in the registry"):
        Source.parse(f"models:/{NAME}/7").version()


def test_models_are_named_by_alias_or_version():
    assert Source.parse("models:/a@champion") == Source("a", "champion", None)
    assert Source.parse("models:/a/3") == Source("a", None, "3")
    for address in ("a", "models:/a", "models:/a/latest", "runs:/1/a"):
        with pytest.raises(DataError, match="expected models:/NAME@ALIAS"):
            Source.parse(address)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_other_machines_need_a_token(monkeypatch: pytest.MonkeyPatch, host: str):
    monkeypatch.delenv(command.TOKEN, raising=False)
    with pytest.raises(DataError, match=f"set {command.TOKEN}"):
        command.token_for(host)
    monkeypatch.setenv(command.TOKEN, "short")
    with pytest.raises(DataError, match="has 5 characters"):
        command.token_for(host)
    monkeypatch.setenv(command.TOKEN, "long enough for this")
    assert command.token_for(host) == "long enough for this"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_this_machine_needs_none(monkeypatch: pytest.MonkeyPatch, host: str):
    monkeypatch.delenv(command.TOKEN, raising=False)
    assert command.token_for(host) is None


def test_an_address_in_use_is_one_message():
    with command.listen("127.0.0.1", 0) as taken, pytest.raises(DataError, match="choose another --port"):
        command.listen("127.0.0.1", taken.getsockname()[1])
