"""Time and peak memory of every stage that reads train, at 1, 10 and 100 times the demo's rows.

``python -m benchmarks.scale``; it takes an hour. ``--smoke`` takes seconds and says nothing about speed.

Tables are made up, as in :mod:`benchmarks.memory`. Each stage runs in a process of its own, with one thread and tiny
models: what counts is how time and memory grow with the rows, not the models' own speed. Texts to sample grow as the
rows do. Training stops after three steps, and extraction has a stand-in for the codec, so of these two the reading,
scheduling and writing are measured. ``--audio`` extracts with the embedded codec instead.

A stage is linear if a row costs no more processor time between the two larger sizes than between the two smaller ones,
within 15 %. It may cost less: kernels are compiled for the first batches. Memory is flat if it grows by no more than
10 MB and ``INDEX`` bytes per further row from the second largest size to the largest, however large the data. The
smallest size takes no part in that: its one batch has one shape, and oneDNN keeps kernels of the last 128.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import memory

LINEAR = 0.15
NOTHING = 1e-5  # seconds per row: less is lost among the machine's other work
INDEX = 64  # bytes per row: where an utterance lies on disk, its lengths, and its place in each epoch
PROMPTS = 128  # texts that are sampled and judged, at 1 time the rows: one full batch of both
REAL = "extract, real codec"


@dataclass(frozen=True)
class Found:
    """One stage at one size."""

    rows: int
    seconds: float  # of the processor, imports included
    peak: float  # MB


def costs(found: Sequence[Found]) -> list[float]:
    """Return processor seconds per further row, from each size to the next."""
    return [(b.seconds - a.seconds) / (b.rows - a.rows) for a, b in pairwise(found)]


def verdict(found: Sequence[Found]) -> tuple[str, str]:
    """Return whether time is linear ("-" with fewer than three sizes), and whether memory is flat ("-" with one)."""
    slopes = costs(found)
    linear = flat = "-"
    if len(slopes) > 1:
        small, large = slopes[-2:]
        linear = "yes" if large <= max((1 + LINEAR) * small, NOTHING) else "NO"
    if len(found) > 1:
        before, after = found[-2:]
        allowed = memory.ALLOWANCE + INDEX * (after.rows - before.rows) / 1e6
        flat = "yes" if after.peak - before.peak <= allowed else "NO"
    return linear, flat


def work(name: str, folder: Path, rows: int, prompts: int) -> None:
    """Build a workspace, or run one stage in it; print what was found as JSON."""
    memory.UTTERANCES = rows
    memory.SETTINGS["sample"] = {"prompts": prompts, "draws": 1}
    if name == "build":
        print(json.dumps({"data": memory.build(folder, 1)}))
        return
    started = time.process_time()
    if name == REAL:
        from tasks.extract import __main__ as stage

        stage.main()
    else:
        memory.STAGES[name]()
    print(json.dumps({"seconds": time.process_time() - started, "peak": memory.peak()}))


def _run(name: str, workspace: Path, inside: Path, rows: int, prompts: int) -> dict[str, float]:
    environment = {"PYTHONPATH": str(Path.cwd()), "MLFLOW_TRACKING_URI": f"sqlite:///{workspace}/mlflow.db"}
    options = ["--work", name, "--folder", str(workspace), "--rows", str(rows), "--prompts", str(prompts)]
    command = [sys.executable, "-m", "benchmarks.scale", *options]
    done = subprocess.run(command, cwd=inside, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(
    scales: Annotated[str, typer.Option(help="times the rows, rising")] = "1,10,100",
    utterances: Annotated[int, typer.Option(help="of train, at 1 time", min=16)] = 2400,
    stages: Annotated[str, typer.Option(help="names, or all")] = "all",
    audio: Annotated[bool, typer.Option(help="extract with the embedded codec, at 1 and 10 times at most")] = False,
    smoke: Annotated[bool, typer.Option(help="few rows, two quick stages")] = False,
    work_: Annotated[str | None, typer.Option("--work", hidden=True)] = None,
    folder: Annotated[Path, typer.Option(hidden=True)] = Path(),
    rows: Annotated[int, typer.Option(hidden=True)] = 0,
    prompts: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """Print time and peak memory of each stage at each size."""
    if work_:
        work(work_, folder, rows, prompts)
        return
    if smoke:
        scales, utterances, stages = "1", 64, "texts,sft_nar"
    factors = [int(factor) for factor in scales.split(",")]
    names = list(memory.STAGES) if stages == "all" else stages.split(",")
    names += [REAL] if audio else []
    if unknown := set(names) - {*memory.STAGES, REAL}:
        raise SystemExit(f"error: no stages {sorted(unknown)}; expected some of {', '.join(memory.STAGES)}")
    found: dict[str, list[Found]] = {name: [] for name in names}
    data = []
    for factor in factors:
        workspace, size = Path(tempfile.mkdtemp(prefix="scale-")), (utterances * factor, PROMPTS * factor)
        try:
            data.append(_run("build", workspace, Path.cwd(), *size)["data"])
            for name in names:
                if name == REAL and factor > 10:
                    continue
                one = _run(name, workspace, workspace, *size)
                found[name].append(Found(size[0], one["seconds"], one["peak"]))
                print(f"{name} at {factor}x: {one['seconds']:.1f} s, {one['peak']:.0f} MB", file=sys.stderr, flush=True)
        finally:
            shutil.rmtree(workspace)
    times = " | ".join(f"{factor}x, s | MB" for factor in factors)
    print(f"rows of train at 1x: {utterances}; data: {', '.join(f'{size:.1f}' for size in data)} MB\n")
    print(f"| stage | {times} | ms per further row | linear | memory flat |")
    print("|---" * (2 * len(factors) + 4) + "|")
    for name, ones in found.items():
        cells = [f"{one.seconds:.1f} | {one.peak:.0f}" for one in ones] + ["- | -"] * (len(factors) - len(ones))
        slopes = ", ".join(f"{1000 * cost:.2f}" for cost in costs(ones))
        print(f"| {name} | {' | '.join(cells)} | {slopes} | {' | '.join(verdict(ones))} |")


if __name__ == "__main__":
    typer.run(main)
