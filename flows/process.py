"""A child process whose output is read line by line, and which leaves no process behind."""

from __future__ import annotations

import atexit
import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

GRACE_SECONDS = 5.0  # between SIGTERM and SIGKILL
_DRAIN_SECONDS = 1.0  # a process that outlives the child may hold its output open: read for this long only

# The child leads its own session, so a Ctrl-C or a signal to the flow does not reach it. If the flow itself is killed,
# this watcher sees its input close and ends the child's process group. The child waits for a line on its input before
# it starts its command: by then it is watched.
_WATCHER = 'trap "" TERM INT; read -r _; kill -s TERM -- -"$1" && sleep 5 && kill -s KILL -- -"$1"'
_CHILD = 'read -r _ && exec "$@" </dev/null'

Service = subprocess.Popen[bytes]

_running: set[subprocess.Popen[bytes]] = set()
_services: set[subprocess.Popen[bytes]] = set()  # the flow needs them to its end
_lock = threading.Lock()
_stopping = threading.Event()


class StoppedError(RuntimeError):
    """The flow is ending, so no other process may start."""


class TimeLimitError(RuntimeError):
    """The process ran longer than its limit."""


def run(
    command: Sequence[str], env: Mapping[str, str], on_line: Callable[[str, str], None], timeout: float | None = None
) -> int:
    """Run a command to its end and return its exit code; a negative one is the signal that killed it.

    Args:
        on_line: called with "stdout" or "stderr" and each line as it comes.
        timeout: seconds after which the process and everything it started are killed.

    Raises:
        TimeLimitError: the time is up; the processes are gone.
        StoppedError: :func:`stop_all` was called.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    with _child(command, env) as child:
        for stream, line in _lines(child, deadline):
            on_line(stream, line)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(None if deadline is None else max(deadline - time.monotonic(), 0))
        if child.poll() is None:
            raise TimeLimitError(f"ran longer than {timeout:g} s and was stopped")
        if _stopping.is_set():
            raise StoppedError("stopped with the flow")
        return child.returncode


def stop_all() -> None:
    """Kill every running child and what it started; no other starts until :func:`allow`."""
    _stopping.set()
    with _lock:
        children = list(_running)
    _end(children)


def kill_all() -> None:
    """Kill every child and service at once; no other starts."""
    _stopping.set()
    with _lock:
        children = [*_running, *_services]
    _end(children, grace=0)


def allow() -> None:
    """Undo :func:`stop_all`, as a flow begins."""
    _stopping.clear()


def wait(seconds: float) -> None:
    """Sleep, unless the flow ends.

    Raises:
        StoppedError: the flow is ending.
    """
    if _stopping.wait(seconds):
        raise StoppedError("stopped with the flow")


@contextlib.contextmanager
def variables(wanted: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the environment for the block's processes, and put back what was there before."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def service(command: Sequence[str], env: Mapping[str, str], log: Path) -> Iterator[Service]:
    """Run a command in the background, its output in a file; it ends with the block, or with this process."""
    with log.open("ab") as output, _watched(command, env, _services, stdout=output, stderr=output) as child:
        yield child


@contextlib.contextmanager
def _child(command: Sequence[str], env: Mapping[str, str]) -> Iterator[Service]:
    with _watched(command, env, _running, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        yield child


@contextlib.contextmanager
def _watched(
    command: Sequence[str], env: Mapping[str, str], group: set[Service], **streams: int | IO[bytes]
) -> Iterator[Service]:
    with _lock:
        if _stopping.is_set():
            raise StoppedError("stopped with the flow")
        child = subprocess.Popen(
            ["/bin/sh", "-c", _CHILD, "sh", *command],
            env=dict(env),
            stdin=subprocess.PIPE,
            start_new_session=True,
            **streams,  # type: ignore[call-overload]
        )
        group.add(child)
    watcher = None
    try:
        watcher = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHER, "sh", str(child.pid)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the group may be gone
            start_new_session=True,
        )
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError), child.stdin:  # ended by stop_all before it began
            child.stdin.write(b"go\n")
        yield child
    finally:
        _end([child])
        if watcher:
            watcher.kill()
            watcher.communicate()
        with _lock:
            group.discard(child)
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe:
                pipe.close()


def _lines(child: subprocess.Popen[bytes], deadline: float | None) -> Iterator[tuple[str, str]]:
    """Yield (stream, line) until both streams are closed, the child is gone, or time is up."""
    ended: float | None = None
    with selectors.DefaultSelector() as selector:
        for name, pipe in (("stdout", child.stdout), ("stderr", child.stderr)):
            assert pipe is not None
            selector.register(pipe, selectors.EVENT_READ, [name, b""])
        while selector.get_map():
            now = time.monotonic()
            if deadline is not None and now > deadline:
                break
            if child.poll() is not None:
                ended = ended or now
                if now - ended > _DRAIN_SECONDS:
                    break
            for key, _ in selector.select(timeout=0.2):
                chunk = os.read(key.fd, 65536)
                # A progress bar redraws its line with a carriage return.
                *whole, rest = (key.data[1] + chunk).replace(b"\r", b"\n").split(b"\n")
                if not chunk:
                    selector.unregister(key.fileobj)
                    whole, rest = [*whole, rest], b""
                key.data[1] = rest
                for line in whole:
                    if text := line.decode("utf-8", "replace").rstrip():
                        yield key.data[0], text


def _end(children: Sequence[Service], grace: float = GRACE_SECONDS) -> None:
    """End children, their process groups, and descendants that left the group, as a launcher's workers may."""
    found: dict[Service, list[psutil.Process]] = {}
    for child in children:
        found[child] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            found[child] = psutil.Process(child.pid).children(recursive=True)
        if child.poll() is None:
            _signal(child.pid, found[child], signal.SIGTERM)
    deadline = time.monotonic() + grace  # of all of them together
    for child, descendants in found.items():
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(max(deadline - time.monotonic(), 0))
        _signal(child.pid, descendants, signal.SIGKILL)
        child.wait()


def _signal(group: int, others: list[psutil.Process], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
    for process in others:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


atexit.register(stop_all)
