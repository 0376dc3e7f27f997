"""Lines of a text file, and rows of a delimited one. No line goes missing: each is part of a row or of a problem."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

DELIMITERS = ",;\t|"  # spreadsheets write ; where the comma is the decimal point
LONGEST_ROW = 100  # lines
_LINE_END = re.compile(r"\r\n|\n|\r")
_OPEN = "unexpected end of data"  # how the module csv says that a quote was never closed


@dataclass(frozen=True)
class Row:
    """Cells of one row, without spaces around them, or why its line has none."""

    line: int  # the first, from 1
    cells: tuple[str, ...]
    problem: str = ""


def lines_of(text: str) -> list[str]:
    """Return the lines of a text. Unlike ``str.splitlines``, a form feed or U+2028 within a text ends none."""
    lines = _LINE_END.split(text)
    return lines if lines[-1] else lines[:-1]


def delimiter_of(header: str) -> str:
    """Return the delimiter of which a header has most."""
    return max(DELIMITERS, key=header.count)


def rows_of(lines: Sequence[str], delimiter: str, width: int, first: int = 1) -> Iterator[Row]:
    """Yield the rows of delimited lines, except blank ones.

    A quoted cell may have line ends in it. A quote that is opened and never closed takes its own line along and no
    other: a line with ``width`` cells is never part of the row before it.

    Args:
        width: cells of a row; one that has more or fewer has a problem. first: number of the first line.
    """
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        cells, problem = _parse(lines[at], delimiter)
        alone, taken = problem, 1
        while problem == _OPEN and taken < LONGEST_ROW and at + taken < len(lines):
            if len(_parse(lines[at + taken], delimiter)[0]) == width:
                break
            taken += 1
            cells, problem = _parse("\n".join(lines[at : at + taken]), delimiter)
        if problem:
            taken = 1
            said = "a quote that is opened and never closed" if alone == _OPEN else problem
            cells = [cell.strip(' "') for cell in lines[at].split(delimiter)]
            yield Row(at + first, tuple(cells), said)
        else:
            wrong = "" if len(cells) == width else f"{len(cells)} fields"
            yield Row(at + first, tuple(cell.strip() for cell in cells), wrong)
        at += taken


def _parse(text: str, delimiter: str) -> tuple[list[str], str]:
    """Return the cells of one row and "", or no cells and what is wrong with it."""
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True)), ""
    except csv.Error as error:
        return [], str(error)
