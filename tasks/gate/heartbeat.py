"""A sign of life where there is no terminal: one line at the start, and one every half a minute."""

from __future__ import annotations

import sys
import threading
import time

EVERY_SECONDS = 30.0


class Heartbeat:
    """``with Heartbeat() as alive: alive.doing = "judging before"``; silent on a terminal, which has a bar."""

    def __init__(self, every: float = EVERY_SECONDS):
        self.doing = "loading the judges"
        self._every, self._ended = every, threading.Event()
        self._silent = sys.stderr.isatty()
        self._started = time.monotonic()

    def __enter__(self) -> Heartbeat:
        self._thread = threading.Thread(target=self._beat, daemon=True)
        if not self._silent:
            self._thread.start()
        return self

    def say(self, line: str) -> None:
        """Print a line, unless on a terminal."""
        if not self._silent:
            print(line, file=sys.stderr, flush=True)

    def _beat(self) -> None:
        while not self._ended.wait(self._every):
            self.say(f"still {self.doing}, after {time.monotonic() - self._started:.0f} s")

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if not self._silent:
            self._thread.join()
