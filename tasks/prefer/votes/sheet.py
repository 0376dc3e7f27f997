"""File format of votes: CSV or JSON lines, one vote per line. ``ballots.py`` checks what the votes say."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.common.files import DataError
from tasks.prefer.votes.cells import unmarked

REQUIRED = ("id", "a", "b", "choice", "rater")
# An exported sheet also says which iteration and which samples were heard.
OPTIONAL = ("iteration", "policy", "a_seed", "b_seed", "a_tokens", "b_tokens")
CHOICES = ("a", "b", "tie")
SUFFIXES = (".csv", ".tsv", ".jsonl")  # of sheets in a folder
EXPORTED = (".flac", ".html")  # other files of an exported listening test
SHOWN = 5  # problems spelled out in one message


@dataclass(frozen=True)
class Line:
    """One filled-in line; "" where an optional column is missing."""

    where: str  # "votes.csv line 3", for messages
    id: str
    a: str
    b: str
    choice: str  # one of CHOICES
    rater: str
    iteration: str = ""
    policy: str = ""
    a_seed: str = ""
    b_seed: str = ""
    a_tokens: str = ""
    b_tokens: str = ""


@dataclass(frozen=True)
class Sheet:
    """A file of votes, or a folder of them."""

    lines: list[Line]
    blank: int  # lines with neither choice nor rater
    problems: list[str]  # lines with an empty cell or an unknown choice, for :func:`refuse`
    unread: list[str]  # names in the folder that are no sheets


def read(path: Path) -> Sheet:
    """Return all votes of a file, of any name, or of the sheets in a folder.

    Raises:
        DataError: no such file, nothing in it, not readable, a column missing.
    """
    files, unread = _sheets_in(path) if path.is_dir() else ([path], [])
    others = f" (not read: {', '.join(unread)})" if unread else ""
    if not files or not files[0].is_file():
        kinds = ", ".join(SUFFIXES)
        raise DataError(f"{path} does not exist or holds no {kinds} file{others}; prefer.votes must name the votes")
    lines: list[Line] = []
    problems: list[str] = []
    blank = 0
    for file in files:
        for where, cells in rows(file):
            found = {name: cells.get(name, "") for name in (*REQUIRED, *OPTIONAL)}
            if not found["choice"] and not found["rater"]:
                blank += 1  # a sheet that is only partly filled in
                continue
            choice = found["choice"].lower()
            if empty := [name for name in ("id", "a", "b", "rater") if not found[name]]:
                problems.append(f"{where}: {' and '.join(_title(name) for name in empty)} is empty")
            elif choice not in CHOICES:
                problems.append(f'{where}: choice is "{found["choice"]}", expected A, B or tie')
            else:
                lines.append(Line(where, **(found | {"choice": choice})))
    if not lines and not problems:
        raise DataError(
            f"{path} holds no votes{others}"
            + (f": none of its {blank} lines has a choice and a rater filled in" if blank else "; it is empty")
        )
    return Sheet(lines, blank, problems, unread)


def refuse(
    path: Path,
    problems: Sequence[str],
    advice: str = "correct or remove these lines; nothing was written",
    heading: str = "",
) -> None:
    """Raise one DataError for all problems, if any, with the first few spelled out."""
    if not problems:
        return
    shown = "".join(f"\n  {problem}" for problem in problems[:SHOWN])
    more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    raise DataError(f"{path}: {heading or f'{len(problems)} unusable line(s)'}:{shown}{more}\n{advice}")


def files_of(path: Path) -> list[Path]:
    """Return the file, or the sheets in the folder.

    Raises:
        DataError: there is none.
    """
    files = _sheets_in(path)[0] if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise DataError(f"{path} does not exist or holds no {', '.join(SUFFIXES)} file; expected sheets of votes")
    return files


def _sheets_in(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the sheets of a folder, and other names that are neither hidden nor part of an exported test."""
    sheets, others = [], []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_file() and _is_sheet(entry):
            sheets.append(entry)
        elif entry.suffix.lower() not in EXPORTED:
            others.append(f"{entry.name}/" if entry.is_dir() else entry.name)
    return sheets, others


def _is_sheet(file: Path) -> bool:
    """Return whether the name is a sheet's. Mail programs save sheets as .txt, so there the header decides."""
    suffix = file.suffix.lower()
    if suffix != ".txt":
        return suffix in SUFFIXES
    with file.open("rb") as handle:
        header = handle.readline(4096).decode("utf-8", "replace").lower()
    return "choice" in header and "rater" in header


def rows(file: Path, required: Sequence[str] = REQUIRED) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (where, cells by lower-case column) of each line that is not blank.

    Raises:
        DataError: not UTF-8, torn, or one of the ``required`` columns is missing.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")  # spreadsheets begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not text in UTF-8 (byte {error.start}); save it as CSV in UTF-8") from error
    read = _json_rows if text.lstrip().startswith("{") else _csv_rows
    return read(file, text, required)


def _csv_rows(file: Path, text: str, required: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    header = next(iter(text.splitlines()), "")
    delimiter = max(",;\t", key=header.count)  # spreadsheets write ; where the comma is the decimal point
    table = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip().lower() for name in next(table, [])]
        _require(names, str(file), required)
        for cells in table:
            where = f"{file.name} line {table.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(names):
                raise DataError(
                    f"{file.parent / where} has {len(cells)} cells where the header has {len(names)}; the file is "
                    "torn or a cell with a comma lacks its quotes; correct that line or export again"
                )
            yield where, {name: unmarked(cell.strip()) for name, cell in zip(names, cells, strict=True)}
    except csv.Error as error:
        raise DataError(f"{file} line {table.line_num} is not CSV: {error}; the file may be torn") from error


def _json_rows(file: Path, text: str, required: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{file.name} line {number}"
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file.parent / where} is not JSON: {error}; the file may be torn") from error
        if not isinstance(content, dict):
            raise DataError(f"{file.parent / where} should hold one vote as an object, but holds {line.strip()[:60]}")
        cells = {str(k).lower(): "" if v is None else str(v).strip() for k, v in content.items()}
        _require(list(cells), str(file.parent / where), required)
        yield where, cells


def _require(names: list[str], where: str, required: Sequence[str]) -> None:
    if not any(names):
        raise DataError(f"{where} is empty; expected a header and votes: {', '.join(map(_title, required))}")
    if missing := [_title(name) for name in required if name not in names]:
        raise DataError(f"{where} lacks the column(s) {', '.join(missing)}; it has {', '.join(map(_title, names))}")
    if len(set(names)) < len(names):
        raise DataError(f"{where} has a column twice: {', '.join(map(_title, names))}")


def _title(name: str) -> str:
    return name.upper() if name in ("a", "b") else name
