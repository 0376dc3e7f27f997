"""Texts of a file: one per line, spelled as the policy spells them."""

from __future__ import annotations

from pathlib import Path

from model.spelling import Spelling
from tasks.common.delimited import lines_of
from tasks.common.files import DataError
from tasks.common.rejected import Rejected
from tasks.common.text import normalize

SHOWN = 5  # unusable lines that a message spells out


def read_lines(path: Path, setting: str, spelling: Spelling) -> list[str]:
    """Return the file's distinct texts in their order; blank lines are skipped.

    Args:
        setting: the name of what names the file, for messages. spelling: what becomes of accents and tags.

    Raises:
        DataError: no such file, not UTF-8, no text in it, or lines that can't be read aloud as they are.
    """
    if not path.is_file():
        raise DataError(f"{setting} is {path}, which is not a file; expected one text per line")
    try:
        lines = lines_of(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8 (byte {error.start}); save it as UTF-8") from error
    texts, problems = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            texts.append(normalize(line, spelling))
        except Rejected as problem:
            problems.append(f"\n  line {number}: {problem}")
    if problems:
        more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise DataError(f"{path} has {len(problems)} unusable line(s):{''.join(problems[:SHOWN])}{more}\ncorrect them")
    if not texts:
        raise DataError(f"{path} holds no text; expected one text per line ({setting})")
    return list(dict.fromkeys(texts))
