"""Helpers of the readers of published corpora: folders walked in a fixed order, small text files.

lhotse has recipes for these corpora, but they drop audio without a transcript (or the reverse) without a message, and
stop at the first unreadable file. These readers yield every file on either side, so that each is used or rejected.
"""

from __future__ import annotations

from pathlib import Path

from tasks.common.files import DataError
from tasks.prepare.items import Item, Rejected


def corpus_root(root: Path, *names: str) -> Path:
    """Return the folder of one of these names in ``root`` (as archives unpack), or ``root`` itself."""
    return next((root / name for name in names if (root / name).is_dir()), root)


def files(folder: Path, *suffixes: str) -> list[Path]:
    """Return all files below ``folder`` with one of the suffixes, sorted, less ``._*`` (left by macOS archives)."""
    found = (p for p in folder.rglob("*") if p.suffix.lower() in suffixes and not p.name.startswith("._"))
    return sorted(p for p in found if p.is_file())


def require(found: list[Path], root: Path, what: str) -> list[Path]:
    """Return ``found`` if it holds any file.

    Raises:
        DataError: there are none, so this is not the corpus's folder.
    """
    if not found:
        raise DataError(f"{root} holds no {what}; check prepare.corpus and prepare.path")
    return found


def read_text(path: Path) -> str:
    """Return the text of a file. Bytes that are not UTF-8 become U+FFFD, which the check of each text refuses."""
    return path.read_text(encoding="utf-8-sig", errors="replace")


def without_audio(id_: str, speaker: str, source: str) -> Item:
    """Return the rejected item of a transcript whose audio is missing."""
    return Item(
        id_, speaker, None, source, problem=Rejected("missing audio", f"a file for {id_}", "a transcript alone")
    )
