"""Progress with an estimate of the time left: a live bar on a terminal, a line every few seconds in a log."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tasks.common import ranks

T = TypeVar("T")
LOG_EVERY_SECONDS = 5.0


class Bar:
    """Progress bar: ``with Bar("sample", total) as bar: bar.advance(n, "loss 0.3")``."""

    def __init__(self, title: str, total: int):
        self.title, self.total, self.done, self._before = title, total, 0, 0
        self._live = sys.stderr.isatty() and ranks.is_first()
        self._started = self._printed = time.monotonic()
        self._lock = threading.Lock()  # workers of model.fast.parallel share the bar

    def __enter__(self) -> Bar:
        if self._live:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
            )
            self._progress.start()
            self._task = self._progress.add_task(self.title, total=self.total, note="")
        return self

    def resume(self, done: int) -> None:
        """Say that ``done`` items were done before this run: they count, but not for the estimate of the time left."""
        with self._lock:
            self.done = self._before = done
            if self._live:
                self._progress.update(self._task, completed=done)
            elif ranks.is_first():
                print(f"{self.title}: resumed after {done}/{self.total}", flush=True)

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count ``n`` more items as done; safe to call from several threads."""
        with self._lock:
            self.done += n
            if self._live:
                self._progress.update(self._task, advance=n, note=note)
                return
            now = time.monotonic()
            if now - self._printed >= LOG_EVERY_SECONDS:
                self._printed = now
                left = (now - self._started) / max(self.done - self._before, 1) * (self.total - self.done)
                print(f"{self.title}: {self.done}/{self.total}, {left:.0f} s left {note}".rstrip(), flush=True)

    def __exit__(self, kind: object, *_: object) -> None:
        if self._live:
            self._progress.stop()
        elif kind is None:
            print(f"{self.title}: {self.done - self._before} in {time.monotonic() - self._started:.1f} s", flush=True)


def track(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    """Yield the items under a bar."""
    with Bar(title, total) as bar:
        for item in items:
            yield item
            bar.advance()
