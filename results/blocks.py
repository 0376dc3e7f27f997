"""Blocks of the documents that are made from kept runs.

``<!-- results: TABLE RUN ARGUMENTS -->`` up to the next ``<!-- end -->`` is a block. What stands between the two is
replaced by that table of that run. Those of :data:`INLINE` fit into a sentence; all others are tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from results import tables
from results.runs import FOLDER, load
from tasks.common.files import DataError

BLOCK = re.compile(r"(<!-- results: ([^>]*?) -->).*?(<!-- end -->)", re.DOTALL)
BEGIN, END = "<!-- results:", "<!-- end -->"
INLINE = ("value", "relative", "study", "study_relative", "origin")
TABLES: dict[str, Callable[..., str]] = {
    "value": tables.value,
    "origin": tables.origin,
    "relative": tables.relative,
    "policies": tables.policies,
    "differences": tables.differences,
    "choice": tables.choice,
    "decoding": tables.decoding,
    "voices": tables.voices,
    "gap": tables.gap,
    "gap_cost": tables.gap_cost,
    "study": tables.study,
    "study_relative": tables.study_relative,
    "page": tables.page,
    "printed": tables.printed,
}


def documents() -> list[Path]:
    """Return the documents that have blocks.

    Raises:
        DataError: no document has one.
    """
    files = [Path("README.md"), *sorted(Path("docs").glob("*.md"))]
    found = [file for file in files if file.is_file() and BEGIN in file.read_text(encoding="utf-8")]
    if not found:
        raise DataError(
            f"no document in {Path.cwd()} has a block `{BEGIN} ... -->`; run in the repository's top folder"
        )
    return found


def render(document: Path) -> str:
    """Return the document's text with every block made from the kept runs.

    Raises:
        DataError: a block without its end, an unknown table, wrong arguments, or a run that lacks what the table needs.
    """
    text = document.read_text(encoding="utf-8")
    for part in text.split(BEGIN)[1:]:
        if END not in part:
            what = part.partition("-->")[0].strip()
            raise DataError(
                f"{document}: the block `{what}` has no `{END}` before the next block or the document's end"
            )

    def block(match: re.Match[str]) -> str:
        begin, what, end = match.groups()
        try:
            return begin + _content(*what.split()) + end
        except (TypeError, KeyError, AttributeError, ValueError, DataError) as error:
            raise DataError(f"{document}: the block `{what}` cannot be made: {error}") from error

    return BLOCK.sub(block, text)


def stale(document: Path) -> list[str]:
    """Return the blocks that differ from what the kept runs say."""
    written = BLOCK.finditer(document.read_text(encoding="utf-8"))
    return [w[2] for w, made in zip(written, BLOCK.finditer(render(document)), strict=True) if w[0] != made[0]]


def _content(name: str, run_name: str, *arguments: str) -> str:
    if name not in TABLES:
        raise DataError(f"there is no table {name!r}; expected one of {', '.join(TABLES)}")
    run = load(run_name)
    text = f"*no run is kept in {FOLDER / run_name} yet*" if run is None else TABLES[name](run, *arguments)
    return text if name in INLINE else f"\n{text}\n"
