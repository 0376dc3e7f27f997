"""A finished run in miniature: the files that ``results`` keeps, and some that it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def measure(value: float, half: float = 0.01) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half}


def measures(wer: float) -> dict[str, Any]:
    return {"wer": measure(wer), "similarity": measure(0.7)}


def metrics(wer: float, versus_sft: float | None = None) -> dict[str, Any]:
    content: dict[str, Any] = {"utterances": 96, "environment": {"processor": "Some CPU"}}
    content |= {part: measures(wer) for part in ("all", "seen", "unseen")}
    return content if versus_sft is None else content | {"versus_sft": {"wer": measure(versus_sft)}}


def gap(change: float | None = None) -> dict[str, Any]:
    distances = {name: measure(0.02) | {"floor": 0.001} for name in ("frechet", "codes", "seconds")}
    content: dict[str, Any] = {"distances": distances, "classifier": measure(0.7)}
    if change is not None:
        content["versus_sft"] = {"frechet": measure(change), "classifier": measure(change)}
    sides = {"golden": measures(0.03), "synthetic": measures(0.05), "difference": measures(0.02)}
    return content | {"table1": sides}


def workspace(folder: Path, wer: float = 0.05) -> Path:
    """A workspace with two policies, golden speech, and an arm of the study."""
    files = {
        "runs/0/metrics.json": metrics(wer),
        "runs/1/metrics.json": metrics(0.02, 0.02 - wer),
        "runs/0/gap.json": gap(),
        "runs/1/gap.json": gap(0.004),
        "runs/ceiling/metrics.json": {"golden": {part: measures(0.06) for part in ("all", "seen", "unseen")}},
        "study/results/ipo/1/metrics.json": metrics(0.011, -0.039),
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    arm = "{title: IPO, group: methods, first: 1, last: 1, pairs: main, share: 1.0, own: nothing, after: runs, set: {}}"
    (folder / "study/params.yaml").write_text(f"arms:\n  ipo: {arm}\n")
    (folder / "params.yaml").write_text("seed: 17\n")
    (folder / "dvc.lock").write_text("stages: {}\n")
    (folder / "runs/0/utterances.parquet").write_bytes(b"large")
    return folder
