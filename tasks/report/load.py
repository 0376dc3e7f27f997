"""Outputs of the stages as typed values. A part that was not run is ``None`` or empty; a damaged one raises."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model.statistics import Interval
from tasks.common import paths, schemas
from tasks.common.files import DataError
from tasks.common.params import Params
from tasks.common.scores import METRICS, Scores
from tasks.report.raw import Rows, read_json, read_json_lines, read_pairs, read_rows

GROUPS = ("all", "seen", "unseen")
SYSTEMS = ("golden", "resynthesised", "golden_nar")  # rows of the ceiling


@dataclass(frozen=True)
class Judged:
    """One row of the table: a policy, or one of the ceiling's systems."""

    groups: dict[str, Scores]  # by group of speakers; a group without utterances is left out
    utterances: int | None = None
    failed: int | None = None
    cut_off: int | None = None
    versus_sft: Scores = field(default_factory=dict)
    versus_previous: Scores = field(default_factory=dict)
    environment: dict[str, Any] | None = None  # machine, libraries and precision (tasks/common/environment.py)


@dataclass(frozen=True)
class Run:
    """One iteration; "0" is SFT. Every part may be missing."""

    name: str
    previous: str | None
    judged: Judged | None
    utterances: Rows
    pairs: Rows | None
    audio: dict[str, Path]  # by utterance id


@dataclass(frozen=True)
class Ceiling:
    judged: dict[str, Judged]
    utterances: Rows
    index: Rows  # utterances to listen to: id, text, speaker, seen, prompt_id
    audio: dict[tuple[str, str], Path]  # by (utterance id, prompt or system)
    environment: dict[str, Any] | None = None


@dataclass(frozen=True)
class Split:
    """Counts of one part of the data."""

    name: str
    utterances: int
    seconds: float
    speakers: int
    texts: int
    unseen: int  # utterances by speakers that are not in train


@dataclass(frozen=True)
class Inputs:
    params: Params
    params_text: str
    runs: list[Run]
    ceiling: Ceiling
    splits: list[Split]
    rejected: Counter[tuple[str, str]]  # (reason, what was expected)
    digests: dict[str, str]  # MD5 by path, as in dvc.lock

    @property
    def evaluated(self) -> list[Run]:
        return [run for run in self.runs if run.judged is not None]


def read(params: Params, params_text: str) -> Inputs:
    """Read all that the page shows.

    Raises:
        DataError: a file is damaged, or no policy has been evaluated at all.
    """
    runs = [_run("0", None), *(_run(name, item.prev) for name, item in params.iterations.items())]
    if all(run.judged is None for run in runs):
        raise DataError(
            f"nothing to report: expected {paths.metrics('0')} or that of an iteration, found none; "
            "run the evaluate stages first (`dvc repro`)"
        )
    rejected = Counter((str(row.get("reason")), str(row.get("expected"))) for row in read_json_lines(paths.REJECTED))
    return Inputs(
        params=params,
        params_text=params_text,
        runs=runs,
        ceiling=_ceiling(),
        splits=[split for name in paths.SPLITS if (split := _split(name))],
        rejected=rejected,
        digests=_digests([run.name for run in runs]),
    )


def _run(name: str, previous: str | None) -> Run:
    content = read_json(paths.metrics(name))
    return Run(
        name=name,
        previous=previous,
        judged=None if content is None else _judged(content, paths.metrics(name)),
        utterances=read_rows(paths.utterances(name), schemas.UTTERANCES),
        pairs=read_pairs(paths.pairs(name)),
        audio={path.name.removesuffix(".flac"): path for path in sorted(paths.audio(name).glob("*.flac"))},
    )


def _ceiling() -> Ceiling:
    where = paths.CEILING / "metrics.json"
    files = {path.name: path for path in sorted((paths.CEILING / "audio").glob("*.flac"))}
    index = read_json(paths.CEILING / "audio" / "index.json") or []
    if not isinstance(index, list) or not all(isinstance(row, dict) and "id" in row for row in index):
        where = paths.CEILING / "audio" / "index.json"
        raise DataError(f"{where} should list utterances with their ids; run `ceiling` again")
    wanted = [(str(row["id"]), kind) for row in index for kind in ("prompt", *SYSTEMS)]
    audio = {key: files[name] for key in wanted if (name := f"{key[0]}.{key[1]}.flac") in files}
    content = read_json(where) or {}
    return Ceiling(
        judged={system: _judged(content[system], where) for system in SYSTEMS if system in content},
        environment=content.get("environment"),
        utterances=read_rows(paths.CEILING / "utterances.parquet", schemas.UTTERANCES),
        index=index,
        audio=audio,
    )


def _judged(content: Any, path: Path) -> Judged:
    if not isinstance(content, dict):
        raise DataError(f"{path} should hold named entries, found {type(content).__name__}; run its stage again")
    return Judged(
        groups={group: scores for group in GROUPS if (scores := _scores(content.get(group), path))},
        utterances=content.get("utterances"),
        failed=content.get("failed"),
        cut_off=content.get("cut_off"),
        versus_sft=_scores(content.get("versus_sft"), path),
        versus_previous=_scores(content.get("versus_previous"), path),
        environment=content.get("environment"),
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


def _split(name: str) -> Split | None:
    path = paths.cuts(name)
    if not path.is_file():
        return None
    cuts = read_json_lines(path)
    spoken = [(cut.get("supervisions") or [{}])[0] for cut in cuts]
    return Split(
        name=name,
        utterances=len(cuts),
        seconds=sum(float(cut["duration"]) for cut in cuts),
        speakers=len({item.get("speaker") for item in spoken}),
        texts=len({item.get("text") for item in spoken}),
        unseen=sum(not (cut.get("custom") or {}).get("seen", True) for cut in cuts),
    )


def _digests(names: list[str]) -> dict[str, str]:
    files = [Path("params.yaml"), *map(paths.cuts, paths.SPLITS), paths.REJECTED, paths.CEILING / "metrics.json"]
    for name in names:
        files += [paths.pairs(name), paths.metrics(name), paths.utterances(name)]
    return {path.as_posix(): hashlib.md5(path.read_bytes()).hexdigest() for path in files if path.is_file()}
