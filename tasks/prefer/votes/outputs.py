"""Files that a command will write, checked before it does anything: none may be one that it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.common.files import DataError
from tasks.prefer.votes import key as keys
from tasks.prefer.votes import store
from tasks.prefer.votes.key import Key
from tasks.prefer.votes.sheet import SUFFIXES

OWN = {keys.NAME, keys.PAGE, keys.SHEET, keys.TOKEN, store.NAME}


def check(test: Path, key: Key, sheets: Sequence[Path], outputs: Mapping[str, Path | None]) -> None:
    """Refuse an output that would replace votes, the test or another output, or would be read as votes next time.

    Args:
        test: folder of the listening test. sheets: files of votes and folders of them. outputs: by option.

    Raises:
        DataError: the first such output.
    """
    taken: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        place = path.resolve()
        if problem := _problem(place, test.resolve(), key, sheets):
            raise DataError(f"{option} {path} {problem}; name another file")
        if place in taken:
            raise DataError(f"{option} {path} is the file of {taken[place]} too; name two files")
        taken[place] = option


def _problem(place: Path, test: Path, key: Key, sheets: Sequence[Path]) -> str | None:
    if place.is_dir():
        return "is a folder"
    above = next(folder for folder in place.parents if folder.exists())
    if not above.is_dir():
        return f"cannot be written: {above} is a file"
    if place.parent == test and (place.name in OWN | key.sounds or place.name.startswith(".")):
        return "would replace a file of the listening test"
    for sheet in sheets:
        if sheet.is_dir() and place.parent == sheet.resolve() and place.suffix.lower() in (*SUFFIXES, ".txt"):
            return f"lies among the sheets in {sheet}, and would be read as one next time"
        if place == sheet.resolve():
            return f"would replace the votes in {sheet}"
    return None
