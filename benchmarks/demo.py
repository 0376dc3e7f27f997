"""The whole demo, measured from nothing in a folder of its own: ``python -m benchmarks.demo``.

Prints wall time, pipeline overhead (the share of it in which no stage was at its own work: DVC, Prefect, imports),
processor time, and the peak of memory, summed over every process of the flow. ``--profile smoke --iterations 1`` runs
every stage once on tiny settings.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Annotated

import psutil
import typer

from benchmarks.workspace import lay_out
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


def main(
    profile: Annotated[str | None, typer.Option(help="settings of profiles/")] = None,
    iterations: Annotated[int | None, typer.Option(min=1, help="only the first ones")] = None,
    folder: Annotated[Path | None, typer.Option(help="where it runs and stays; without it a temporary one")] = None,
) -> None:
    """Run the flow and measure it."""
    place = folder or Path(tempfile.mkdtemp(prefix="speechalign-"))
    lay_out(place, profile, iterations)
    started = time.time()
    environment = {**os.environ, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "PYTHONPATH": str(place.resolve())}
    child = subprocess.Popen([sys.executable, "-m", "flows", "run"], cwd=place, env=environment)
    peak, stop = [0], threading.Event()
    watcher = threading.Thread(target=watch, args=(psutil.Process(child.pid), peak, stop))
    watcher.start()
    code = child.wait()
    stop.set()
    watcher.join()
    wall = time.time() - started
    if code:
        print(f"it failed; {place} is as it was then", file=sys.stderr)
        raise SystemExit(code)
    stages = [json.loads(line) for line in (place / paths.STATE / "timings.jsonl").read_text().splitlines()]
    for s in stages:
        print(f"{s['end'] - s['start']:7.1f} s, {s['processor']:7.1f} s of processor  {s['command']}")
    work = covered([(s["start"], s["end"]) for s in stages])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"wall time {wall / 60:.1f} min, stages' own work {work / 60:.1f} min, overhead {(wall - work) / wall:.1%}")
    print(f"processor time {(used.ru_utime + used.ru_stime) / 60:.1f} min, peak memory {peak[0] / 2**30:.2f} GiB")
    if folder is None:
        shutil.rmtree(place)


if __name__ == "__main__":
    typer.run(main)
