"""Outputs of the stages, as the page needs them. A part that was not run is empty; a damaged one raises."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.statistics import Interval
from tasks.common import cuts, digests, paths, schemas
from tasks.common.files import DataError, read_json, read_table, read_token_rows
from tasks.common.params import Params
from tasks.common.scores import METRICS, Scores

Rows = list[dict[str, Any]]
GROUPS = ("all", "seen", "unseen")
SYSTEMS = ("golden", "resynthesised", "golden_nar")  # rows of the ceiling


@dataclass(frozen=True)
class Judged:
    """Scores of a policy, or of one of the ceiling's systems; nothing where it was not run."""

    content: dict[str, Any] = field(default_factory=dict)  # as metrics.json holds it
    groups: dict[str, Scores] = field(default_factory=dict)  # by group of speakers; one without utterances is left out
    versus_sft: Scores = field(default_factory=dict)
    versus_previous: Scores = field(default_factory=dict)

    @property
    def everyone(self) -> Scores:
        """Scores over all speakers."""
        return self.groups.get("all", {})


@dataclass(frozen=True)
class Run:
    """One iteration; "0" is SFT. Every part may be missing."""

    name: str
    previous: str | None
    judged: Judged
    utterances: Rows
    pairs: Rows | None  # None: there is no such file
    audio: dict[str, Path]  # by utterance id

    @property
    def title(self) -> str:
        return "Iteration 0 (SFT)" if self.name == "0" else f"Iteration {self.name}"

    @property
    def new_pairs(self) -> Rows:
        """Pairs that this iteration made; the others are of earlier ones."""
        return [pair for pair in self.pairs or [] if pair["iteration"] == self.name]


@dataclass(frozen=True)
class Ceiling:
    judged: dict[str, Judged]
    environment: dict[str, Any] | None
    utterances: Rows
    index: Rows  # utterances to listen to: id, text, speaker, seen, prompt_id
    audio: dict[str, Path]  # by file name: utterance id and system


@dataclass(frozen=True)
class Inputs:
    params: Params
    params_text: str
    runs: list[Run]
    ceiling: Ceiling
    splits: Rows  # counts of each part of the data
    rejected: Counter[tuple[str, str]]  # (reason, what was expected)
    digests: dict[str, str]  # MD5 by path, as in dvc.lock

    @property
    def evaluated(self) -> list[Run]:
        return [run for run in self.runs if run.judged.content]


def read(params: Params, params_text: str) -> Inputs:
    """Read all that the page shows.

    Raises:
        DataError: a file is damaged, or no policy has been evaluated at all.
    """
    runs = [_run("0", None), *(_run(name, item.prev) for name, item in params.iterations.items())]
    if not any(run.judged.content for run in runs):
        raise DataError(
            f"nothing to report: expected {paths.metrics('0')} or that of an iteration, found none; "
            "run the evaluate stages first (`dvc repro`)"
        )
    files = [Path("params.yaml"), *map(paths.cuts, paths.SPLITS), paths.REJECTED, paths.CEILING / "metrics.json"]
    for run in runs:
        files += [paths.pairs(run.name), paths.metrics(run.name), paths.utterances(run.name)]
    return Inputs(
        params=params,
        params_text=params_text,
        runs=runs,
        ceiling=_ceiling(),
        splits=[_split(name) for name in paths.SPLITS if paths.cuts(name).is_file()],
        rejected=Counter((str(row.get("reason")), str(row.get("expected"))) for row in _json_lines(paths.REJECTED)),
        digests={path.as_posix(): digests.compute_file(path) for path in files if path.is_file()},
    )


def json_or(path: Path, default: Any) -> Any:
    """Content of a JSON file, or ``default`` where there is none."""
    return read_json(path) if path.is_file() else default


def _run(name: str, previous: str | None) -> Run:
    pairs = paths.pairs(name)
    return Run(
        name=name,
        previous=previous,
        judged=_judged(json_or(paths.metrics(name), {}), paths.metrics(name)),
        utterances=_utterances(paths.utterances(name)),
        pairs=read_token_rows(pairs, schemas.PAIRS) if pairs.is_file() else None,
        audio={path.stem: path for path in paths.audio(name).glob("*.flac")},
    )


def _ceiling() -> Ceiling:
    metrics, index = paths.CEILING / "metrics.json", paths.CEILING / "audio" / "index.json"
    content, listed = json_or(metrics, {}), json_or(index, [])
    if not isinstance(listed, list) or not all(isinstance(row, dict) and "id" in row for row in listed):
        raise DataError(f"{index} should list utterances with their ids; run `ceiling` again")
    return Ceiling(
        judged={system: _judged(content[system], metrics) for system in SYSTEMS if system in content},
        environment=content.get("environment"),
        utterances=_utterances(paths.CEILING / "utterances.parquet"),
        index=listed,
        audio={path.stem: path for path in index.parent.glob("*.flac")},
    )


def _utterances(path: Path) -> Rows:
    return read_table(path, schemas.UTTERANCES) if path.is_file() else []


def _judged(content: Any, path: Path) -> Judged:
    if not isinstance(content, dict):
        raise DataError(f"{path} should hold named entries, found {type(content).__name__}; run its stage again")
    return Judged(
        content,
        {group: scores for group in GROUPS if (scores := _scores(content.get(group), path))},
        _scores(content.get("versus_sft"), path),
        _scores(content.get("versus_previous"), path),
    )


def _scores(content: dict[str, Any] | None, path: Path) -> Scores:
    scores = {}
    for metric in METRICS:
        found = (content or {}).get(metric)
        if found is None:
            continue
        try:
            score = Interval.from_json(found)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: {metric} should hold the numbers value, low and high, found {found!r}") from error
        if not all(map(math.isfinite, (score.value, score.low, score.high))):
            raise DataError(f"{path}: {metric} should be finite, found {found!r}; run its evaluate stage again")
        scores[metric] = score
    return scores


def _split(name: str) -> dict[str, Any]:
    rows = list(cuts.rows(name))
    spoken = [cut["supervisions"][0] for cut in rows]
    return {
        "name": name,
        "utterances": len(rows),
        "seconds": sum(cut["duration"] for cut in rows),
        "speakers": len({item["speaker"] for item in spoken}),
        "texts": len({item["text"] for item in spoken}),
        "unseen": sum(not cut["custom"]["seen"] for cut in rows),
    }


def _json_lines(path: Path) -> Rows:
    """One object per line; a missing file has no lines."""
    if not path.is_file():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise DataError(f"{path} is not readable as JSON lines ({error}); run `prepare` again") from error
