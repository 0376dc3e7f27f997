"""The stages of a loop that takes seconds, in the frame of the real ones: ``python -m benchmarks.tiny_loop make``.

What a kill may spoil is as in the real loop: tables, folders and JSON written through ``tasks.common.files``, a stage
that logs to MLflow, two stages side by side. Nothing is learned. ``benchmarks/reliability`` runs it, and
``benchmarks/outage``, which adds a stage that logs its results at its end (:data:`JUDGE`).
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer

from tasks.common import params as settings
from tasks.common import paths, tracking
from tasks.common.files import atomic_path, read_table, write_json, write_table
from tasks.common.stage import stage
from tasks.common.tracking.client import connect

SCHEMA = pa.schema([("id", pa.int64()), ("value", pa.float64())])
TABLE, REPORT, SCORES = Path("data/table.parquet"), Path("reports/tiny.json"), Path("runs/scores.json")
SIDES = ("left", "right")
POINTS = 40  # of the curve
PAUSE = float(os.environ.get("TINY_LOOP_PAUSE") or 0.05)  # seconds of a step, in which a kill may come
CALLS = "TINY_LOOP_CALLS"  # names a file that gets a line from every stage that runs

PIPELINE: dict[str, Any] = {
    "stages": {
        "make": {"cmd": "python -m benchmarks.tiny_loop make", "params": ["seed"], "outs": [str(TABLE)]},
        "track": {
            "cmd": "python -m benchmarks.tiny_loop track",
            "deps": [str(TABLE)],
            "params": ["seed"],
            "outs": [str(paths.tracking("0"))],
        },
        **{
            side: {
                "cmd": f"python -m benchmarks.tiny_loop {side}",
                "deps": [str(TABLE)],
                "params": ["seed"],
                "outs": [f"runs/{side}"],
            }
            for side in SIDES
        },
        "report": {
            "cmd": "python -m benchmarks.tiny_loop report",
            "deps": [*(f"runs/{side}" for side in SIDES), str(paths.tracking("0"))],
            "outs": [str(REPORT)],
        },
    }
}
JUDGE: dict[str, Any] = {
    "cmd": "python -m benchmarks.tiny_loop judge",
    "deps": [str(TABLE), str(paths.tracking("0"))],
    "outs": [str(SCORES)],
}
OWN_IDS = {str(paths.tracking("0"))}  # a run of MLflow has another id every time


@stage
def main(name: Annotated[str, typer.Argument(help="a stage of the pipeline")]) -> None:
    """Run one stage."""
    params = settings.load()
    if log := os.environ.get(CALLS):
        with Path(log).open("a", encoding="utf-8") as calls:
            print(name, file=calls)
    if name == "make":
        values = np.random.default_rng(params.seed).random(2000)
        write_table(TABLE, [{"id": i, "value": float(value)} for i, value in enumerate(values)], SCHEMA)
    elif name == "track":
        ids = tracking.start_loop(params)
        with tracking.resume(ids, "0") as run:
            for step, row in enumerate(read_table(TABLE, SCHEMA)[:POINTS]):
                run.log_metrics({"value": row["value"]}, step)
                time.sleep(PAUSE)
        write_json(paths.tracking("0"), ids)
    elif name == "judge":
        connect()  # as `evaluate` does before minutes of judging
        total = 0.0
        for row in read_table(TABLE, SCHEMA)[:POINTS]:
            total += row["value"]
            time.sleep(PAUSE)
        write_json(SCORES, {"total": total})
        with tracking.resume(tracking.read("0"), "0") as run:
            run.log_results({"total": total})
            run.log_dict({"total": total}, "scores.json")
    elif name in SIDES:
        values = np.array([row["value"] for row in read_table(TABLE, SCHEMA)])
        with atomic_path(Path("runs") / name) as folder:
            folder.mkdir()
            for part in range(20):
                np.save(folder / f"{part}.npy", np.sort(values * (part + 1)))
                time.sleep(PAUSE)
    else:
        sums = {
            side: float(sum(np.load(file).sum() for file in sorted(Path("runs", side).iterdir()))) for side in SIDES
        }
        write_json(REPORT, sums)


if __name__ == "__main__":
    typer.run(main)
