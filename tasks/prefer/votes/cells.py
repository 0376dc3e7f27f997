"""Cells of a CSV file that no spreadsheet takes for a formula, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping

# An apostrophe says that what follows is text. Full-width signs begin a formula too, where people type them.
_FORMULA = re.compile(r"'*\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_MARKED = re.compile(r"'+\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")


def marked(cells: Mapping[str, object]) -> dict[str, object]:
    """Return the cells of a row, with an apostrophe in front of each text that begins like a formula."""
    return {
        name: f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell for name, cell in cells.items()
    }


def unmarked(cell: str) -> str:
    """Return a cell without the apostrophe that :func:`marked` puts in front."""
    return cell[1:] if _MARKED.match(cell) else cell
