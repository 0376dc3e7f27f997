"""A finished run in miniature: the files that ``results`` keeps, and some that it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def measure(value: float, half: float = 0.01) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half}


def measures(wer: float) -> dict[str, Any]:
    return {"wer": measure(wer), "similarity": measure(0.7)}


def scores(wer: float, start: float | None) -> dict[str, Any]:
    """Scores on one set of texts."""
    content: dict[str, Any] = {"texts": 24, "draws": 4, "failed": 0, "cut_off": 0}
    content |= {part: measures(wer) for part in ("all", "seen", "unseen")}
    return content if start is None else content | {"versus_start": {"wer": measure(wer - start)}}


def metrics(long: float, recorded: float, start: tuple[float, float] | None = None) -> dict[str, Any]:
    """metrics.json of a policy whose best decoding is T 0.5; at the loop's decoding it has twice the WER."""

    def at(factor: float) -> dict[str, Any]:
        first = start or (None, None)
        return {
            name: scores(wer * factor, None if other is None else other * factor)
            for name, wer, other in (("recorded", recorded, first[1]), ("long", long, first[0]))
        }

    best, loop = ({"temperature": t, "top_k": 0, "top_p": 1.0} for t in (0.5, 1.0))
    change = {"entropy": 0.75} | ({} if start is None else {"kl": 0.125, "temperature": 0.8, "share": 0.1})
    return {
        "decoding": {"best": best, "loop": loop},
        "choice": [
            {**loop, "recorded": 2 * recorded, "long": 2 * long},
            {**best, "recorded": recorded, "long": long},
        ],
        "scores": {"dev": {"best": at(1)}, "test": {"best": at(1), "loop": at(2)}},
        "change": change,
        "environment": {"processor": "Some CPU"},
    }


def gap(change: float | None = None) -> dict[str, Any]:
    distances = {name: measure(0.02) | {"floor": 0.001} for name in ("frechet", "codes", "seconds")}
    content: dict[str, Any] = {"distances": distances, "classifier": measure(0.7)}
    if change is not None:
        content["versus_start"] = {"frechet": measure(change), "classifier": measure(change)}
    sides = {"golden": measures(0.03), "synthetic": measures(0.05), "difference": measures(0.02)}
    return content | {"table1": sides}


STUDY = """# Study

Three seeds.

## Controls

| arm | WER |
|---|---|
| DPO | 1.0 |

## Methods

| arm | WER |
|---|---|
| IPO | 2.0 |
"""


def studied() -> list[dict[str, Any]]:
    """study.json: an arm's first iteration from 20 to 8 % WER."""
    scores = {"all": measures(0.08), "versus_start": {"wer": measure(-0.12)}}
    return [{"arm": "dpo", "iteration": 1, "sets": {"long": scores}}]


def workspace(folder: Path, long: float = 0.2) -> Path:
    """A workspace with two policies, golden speech and the study's page."""
    ceiling = {"golden": {part: measures(0.06) for part in ("all", "seen", "unseen")}}
    bounds = {kind: {"floor": 0.6, "ceiling": 0.8} for kind in ("seen", "unseen")}
    files = {
        "runs/0/metrics.json": metrics(long, 0.05),
        "runs/1/metrics.json": metrics(0.08, 0.02, (long, 0.05)),
        "runs/0/gap.json": gap(),
        "runs/1/gap.json": gap(0.004),
        "reports/study.json": studied(),
        "runs/ceiling/metrics.json": ceiling | {"voices": bounds},
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    for name, text in (("study/params.yaml", "arms: {}\n"), ("reports/study.md", STUDY)):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "params.yaml").write_text("seed: 17\n")
    (folder / "dvc.lock").write_text("stages: {}\n")
    (folder / "runs/0/utterances.parquet").write_bytes(b"large")
    return folder
