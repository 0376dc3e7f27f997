"""Where no terminal shows progress, lines do."""

from __future__ import annotations

import io
import sys
import threading

from tasks.gate.heartbeat import Heartbeat


def test_where_there_is_no_terminal_a_line_comes_again_and_again(monkeypatch):
    class Noted(io.StringIO):
        lines, seen = 0, threading.Event()

        def flush(self) -> None:
            self.lines += 1
            if self.lines == 3:
                self.seen.set()

    monkeypatch.setattr(sys, "stderr", Noted())
    with Heartbeat(every=0.001) as alive:
        alive.say("before: 40 recordings to read")
        assert Noted.seen.wait(60)
    assert "still loading the judges, after " in sys.stderr.getvalue()
