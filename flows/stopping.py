"""Ctrl-C and polite kills of the command line: it ends within seconds, with status 130 and one line on the screen."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from flows import process
from tasks.common import interrupts

SECONDS = 7.0  # for Prefect to record the end of the run; a server that is gone would be asked for minutes
LEAVING_SECONDS = 2.5  # for the processes to be killed
STATUS = interrupts.STATUS
MESSAGE = "stopped; the next run goes on from the last finished stage"

WITHOUT_STAGES = "stopped"

_alone = threading.Event()
_begun = threading.Event()
_finished = threading.Event()
_impatient = threading.Event()
_leaving = threading.Lock()
_installed = threading.Event()


def install() -> None:
    """Handle Ctrl-C, SIGTERM and a terminal that closes, unless whoever started the process had them ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _stop)
    _installed.set()


def installed() -> bool:
    """Whether this process is the command line's."""
    return _installed.is_set()


def begun() -> bool:
    """Whether the command line is ending."""
    return _begun.is_set()


def alone() -> None:
    """Speak of no stages: the command has none, and says itself how it ended."""
    _alone.set()


def begin() -> None:
    """Say nothing more, and leave after a few seconds whatever still waits; nothing where :func:`install` was not."""
    if _begun.is_set() or not _installed.is_set():
        return
    _begun.set()
    logging.disable(logging.CRITICAL)  # Prefect would report a crash, with its frames
    threading.excepthook = lambda _: None
    _after(SECONDS, leave)


def finish() -> None:
    """Let a signal from now on end the process at once: Python and Prefect tidy up, and would print where they were."""
    _begun.set()
    _finished.set()


def leave(polite: bool = False) -> NoReturn:
    """End every stage and this process now; ``polite``: the command has ended by itself."""
    while not _leaving.acquire(blocking=False):  # another thread ends the process
        time.sleep(1)
    with contextlib.suppress(RuntimeError):  # Python itself is ending
        # However long the kills take, the process ends; the watchers of its children then end them.
        _after(LEAVING_SECONDS, lambda: os._exit(STATUS))
    process.kill_all()
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # the terminal is gone, or something is being printed
        if not (polite and _alone.is_set()):
            print(WITHOUT_STAGES if _alone.is_set() else MESSAGE, file=sys.stderr, flush=True)
        sys.stdout.flush()
    os._exit(STATUS)  # threads that wait for a server would hold a polite exit


def _after(seconds: float, action: Callable[[], object]) -> None:
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()


def _stop(_number: int, _frame: FrameType | None) -> None:
    if not _begun.is_set():
        begin()
        raise KeyboardInterrupt
    if _finished.is_set() and not _leaving.locked():
        leave()
    if not _impatient.is_set():  # a second Ctrl-C: somebody cannot wait
        _impatient.set()
        # In a thread: what was interrupted may hold a lock that leaving needs, and has to go on to give it back.
        _after(0, leave)
