"""``speechalign serve`` under load: ``python -m benchmarks.serving``.

Registers a policy in a new folder, serves it by the real command on loopback, and lets many clients ask at once. Each
answer is compared with the file that ``speechalign say`` writes for the same text, voice and seed. Meanwhile hostile
requests come in, and the alias moves to a second version. Prints answers lost or mixed, throughput, latency, the
memory of server and workers over the run, and how long each refusal took.

``--policy tiny`` serves an untrained policy of the same kind: thousands of requests in a minute, for the memory.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import soundfile
import typer
from typer.testing import CliRunner

from benchmarks.serving_requests import HOSTILE, ask, slow_body
from tasks.common.params import load

PROJECT = Path(__file__).resolve().parent.parent
MODEL = "speechalign-policy"
VOICES = {"alice": "Diogo-100-30", "bob": "f1-90-58"}  # of espeak-ng
TEXTS = ["one", "seven two", "nine", "four. six"]
DECODING = {"temperature": 0.5, "top_k": 0, "top_p": 1.0, "max_frames_per_character": 12.0}


@dataclass
class Counts:
    """What the clients saw."""

    seconds: list[float] = field(default_factory=list)
    lost: int = 0
    mixed: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    memory: list[tuple[int, int, int]] = field(default_factory=list)  # answers, server and workers in bytes
    refusals: list[tuple[str, int, float]] = field(default_factory=list)


def main(
    policy: Annotated[str, typer.Option(help="a folder with ar/ and nar/, or tiny")] = "checkpoints/policy",
    clients: int = 50,
    requests: int = 2000,
    seconds: Annotated[float, typer.Option(help="stop after this long, with fewer requests")] = 240.0,
    workers: int = 1,
) -> None:
    """Run the load and print what came of it."""
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
    with tempfile.TemporaryDirectory() as temporary, contextlib.chdir(temporary):
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{temporary}/mlflow.db"
        folders = _tiny(Path(temporary)) if policy == "tiny" else _folders(PROJECT / policy)
        for _ in range(2):
            _register(*folders)
        voices = _voices(Path("voices"))
        wanted = {case: _said(*case) for case in itertools.product(TEXTS, VOICES, [1])}
        with _served(workers, clients) as (process, address):
            counts = _load(process, address, wanted, voices, clients, requests, seconds)
    _report(counts, policy, clients, workers)
    if counts.lost or counts.mixed:
        raise SystemExit(1)


def _folders(policy: Path) -> tuple[Path, Path, Path]:
    return policy / "ar", policy / "nar", PROJECT / "checkpoints/codec"


def _tiny(folder: Path) -> tuple[Path, Path, Path]:
    """Make an untrained policy and codec of the same kind; its samples run into the length limit."""
    import torch

    from model import nar, policy
    from model.codecs import encodec

    torch.manual_seed(0)
    codec = encodec.CodecConfig(
        sample_rate=8000, ratios=(8, 5), n_filters=2, dimension=8, n_codebooks=2, codebook_size=16
    )
    encodec.save(encodec.build(codec), codec, folder / "codec")
    shape = policy.ArShape(layers=1, width=16, heads=2, max_positions=512)
    policy.save(policy.build(shape, codec.codebook_size), folder / "ar")
    sizes = nar.NarConfig(codec.n_codebooks, codec.codebook_size, layers=1, width=16, heads=2)
    nar.save(nar.Nar(sizes), folder / "nar")
    return folder / "ar", folder / "nar", folder / "codec"


def _register(ar: Path, nar: Path, codec: Path) -> None:
    """Register a version as ``tasks.register`` does, without an evaluation; the first is the champion."""
    import mlflow

    from tasks.common.tracking.client import connect, experiment_id
    from tasks.register import policy_model, versions

    client = connect()
    artifacts = {policy_model.AR: str(ar), policy_model.NAR: str(nar), policy_model.CODEC: str(codec)}
    prompt_frames = load(PROJECT / "params.yaml").prompt_frames
    with mlflow.start_run(experiment_id=experiment_id(client)) as run:
        info = mlflow.pyfunc.log_model(
            name="policy",
            python_model=str(Path(policy_model.__file__)),
            artifacts=artifacts,
            code_paths=[str(PROJECT / "model")],
            model_config={**versions.RUNTIME, "decoding": DECODING, "prompt_frames": prompt_frames},
            signature=versions.signature(DECODING),
            pip_requirements=[],  # the server uses this environment
        )
    if versions.registered(client, MODEL) is None:
        client.create_registered_model(MODEL)
    version = client.create_model_version(MODEL, info.model_uri, run.info.run_id, model_id=info.model_id)
    if int(version.version) == 1:
        client.set_registered_model_alias(MODEL, "champion", "1")


def _voices(folder: Path) -> dict[str, bytes]:
    from model.espeak import SAMPLE_RATE, synthesize

    folder.mkdir()
    for name, voice in VOICES.items():
        soundfile.write(folder / f"{name}.wav", synthesize("three eight five one zero", voice), SAMPLE_RATE)
    return {name: (folder / f"{name}.wav").read_bytes() for name in VOICES}


def _said(text: str, voice: str, seed: int) -> bytes:
    """Return the file that ``speechalign say`` writes."""
    from tasks.register import say

    app = typer.Typer()
    app.command()(say.main)
    options = ["--prompt", f"voices/{voice}.wav", "--seed", str(seed), "--out", "said.wav"]
    result = CliRunner().invoke(app, [text, *options])
    if result.exit_code:
        raise RuntimeError(f"say failed: {result.output}")
    return Path("said.wav").read_bytes()


@contextlib.contextmanager
def _served(workers: int, clients: int) -> Iterator[tuple[psutil.Process, str]]:
    command = [sys.executable, "-m", "serving", "--port", "0", "--voices", "voices", "--workers", str(workers)]
    command += ["--queue", str(clients + 20), "--wait", "600", "--poll", "0.5"]
    process = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(PROJECT)}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if "http://" not in line:
            raise RuntimeError("the server did not start; its output says why")
        yield psutil.Process(process.pid), line.split()[-1]
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    finally:
        process.kill()
        process.wait()


def _load(
    process: psutil.Process,
    address: str,
    wanted: dict[tuple[str, str, int], bytes],
    voices: dict[str, bytes],
    clients: int,
    requests: int,
    seconds: float,
) -> Counts:
    counts, lock, deadline = Counts(), threading.Lock(), time.monotonic() + seconds
    cases = itertools.cycle(wanted.items())

    def client() -> None:
        while time.monotonic() < deadline:
            with lock:
                if (asked := len(counts.seconds) + counts.lost + waiting[0]) >= requests:
                    return
                waiting[0] += 1
                (text, voice, seed), expected = next(cases)
            # Every other request brings its voice along.
            own = {"audio": base64.b64encode(voices[voice]).decode()} if asked % 2 else voice
            began = time.monotonic()
            reply = ask(address, {"input": text, "voice": own, "seed": seed})
            with lock:
                waiting[0] -= 1
                if reply.status != 200:
                    counts.lost += 1
                    continue
                counts.seconds.append(time.monotonic() - began)
                counts.mixed += reply.body != expected
                counts.versions[reply.version] = counts.versions.get(reply.version, 0) + 1

    waiting = [0]
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    moved = hostile = False
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.2)
        done = len(counts.seconds)
        step = max(1, requests // 20)
        if len(counts.memory) <= done // step:
            counts.memory.append((done, process.memory_info().rss, _workers(process)))
        if not moved and done >= requests // 40:
            _move_alias()
            moved = True
        if not hostile and done >= requests // 20:
            counts.refusals = _hostile(address)
            hostile = True
    counts.memory.append((len(counts.seconds), process.memory_info().rss, _workers(process)))
    return counts


def _workers(process: psutil.Process) -> int:
    total = 0
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            total += child.memory_info().rss
    return total


def _move_alias() -> None:
    from tasks.common.tracking.client import connect

    connect().set_registered_model_alias(MODEL, "champion", "2")


def _hostile(address: str) -> list[tuple[str, int, float]]:
    found = []
    for name, body in [(n, b if isinstance(b, bytes) else json.dumps(b).encode()) for n, b in HOSTILE.items()]:
        began = time.monotonic()
        reply = ask(address, body)
        found.append((name, reply.status, time.monotonic() - began))
    with contextlib.suppress(OSError), socket.create_connection(_host(address)) as client:
        slow_body(client)  # stays open while the rest is measured; the server closes it
    return found


def _host(address: str) -> tuple[str, int]:
    host, port = address.removeprefix("http://").split(":")
    return host, int(port)


def _report(counts: Counts, policy: str, clients: int, workers: int) -> None:
    took = np.array(counts.seconds)
    print(f"{policy}, {clients} clients, {workers} worker(s): {len(took)} answers, each compared with say's file")
    print(f"lost {counts.lost}, mixed {counts.mixed}; by version {json.dumps(counts.versions, sort_keys=True)}")
    if len(took):
        print(f"seconds from request to answer: median {np.median(took):.2f}, 95 % {np.percentile(took, 95):.2f}")
    for answers, server, children in counts.memory:
        print(f"after {answers:5d} answers: server {server / 2**20:6.1f} MiB, workers {children / 2**20:7.1f} MiB")
    for name, status, seconds in counts.refusals:
        print(f"{name:24} {status} after {seconds:.3f} s")


if __name__ == "__main__":
    typer.run(main)
