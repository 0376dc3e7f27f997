"""Ctrl-C while a command imports its modules, which takes seconds: it ends with status 130 and prints no frames."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

STATUS = 130


def end_quietly() -> None:
    """End at once at Ctrl-C, if ``python -m`` is importing a command; :func:`heed` undoes this."""
    importing = sys.argv[:1] == ["-m"]  # until Python has found the module
    if importing and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def heed() -> None:
    """Raise KeyboardInterrupt at Ctrl-C again: the command says how it ended."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(STATUS)
