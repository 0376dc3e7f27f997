"""Recordings of a folder with a CSV, as ``layout check`` scores them: codes at the right rate and at wrong ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from model.audio import resample
from model.codecs.base import Codec
from model.layouts.layout import Layout
from model.layouts.near_miss import Recording
from model.layouts.speech import Speech
from tasks.common.audio import Limits, load
from tasks.common.delimited import delimiter_of, lines_of, rows_of
from tasks.common.files import DataError
from tasks.common.rejected import Rejected

COLUMNS = ("id", "path", "text", "speaker")
SPEEDS = (0.5, 2 / 3, 1.5, 2.0)  # wrong sample rates: 16 kHz read as 24 or 32, and the reverse
PROMPT_SECONDS = 3.0


def read_rows(folder: Path) -> list[dict[str, str]]:
    """Return the rows of the folder's one CSV file.

    Raises:
        DataError: no such folder, not exactly one CSV, not UTF-8, other columns, or a malformed row.
    """
    tables = sorted(p for p in folder.glob("*.csv") if not p.name.startswith(".")) if folder.is_dir() else []
    if len(tables) != 1:
        raise DataError(f"{folder} should be a folder with one CSV file ({','.join(COLUMNS)}), found {len(tables)}")
    try:
        lines = lines_of(tables[0].read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{tables[0]} is not UTF-8: {error}; save it as UTF-8") from error
    rows = list(rows_of(lines, delimiter_of(lines[0] if lines else ""), len(COLUMNS)))
    header = [cell.lower() for cell in rows[0].cells] if rows else []
    if sorted(header) != sorted(COLUMNS):
        raise DataError(f"{tables[0]} should have the columns {', '.join(COLUMNS)}, its first line has {header}")
    if bad := next((row for row in rows if row.problem), None):
        raise DataError(f"{tables[0]} line {bad.line}: {bad.problem}; expected {len(COLUMNS)} fields")
    return [dict(zip(header, row.cells, strict=True)) for row in rows[1:]]


def encode_recordings(
    folder: Path, rows: Sequence[dict[str, str]], declared: Layout, codec: Codec, wanted: int
) -> list[Recording]:
    """Return recordings spread over the table, each with another of its speaker as voice prompt where there is one."""

    def encode(row: dict[str, str], speeds: Sequence[float], seconds: float | None = None) -> dict[float, Speech]:
        path = (folder / row["path"]).resolve()
        try:
            if not path.is_relative_to(folder.resolve()):
                raise Rejected("path leaves the folder", "a file inside of it", row["path"])
            wave = torch.from_numpy(load(path, codec.encode_rate, Limits(max_seconds=60.0)))
        except Rejected as error:
            raise DataError(f"{folder / row['path']}: {error}; remove the row or repair the file") from error
        wave = wave if seconds is None else wave[: round(seconds * codec.encode_rate)]
        # A wave that is said to have another rate than it has is a recording with a wrong header.
        codes = {s: codec.encode([wave], rate=round(codec.encode_rate * s))[0] for s in speeds}
        at_rate = resample(wave.numpy(), from_rate=codec.encode_rate, to_rate=codec.sample_rate)
        voice = codec.voice_of(torch.from_numpy(at_rate))
        return {s: _speech(codec, declared, found, voice) for s, found in codes.items()}

    by_speaker: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_speaker.setdefault(row["speaker"], []).append(row)
    step = max(1, len(rows) // wanted)
    found: list[Recording] = []
    for row in rows[::step][:wanted]:
        others = [other for other in by_speaker[row["speaker"]] if other is not row]
        prompt = None
        if True in declared.contexts and others:
            other = others[len(found) % len(others)]
            codes = encode(other, (1.0, *SPEEDS), PROMPT_SECONDS)
            prompt = Recording(other["text"], other["speaker"], codes)
        found.append(Recording(row["text"], row["speaker"], encode(row, (1.0, *SPEEDS)), prompt))
    return found


def _speech(codec: Codec, declared: Layout, codes: object, voice: Sequence[float]) -> Speech:
    """Return whole frames of the levels that the layout writes, and the voice."""
    assert isinstance(codes, torch.Tensor)
    levels = codec.levels(codes)[: declared.code_tokens.n_levels]
    return Speech.of(*(level.numpy() for level in levels), globals=voice)
