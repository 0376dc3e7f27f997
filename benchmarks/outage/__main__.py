"""Take a server away in the middle of runs, and check what must hold: ``python -m benchmarks.outage --minutes 5``.

The servers are those of ``deploy/compose.yaml``, started from packages on loopback. Several runs of the loop of
``benchmarks/tiny_loop.py`` are in the middle when one server gets ``kill -9`` and stays away: one in a folder, one with
its stages on a pool, one as a deployment. docs/pools.md says what was found.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.outage.project import reference
from benchmarks.outage.runs import MODES, Mode, Run
from benchmarks.outage.servers import Servers
from benchmarks.tiny_loop import POINTS

AFTER_SECONDS = 900.0  # in which a run has ended, once the server is back and its stages have had their time


class Server(StrEnum):
    """Which one goes away."""

    PREFECT = "prefect"
    MLFLOW = "mlflow"


class During(StrEnum):
    """The stage under way: one that logs a curve while it works, or one that logs results at its end."""

    TRACK = "track"
    JUDGE = "judge"


def main(
    server: Annotated[Server, typer.Option(help="the one that goes away")] = Server.PREFECT,
    minutes: Annotated[float, typer.Option(min=0.01, help="for which it is away")] = 5.0,
    stage_minutes: Annotated[float | None, typer.Option(help="of a long stage; by default 0.6 of --minutes")] = None,
    during: Annotated[During, typer.Option(help="stage under way: it logs a curve, or at its end")] = During.TRACK,
    modes: Annotated[list[Mode] | None, typer.Option("--mode", help="a run; may be repeated; by default all")] = None,
    folder: Annotated[Path | None, typer.Option(help="where it runs and stays; without it a temporary one")] = None,
) -> None:
    """Take a server away for some minutes, and print what the runs did and what does not hold."""
    place = (folder or Path(tempfile.mkdtemp(prefix="speechalign-"))).resolve()
    place.mkdir(parents=True, exist_ok=True)
    long_stage = 60 * (stage_minutes or 0.6 * minutes)
    servers = Servers(place, pause=long_stage / POINTS)
    runs: list[Run] = []
    faults: list[str] = []
    try:
        expected = reference(place / "reference", servers.environment)
        servers.start()
        runs += [Run(MODES[mode], servers, place) for mode in modes or list(Mode)]
        for run in runs:
            run.start()
        for run in runs:
            run.reaches(during)
        time.sleep(min(0.2 * long_stage, 20))
        servers.running[server].kill()
        print(f"{server} killed while {during} runs; it comes back after {minutes:g} minutes", flush=True)
        away, until = time.monotonic(), time.monotonic() + 60 * minutes
        while time.monotonic() < until:
            _ended(runs, away)
            time.sleep(0.5)
        servers.back(server)
        print(f"{server} answers again after {time.monotonic() - away:.0f} s", flush=True)
        deadline = time.monotonic() + 3 * long_stage + AFTER_SECONDS
        while time.monotonic() < deadline and not _ended(runs, away):
            time.sleep(0.5)
        for run in runs:
            faults += run.judge(expected)
    finally:
        for run in runs:
            run.end()
        servers.end()
    print(f"{len(faults)} faults", flush=True)
    if faults:
        raise SystemExit(f"{place} is as it was then")
    if folder is None:
        shutil.rmtree(place)


def _ended(runs: list[Run], since: float) -> bool:
    """Look at every run; return whether all have ended."""
    return sum(run.look(since) for run in runs) == len(runs)


if __name__ == "__main__":
    typer.run(main)
