"""Outputs of the stages, as the page needs them. A part that was not run is empty; a damaged one raises."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from model.statistics import Interval
from tasks.common import cuts, digests, paths, schemas
from tasks.common.files import DataError, read_json, read_table
from tasks.common.params import Params
from tasks.common.rows import read_rows
from tasks.common.scores import METRICS, Scores, rows_at, sets_of
from tasks.common.wording import decoding_text

Rows = list[dict[str, Any]]
GROUPS = ("all", "seen", "unseen")
SYSTEMS = ("golden", "resynthesised", "golden_nar")  # rows of the ceiling


@dataclass(frozen=True)
class Judged:
    """Scores of a policy on one set of texts, or of one of the ceiling's systems; nothing where it was not run."""

    content: dict[str, Any] = field(default_factory=dict)  # as metrics.json holds it
    groups: dict[str, Scores] = field(default_factory=dict)  # by group of speakers; one without utterances is left out
    versus_start: Scores = field(default_factory=dict)
    versus_previous: Scores = field(default_factory=dict)

    @property
    def everyone(self) -> Scores:
        """Scores over all speakers."""
        return self.groups.get("all", {})


@dataclass(frozen=True)
class Run:
    """One iteration; "0" is the start. Every part may be missing."""

    name: str
    previous: str | None
    content: dict[str, Any]  # of metrics.json
    tables: dict[tuple[str, str, str], Judged]  # by split, decoding and set of texts
    utterances: Rows  # of test, at both decodings
    pairs: Sequence[dict[str, Any]] | None  # None: there is no such file
    audio: dict[str, Path]  # by utterance id

    @property
    def title(self) -> str:
        return "Iteration 0 (start)" if self.name == "0" else f"Iteration {self.name}"

    @property
    def new_pairs(self) -> Rows:
        """Pairs that this iteration made; the others are of earlier ones."""
        return [pair for pair in self.pairs or [] if pair["iteration"] == self.name]

    @property
    def one_decoding(self) -> bool:
        """Whether its best decoding is the loop's."""
        decodings = self.content.get("decoding", {})
        return decodings.get("best") == decodings.get("loop")

    def decoding(self, which: str = "best") -> str:
        """Its best decoding, or the loop's, in words."""
        return decoding_text(self.content["decoding"][which])

    def judged(self, texts: str, decoding: str = "best", split: str = "test") -> Judged:
        """Scores on one set of texts; where both decodings are the same, those of the best are the loop's too."""
        found = self.tables.get((split, decoding, texts))
        if found is None and self.one_decoding:
            found = self.tables.get((split, "best", texts))
        return found or Judged()

    def rows(self, texts: str, decoding: str = "best") -> Rows:
        """Judged test utterances of one set of texts, every draw."""
        return cast(Rows, rows_at(self.utterances, decoding, texts))  # a selection of these very rows


@dataclass(frozen=True)
class Ceiling:
    judged: dict[str, Judged]
    voices: dict[str, Scores]  # by seen and unseen: similarity of two different speakers (floor), of one (ceiling)
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
        return [run for run in self.runs if run.content]

    @property
    def sets(self) -> list[str]:
        """Sets of texts that any policy was evaluated on, the headline's first."""
        return list(dict.fromkeys(texts for run in self.evaluated for texts in sets_of(run.content)))


def read(params: Params, params_text: str) -> Inputs:
    """Read all that the page shows.

    Raises:
        DataError: a file is damaged, or no policy has been evaluated at all.
    """
    runs = [_run("0", None), *(_run(name, item.prev) for name, item in params.iterations.items())]
    if not any(run.content for run in runs):
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
    return read_json(path, None if default is None else type(default)) if path.is_file() else default


def _run(name: str, previous: str | None) -> Run:
    pairs = paths.pairs(name)
    content, tables = _tables(paths.metrics(name))
    return Run(
        name=name,
        previous=previous,
        content=content,
        tables=tables,
        utterances=_utterances(paths.utterances(name)),
        pairs=read_rows(pairs, schemas.PAIRS) if pairs.is_file() else None,
        audio={path.stem: path for path in paths.audio(name).glob("*.flac")},
    )


def _tables(path: Path) -> tuple[dict[str, Any], dict[tuple[str, str, str], Judged]]:
    """Content of a metrics.json, and its tables by split, decoding and set of texts."""
    content = json_or(path, {})
    if not content and isinstance(content, dict):
        return {}, {}
    try:
        {which: decoding_text(content["decoding"][which]) for which in ("best", "loop")}
        tables = {
            (split, decoding, texts): _judged(table, path)
            for split, decodings in content["scores"].items()
            for decoding, sets in decodings.items()
            for texts, table in sets.items()
        }
        sets_of(content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} should hold decodings and scores by split, decoding and set of texts ({error!r}); run its "
            "evaluate stage again"
        ) from error
    return content, tables


def _ceiling() -> Ceiling:
    metrics, index = paths.CEILING / "metrics.json", paths.CEILING / "audio" / "index.json"
    content, listed = json_or(metrics, {}), json_or(index, [])
    if not isinstance(listed, list) or not all(isinstance(row, dict) and "id" in row for row in listed):
        raise DataError(f"{index} should list utterances with their ids; run `ceiling` again")
    voices = content.get("voices", {}) if isinstance(content, dict) else None
    if not isinstance(voices, dict):
        raise DataError(f"{metrics} should hold systems by name, and voices; run `ceiling` again")
    return Ceiling(
        judged={system: _judged(content[system], metrics) for system in SYSTEMS if system in content},
        voices={kind: _intervals(found, ("floor", "ceiling"), metrics) for kind, found in voices.items()},
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
        _scores(content.get("versus_start"), path),
        _scores(content.get("versus_previous"), path),
    )


def _scores(content: dict[str, Any] | None, path: Path) -> Scores:
    return _intervals(content, METRICS, path)


def _intervals(content: dict[str, Any] | None, names: Iterable[str], path: Path) -> Scores:
    scores = {}
    for name in names:
        found = (content or {}).get(name)
        if found is None:
            continue
        try:
            score = Interval.from_json(found)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: {name} should hold the numbers value, low and high, found {found!r}") from error
        if not all(map(math.isfinite, (score.value, score.low, score.high))):
            raise DataError(f"{path}: {name} should be finite, found {found!r}; run its stage again")
        scores[name] = score
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
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not readable as JSON lines ({error}); run `prepare` again") from error
