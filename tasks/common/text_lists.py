"""The texts that systems were given, as people keep them: CSV, seed-tts-eval's ``meta.lst``, LibriSpeech's files.

* CSV (or TSV) with a header: ``id`` and ``text``, and where known ``speaker`` and ``prompt`` (a path). Other
  columns are ignored.
* ``meta.lst``: ``id|text of the prompt|path of the prompt|text``, optionally one more field, the path of a recording.
  https://github.com/BytedanceSpeech/seed-tts-eval
* ``*.trans.txt``: ``id TEXT`` per line; an id is ``speaker-chapter-number``. A folder stands for all of
  them below it.
"""

from __future__ import annotations

import csv
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.common.delimited import delimiter_of, lines_of
from tasks.common.files import DataError

TRANSCRIPTS = ".trans.txt"
KINDS = (
    "a .csv or .tsv file with the columns id and text, a meta.lst, a .trans.txt, or a folder that holds one of these"
)
LARGEST = 200_000_000  # bytes of one list: more is no list of texts
SHOWN = 5  # of the ids that a message lists
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # of a terminal; no name has them but by mistake
_SPEAKABLE = re.compile(r"[A-Za-z0-9]")


@dataclass(frozen=True)
class Text:
    """One text that every system was asked to say.

    ``speaker`` and ``prompt`` (path of the voice prompt, relative to the list) are empty where the list has none.
    """

    id: str
    text: str
    speaker: str = ""
    prompt: str = ""

    @property
    def words(self) -> int:
        """Words between spaces."""
        return len(self.text.split())


@dataclass(frozen=True)
class TextList:
    """Texts by id, in the order of their file, and the folder that their paths are relative to."""

    source: Path
    texts: dict[str, Text]

    @property
    def folder(self) -> Path:
        """Folder that prompt paths are relative to."""
        return self.source if self.source.is_dir() else self.source.parent


def read_texts(location: str) -> TextList:
    """Read a list of texts from a file, a folder that holds one, or ``s3://``.

    Raises:
        DataError: no such file, another format, not UTF-8, no texts, an id twice, or a text without a letter or digit
            to read aloud.
    """
    source = _local(location)
    files = _lists_in(source) if source.is_dir() else [source]
    found: dict[str, Text] = {}
    for file in files:
        for where, text in _read(file):
            _check(text, where)
            text = replace(text, id=unicodedata.normalize("NFC", text.id))
            if text.id in found:
                raise DataError(f"{where}: the id {text.id!r} is there twice; each text needs an id of its own")
            found[text.id] = text
    if not found:
        raise DataError(f"{source} holds no texts; expected at least one line after the header")
    return TextList(source, found)


def some(names: Iterable[str]) -> str:
    """Return the first names for a message: ``a, b, c and 7 more``."""
    listed = list(names)
    rest = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + rest


def _local(location: str) -> Path:
    if location.startswith("s3://"):
        from tasks.common import s3  # imports boto3, which local files need not wait for

        named = location.endswith((".csv", ".tsv", ".lst", ".txt"))
        return s3.fetch_file(location) if named else s3.fetch(location)
    path = Path(location)
    if not os.path.exists(path):  # False of a name that is too long, too
        raise DataError(f"{location} does not exist; expected {KINDS}")
    return path


def _lists_in(folder: Path) -> list[Path]:
    if transcripts := sorted(folder.rglob(f"*{TRANSCRIPTS}")):
        return [file for file in transcripts if not file.name.startswith(".")]
    lists = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".csv", ".tsv", ".lst") and p.name[0] != ".")
    if len(lists) != 1:
        named = f" ({some(p.name for p in lists)})" if lists else ""
        raise DataError(f"{folder} holds {len(lists)} lists of texts{named}; name one: {KINDS}")
    return lists


def _read(file: Path) -> Iterator[tuple[str, Text]]:
    """Yield the place of each text, for messages, and the text."""
    if not file.is_file():
        raise DataError(f"{file} is a pipe or device; expected {KINDS}")
    if file.stat().st_size > LARGEST:
        raise DataError(f"{file} has {file.stat().st_size / 1e6:.0f} MB, too large for a list of texts")
    try:
        content = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error
    if "\0" in content:
        raise DataError(f"{file} is not text: it has NUL characters; expected {KINDS}")
    if file.name.endswith(TRANSCRIPTS):
        return _transcripts(file, content)
    if file.suffix.lower() == ".lst":
        return _meta(file, content)
    if file.suffix.lower() in (".csv", ".tsv"):
        header = (lines_of(content) or [""])[0]
        return _csv(file, content, "\t" if file.suffix.lower() == ".tsv" else delimiter_of(header))
    raise DataError(f"{file} has an ending that is not known; expected {KINDS}")


def _csv(file: Path, content: str, delimiter: str) -> Iterator[tuple[str, Text]]:
    try:
        rows = list(csv.reader([line + "\n" for line in lines_of(content)], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DataError(f"{file} is not a CSV file: {error}") from error
    header = [name.strip().lower() for name in rows[0]] if rows else []
    if missing := {"id", "text"} - set(header):
        raise DataError(
            f"{file} should have a first line with the columns id and text, but lacks {' and '.join(sorted(missing))}; "
            f"found {rows[0] if rows else 'an empty file'}"
        )
    if twice := sorted({name for name in header if name and header.count(name) > 1}):
        raise DataError(f"{file} has the column {twice[0]!r} twice")
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            raise DataError(
                f"{file} row {number} has {len(row)} fields, its first line {len(header)}; a text with the separator "
                "in it needs quotes"
            )
        cells = dict(zip(header, (cell.strip() for cell in row), strict=True))
        speaker, prompt = (cells.get(name, "") for name in ("speaker", "prompt"))
        yield f"{file} row {number}", Text(cells["id"], cells["text"], speaker, prompt)


def _meta(file: Path, content: str) -> Iterator[tuple[str, Text]]:
    for number, line in enumerate(lines_of(content), 1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split("|")]
        if len(fields) not in (4, 5):
            raise DataError(
                f"{file} line {number} has {len(fields)} fields between bars; expected id|prompt text|prompt path|text"
            )
        name, _, prompt, text = fields[:4]
        yield f"{file} line {number}", Text(name.removesuffix(".wav"), text, speaker=prompt, prompt=prompt)


def _transcripts(file: Path, content: str) -> Iterator[tuple[str, Text]]:
    for number, line in enumerate(lines_of(content), 1):
        if line.strip():
            name, _, text = line.strip().partition(" ")
            yield f"{file} line {number}", Text(name, text.strip(), speaker=name.split("-")[0])


def _check(text: Text, where: str) -> None:
    if not text.id:
        raise DataError(f"{where} has no id")
    if control := next((word for word in (text.id, text.speaker, text.prompt) if CONTROL.search(word)), ""):
        raise DataError(f"{where}: {control!r} has a control character or a line end in it; expected a plain name")
    if text.id.startswith("/") or any(part in ("", ".", "..") for part in text.id.split("/")) or "\\" in text.id:
        raise DataError(f"{where}: {text.id!r} can't be an id; expected a file's name without its ending")
    if not _SPEAKABLE.search(text.text):
        found = repr(text.text[:60]) if text.text else "an empty text"
        raise DataError(f"{where} ({text.id}): expected an English text, found {found}")
