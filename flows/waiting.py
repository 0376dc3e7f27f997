"""One run at a time in a workspace, and waiting for other DVC processes: what is waited for is said."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from flows import process

T = TypeVar("T")
LOCK = Path(".dvc/tmp/speechalign.lock")
HOLDER = LOCK.with_suffix(".txt")  # who holds it
SECONDS = 1.0  # between two attempts
AGAIN = 60.0  # between two messages about the same wait


def say(message: str) -> None:
    """Print a message where a person looks."""
    print(message, file=sys.stderr, flush=True)


class NeedlessError(RuntimeError):
    """A run that another one, which waits already, makes needless."""


@contextlib.contextmanager
def turn(show: Callable[[str], None] | None = None, work: str | None = None) -> Iterator[None]:
    """Hold the workspace for a run; wait for another one, however long it takes, and say for which.

    Args:
        work: what the run is going to do, where one run of several that want it is enough. Of these, one waits: it
            looks at the data when its turn has come, so it sees what the others were started for.

    Raises:
        NeedlessError: a run with the same ``work`` waits already.
        process.StoppedError: the flow is ending.
    """
    if not Path(".dvc").is_dir():  # what comes next says so
        yield
        return
    LOCK.parent.mkdir(exist_ok=True)
    lock = FileLock(LOCK.absolute())  # a kill releases it

    def take() -> None:
        lock.acquire(timeout=0)

    with _alone(work) as alone:
        if not alone:
            raise NeedlessError(f"another run waits to do the same, once {_holder()} has ended")
        patiently(take, Timeout, lambda _: f"another run in this folder, {_holder()}", show)
    try:
        HOLDER.write_text(f"process {os.getpid()}, since {time.strftime('%H:%M')}", encoding="utf-8")
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _alone(work: str | None) -> Iterator[bool]:
    """Hold the place of the one run that waits with this work; yield whether it was free."""
    if work is None:
        yield True
        return
    place = FileLock(LOCK.with_name(f"speechalign-{hashlib.md5(work.encode()).hexdigest()}.lock").absolute())
    try:
        place.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        place.release()


def patiently(
    action: Callable[[], T],
    held: type[Exception],
    who: Callable[[Exception], str],
    show: Callable[[str], None] | None = None,
) -> T:
    """Do something that another process may forbid for a while, and say now and then which."""
    said, last = "", 0.0
    while True:
        try:
            return action()
        except held as error:
            waiting_for = who(error)
            if waiting_for != said or time.monotonic() - last > AGAIN:
                (show or say)(f"waiting for {waiting_for}")
                said, last = waiting_for, time.monotonic()
        process.wait(SECONDS)


def holder_of(error: Exception | str) -> str:
    """Return who holds DVC's files, from its error: the process and its command."""
    lines = [line.strip() for line in str(error).splitlines()]
    holders = [line for line in lines if line.startswith("(PID ")]
    return f"another DVC process {'; '.join(holders)}" if holders else "another DVC process"


def _holder() -> str:
    with contextlib.suppress(OSError):
        return HOLDER.read_text(encoding="utf-8")
    return "which has just begun"
