"""What the readers of published corpora share: walking a folder in a fixed order, reading small text files.

lhotse has recipes for these corpora, but they leave out audio without a transcript (or the reverse) in silence and
stop at the first unreadable file. These readers give every file on either side, so that each is used or rejected.
"""

from __future__ import annotations

from pathlib import Path

from tasks.common.files import DataError
from tasks.prepare.items import Item, Rejected


def corpus_root(root: Path, *names: str) -> Path:
    """``root`` itself, or the folder of one of these names in it (as archives unpack)."""
    return next((root / name for name in names if (root / name).is_dir()), root)


def files(folder: Path, *suffixes: str) -> list[Path]:
    """All files below ``folder`` with one of the suffixes, sorted; ``._*`` (left by macOS archives) are not data."""
    found = (p for p in folder.rglob("*") if p.suffix.lower() in suffixes and not p.name.startswith("._"))
    return sorted(p for p in found if p.is_file())


def require(found: list[Path], root: Path, what: str) -> list[Path]:
    """The same files, if there are any.

    Raises:
        DataError: there are none, so this is not the corpus's folder.
    """
    if not found:
        raise DataError(f"{root} holds no {what}; check prepare.corpus and prepare.path")
    return found


def read_text(path: Path) -> str:
    """Text of a file. Bytes that are not UTF-8 become U+FFFD, which the text check refuses utterance by utterance."""
    return path.read_text(encoding="utf-8-sig", errors="replace")


def without_audio(id_: str, speaker: str, source: str) -> Item:
    """A transcript whose audio is not there."""
    return Item(
        id_, speaker, None, source, problem=Rejected("missing audio", f"a file for {id_}", "a transcript alone")
    )
