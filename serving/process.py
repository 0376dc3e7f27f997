"""The server's side of a worker process."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from model.errors import SpeechAlignError
from serving import frames
from serving.errors import RefusedError

PROJECT = Path(__file__).resolve().parent.parent
PROGRAM = "serving.worker"  # the module that a worker runs
_NUMBERS = count(1)


class WorkerError(SpeechAlignError):
    """A version that does not load, or a worker process that has ended."""


@dataclass(frozen=True)
class Sentence:
    """What a worker is asked for: sentence ``number`` of ``count`` of a text."""

    text: str
    seed: int
    temperature: float | None
    number: int
    count: int
    prompt_text: str = ""  # what is said in the voice prompt
    speaker: str = ""


@dataclass(frozen=True)
class Piece:
    """What it answers: float32 samples ``(n,)``, their rate in Hz, and whether it ended by itself or is empty."""

    samples: np.ndarray
    rate: int
    finished: bool
    empty: bool


class Worker:
    """One process that holds one version."""

    def __init__(self, process: Process, version: str, folder: str):
        self.process, self.version, self._folder = process, version, folder
        self.voice = "audio"  # what the version takes: a recording (audio), a speaker's name (speaker) or none

    @classmethod
    async def start(cls, name: str, version: str, seconds: float, program: str = PROGRAM) -> Worker:
        """Start a process and wait until it has loaded the version.

        Raises:
            WorkerError: it does not load, or not within ``seconds``.
        """
        path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
        folder = tempfile.mkdtemp(prefix="speechalign-serve-")  # MLflow leaves there what it downloads
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", program, f"models:/{name}/{version}"),
            stdin=PIPE,
            stdout=PIPE,
            env={**os.environ, "PYTHONPATH": path, "TMPDIR": folder},
        )
        worker = cls(process, version, folder)
        try:
            assert process.stdout is not None
            async with asyncio.timeout(seconds):
                hello, _ = await frames.receive(process.stdout)
        except frames.EndedError:
            await worker.kill()
            raise WorkerError(f"version {version} of {name} ended while it loaded; its output says why") from None
        except TimeoutError:
            await worker.kill()
            raise WorkerError(f"version {version} of {name} did not load within {seconds:.0f} s") from None
        except BaseException:
            await worker.kill()
            raise
        if "ready" not in hello:
            await worker.kill()
            raise WorkerError(f"version {version} of {name} does not load: {hello.get('failed')}")
        worker.voice = hello.get("voice", worker.voice)
        return worker

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.returncode is None

    async def ask(self, sentence: Sentence, prompt: bytes) -> Piece:
        """Return the audio of a sentence. A caller that stops waiting must :meth:`kill` the worker.

        Raises:
            RefusedError: the version refuses the text or the voice prompt (400), or fails (500).
            WorkerError: the process ended.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        number = next(_NUMBERS)
        try:
            self.process.stdin.write(frames.pack({"id": number, **vars(sentence)}, prompt))
            await self.process.stdin.drain()
            answer, raw = await frames.receive(self.process.stdout)
        except (frames.EndedError, ConnectionError) as error:
            raise WorkerError(f"a worker of version {self.version} ended in the middle of a request") from error
        if answer["id"] != number:
            raise WorkerError(f"a worker answered request {answer['id']}, asked was {number}")
        if "refused" in answer:
            raise RefusedError(400, answer["refused"])
        if "failed" in answer:
            raise RefusedError(500, f"the policy failed ({answer['failed']}); the server's output has the details")
        return Piece(np.frombuffer(raw, "<f4"), answer["rate"], answer["finished"], answer["empty"])

    async def stop(self) -> None:
        """End an idle worker: its input ends, and so does it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await self.process.wait()
        except TimeoutError:
            await self.kill()
        self.clean()

    async def kill(self) -> None:
        """End a worker at once."""
        if self.alive:
            self.process.kill()
        await self.process.wait()
        self.clean()

    def clean(self) -> None:
        """Delete what an ended worker left on the disk."""
        shutil.rmtree(self._folder, ignore_errors=True)
