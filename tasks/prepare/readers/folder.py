"""Any folder of audio files and one table: columns ``id``, ``path``, ``text``, ``speaker``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tasks.common.delimited import Row, delimiter_of, lines_of, rows_of
from tasks.common.files import DataError
from tasks.common.params import Params
from tasks.common.rejected import Rejected
from tasks.prepare.items import Corpus, Item
from tasks.prepare.readers.tree import is_shadow

COLUMNS = ("id", "path", "text", "speaker")
TABLES = (".csv", ".tsv")


def read(params: Params, root: Path) -> Corpus:
    """Return every row of the table; ``path`` is relative to the folder and may not leave it.

    The table is a ``.csv`` or ``.tsv`` file, whichever its case, with commas, semicolons, tabs or bars between its
    cells. Files that macOS and office programs leave next to it (``._all.csv``, ``~$all.csv``) are passed over.

    Raises:
        DataError: not exactly one table in the folder, not UTF-8, or another header.
    """
    tables = sorted(p for p in root.iterdir() if p.suffix.lower() in TABLES and p.is_file() and not is_shadow(p.name))
    columns = ", ".join(COLUMNS)
    if len(tables) != 1:
        names = f": {', '.join(table.name for table in tables[:5])}" if tables else ""
        raise DataError(
            f"{root} should hold one CSV file with the columns {columns}, but holds {len(tables)}{names}; leave one"
        )
    try:
        text = tables[0].read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{tables[0]} is not a CSV file in UTF-8: {error}; save it as UTF-8") from error
    lines = lines_of(text)
    delimiter = delimiter_of(lines[0] if lines else "")
    first = next(rows_of(lines[:1], delimiter, len(COLUMNS)), Row(1, ()))
    header = [name.lower() for name in first.cells]
    if sorted(header) != sorted(COLUMNS):
        raise DataError(
            f"{tables[0]} should have the columns {columns}, but its first line has {list(first.cells)}; rename or "
            "remove columns"
        )
    rows = list(rows_of(lines[1:], delimiter, len(header), first=2))
    return Corpus(len(rows), _items(root, tables[0].name, header, rows))


def _items(root: Path, table: str, header: Sequence[str], rows: Sequence[Row]) -> Iterator[Item]:
    for row in rows:
        where = f"{table} line {row.line}"
        if row.problem:
            problem = Rejected("malformed row", f"{len(header)} fields, quotes in pairs", row.problem)
            yield Item(row.cells[0], "", None, where, problem=problem)
            continue
        cells = dict(zip(header, row.cells, strict=True))
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
