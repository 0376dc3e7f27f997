"""The whole demo, measured: ``python -m benchmarks.demo`` in a clone where nothing has run yet.

Prints wall time, pipeline overhead (the share of it in which no stage was at its own work: DVC, Prefect, imports) and
the peak of memory, summed over every process of the flow.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import psutil
import typer

from tasks.common import paths


def covered(intervals: list[tuple[float, float]]) -> float:
    """Seconds covered by at least one interval."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def watch(process: psutil.Process, peak: list[int], stop: threading.Event) -> None:
    """Keep the largest sum of proportional set sizes (shared pages counted once) of a process and its descendants."""
    while not stop.wait(1.0):
        total = 0
        for one in [process, *process.children(recursive=True)]:
            try:
                total += one.memory_full_info().pss
            except psutil.Error:
                continue  # gone in the meantime
        peak[0] = max(peak[0], total)


def main() -> None:
    """Run the flow and measure it."""
    log = paths.STATE / "timings.jsonl"
    log.unlink(missing_ok=True)
    started = time.time()
    child = subprocess.Popen([sys.executable, "-m", "flows", "run"], env=os.environ)
    peak, stop = [0], threading.Event()
    watcher = threading.Thread(target=watch, args=(psutil.Process(child.pid), peak, stop))
    watcher.start()
    code = child.wait()
    stop.set()
    watcher.join()
    wall = time.time() - started
    if code:
        raise SystemExit(code)
    stages = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    for s in stages:
        print(f"{s['end'] - s['start']:7.1f} s  {s['command']}")
    work = covered([(s["start"], s["end"]) for s in stages])
    print(f"wall time {wall / 60:.1f} min, stages' own work {work / 60:.1f} min, overhead {(wall - work) / wall:.1%}")
    print(f"peak memory {peak[0] / 2**30:.2f} GiB")


if __name__ == "__main__":
    typer.run(main)
