"""Any folder of audio files and one CSV file: columns ``id``, ``path``, ``text``, ``speaker``."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from tasks.common.files import DataError
from tasks.common.params import Params
from tasks.common.rejected import Rejected
from tasks.prepare.items import Corpus, Item

COLUMNS = ("id", "path", "text", "speaker")


def read(params: Params, root: Path) -> Corpus:
    """Return every row of the CSV file; ``path`` is relative to the folder and may not leave it.

    Raises:
        DataError: not exactly one CSV file in the folder, not UTF-8, or another header.
    """
    tables = sorted(root.glob("*.csv"))
    if len(tables) != 1:
        raise DataError(
            f"{root} should hold one CSV file with the columns {', '.join(COLUMNS)}, but holds {len(tables)}"
        )
    try:
        with tables[0].open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{tables[0]} is not a CSV file in UTF-8: {error}") from error
    header = [name.strip() for name in rows[0]] if rows else []
    if sorted(header) != sorted(COLUMNS):
        raise DataError(f"{tables[0]} should have the columns {', '.join(COLUMNS)}, but its first line has {header}")
    body = [(number, row) for number, row in enumerate(rows[1:], 2) if row]
    return Corpus(len(body), _items(root, tables[0].name, header, body))


def _items(root: Path, table: str, header: list[str], body: list[tuple[int, list[str]]]) -> Iterator[Item]:
    for number, row in body:
        where = f"{table} row {number}"
        if len(row) != len(header):
            problem = Rejected("malformed row", f"{len(header)} fields", f"{len(row)}")
            yield Item(row[0], "", None, where, problem=problem)
            continue
        cells = dict(zip(header, (cell.strip() for cell in row), strict=True))
        try:
            path = inside(root, cells["path"])
        except Rejected as problem:
            yield Item(cells["id"], cells["speaker"], None, cells["path"] or where, problem=problem)
            continue
        yield Item(cells["id"], cells["speaker"], cells["text"], cells["path"], path)


def inside(root: Path, relative: str) -> Path:
    """Return the file that ``relative`` names below ``root``, links followed.

    Raises:
        Rejected: there is no path, or it leads out of ``root``.
    """
    if not relative:
        raise Rejected("missing audio", "a path relative to the corpus folder", "an empty cell")
    expected = "a file inside the corpus folder"
    try:
        path = (root / relative).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the name, a loop of links
        raise Rejected("unusable path", expected, f"{relative!r}: {error}") from error
    if not path.is_relative_to(root.resolve()):
        raise Rejected("path leaves the corpus folder", expected, repr(relative))
    return path
