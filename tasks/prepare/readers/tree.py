"""Folders of published corpora, walked in a fixed order."""

from __future__ import annotations

from pathlib import Path

from tasks.common.files import DataError


def corpus_root(root: Path, *names: str) -> Path:
    """Return the folder of one of these names in ``root`` (as archives unpack), or ``root`` itself."""
    return next((root / name for name in names if (root / name).is_dir()), root)


def files(folder: Path, *suffixes: str) -> list[Path]:
    """Return all files below ``folder`` with one of the suffixes, sorted, without :func:`is_shadow` and hidden folders.

    ``suffixes`` are in lower case; those of the files may be in any.
    """
    found = (p for p in folder.rglob("*") if p.suffix.lower() in suffixes)
    return sorted(p for p in found if not any(map(is_shadow, p.relative_to(folder).parts)) and p.is_file())


def is_shadow(name: str) -> bool:
    """Return whether a system or office program left this: ``._a.csv`` (macOS), ``~$a.csv`` (Excel), other hidden."""
    return name.startswith((".", "~$")) or name == "__MACOSX"


def audio_files(folder: Path, *suffixes: str) -> list[Path]:
    """Return :func:`files`.

    Raises:
        DataError: there are none, so this is not the corpus's folder.
    """
    found = files(folder, *suffixes)
    if not found:
        raise DataError(f"{folder} holds no {' or '.join(suffixes)} file; check prepare.corpus and prepare.path")
    return found
