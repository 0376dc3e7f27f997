"""Votes that come back from a listening test: sheets of the page, sheets filled in by hand, the server's own file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.common.files import DataError
from tasks.common.page.numbers import count
from tasks.common.text_lists import some
from tasks.prefer.votes import names, store
from tasks.prefer.votes.key import Key, Trial
from tasks.prefer.votes.sheet import CHOICES, files_of, refuse, rows

REQUIRED = ("test", "trial", "choice", "rater")
LETTERS = {"a": "A", "b": "B", "tie": "tie"}
Ratings = tuple[int, int]


@dataclass(frozen=True)
class Cast:
    """One rater's vote on one trial. ``choice`` and ratings are of the files, whichever was played as A."""

    trial: Trial
    rater: str
    choice: str  # A, B or tie
    where: str
    flipped: bool = False
    quality: Ratings | None = None
    similarity: Ratings | None = None
    seconds: float | None = None
    name: str = ""  # the rater's, as typed

    @property
    def first(self) -> str:
        """Which of the two the rater had as A on the page, or "tie"."""
        if self.choice == "tie":
            return "tie"
        return "A" if (self.choice == "A") != self.flipped else "B"


def read(folder: Path, key: Key, sheets: Sequence[Path] = ()) -> list[Cast]:
    """Return the votes that the server took in this folder, and those of the sheets, in the order they were given.

    Raises:
        DataError: a sheet of another test, an unknown trial or choice, a rating out of range, a rater who voted twice
            on one trial, a torn file, or no votes at all.
    """
    problems: list[str] = []
    cast = _of_server(folder, key, problems)
    own = (folder / store.NAME).resolve()
    # A file may be named twice, as itself and in its folder; it is read once.
    files = {place: file for path in sheets for file in files_of(path) if (place := file.resolve()) != own}
    for file in files.values():
        cast += _of_sheet(file, key, problems)
    first: dict[tuple[str, str], str] = {}
    for vote in cast:
        voted = (vote.rater, vote.trial.trial)
        if voted in first:
            problems.append(
                f"{vote.where}: {vote.name} voted twice on trial {vote.trial.trial}; first in {first[voted]}"
            )
        first.setdefault(voted, vote.where)
    refuse(folder, problems, heading="its votes cannot be counted")
    if not cast:
        filled = f": none of the sheets has a choice filled in ({some(map(str, files.values()))})" if files else ""
        raise DataError(f"{folder} has no votes yet{filled}; name the sheets that raters sent back, or serve the test")
    return cast


def _of_server(folder: Path, key: Key, problems: list[str]) -> list[Cast]:
    kept = store.read(folder / store.NAME, key)
    found = []
    for number, vote in enumerate(kept.votes, 1):
        cast = parse(vote, key, f"{store.NAME} vote {number}")
        if isinstance(cast, str):
            problems.append(f"{store.NAME} vote {number}: {cast}")
        else:
            found.append(cast)
    return found


def _of_sheet(file: Path, key: Key, problems: list[str]) -> list[Cast]:
    found = []
    others: Counter[str] = Counter()
    for place, cells in rows(file, REQUIRED):
        where = str(file.parent / place)
        if not cells["choice"]:
            continue  # not voted on
        if cells["test"] != key.test:
            others[cells["test"] or "(none)"] += 1
            continue
        numbers: dict[str, object] = {
            scale: [cells.get(f"{scale}_{side}", "") for side in "ab"] for scale in ("quality", "similarity")
        }
        cast = parse({**cells, **numbers}, key, where)
        if isinstance(cast, str):
            problems.append(f"{where}: {cast}")
        else:
            found.append(cast)
    problems += [
        f"{file}: {count(n, 'vote')} of it {'is' if n == 1 else 'are'} of the listening test {other}, this one is "
        f"{key.test}"
        for other, n in others.items()
    ]
    return found


def parse(vote: Mapping[str, object], key: Key, where: str) -> Cast | str:
    """Return a vote, or in words what is wrong with it. Values may be text, as in a sheet, or JSON."""
    if (test := str(vote.get("test", ""))) != key.test:
        return f"it is of the listening test {test or '(none)'}, this one is {key.test}"
    trial = key.by_trial.get(str(vote.get("trial", "")).zfill(3))
    if trial is None:
        return f"trial is {vote.get('trial')!r}, expected 001 to {key.trials[-1].trial}"
    choice = str(vote.get("choice", "")).lower()
    if choice not in CHOICES:
        return f'choice is "{str(vote.get("choice", ""))[:40]}", expected A, B or tie'
    name = str(vote.get("rater", ""))
    if wrong := names.problem(name):
        return wrong
    flipped = str(vote.get("flipped") or "0").lower()
    if flipped not in ("0", "1", "false", "true"):
        return f'flipped is "{flipped[:40]}", expected 0 or 1'
    cast = Cast(trial, names.folded(name), LETTERS[choice], where, flipped in ("1", "true"), name=names.shown(name))
    for scale in ("quality", "similarity"):
        pair = vote.get(scale) or ["", ""]
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            return f"{scale} is {str(pair)[:40]!r}, expected two numbers from 1 to 5"
        texts = [str(value) for value in pair]
        if texts == ["", ""]:
            continue
        if scale not in key.scales:
            return f"{scale} is rated, but the test does not ask for it"
        if not all(text in ("1", "2", "3", "4", "5") for text in texts):
            return f"{scale} is {' and '.join(text[:20] or 'empty' for text in texts)}, expected numbers from 1 to 5"
        rated = (int(texts[0]), int(texts[1]))
        cast = replace(cast, quality=rated) if scale == "quality" else replace(cast, similarity=rated)
    if (seconds := vote.get("seconds")) not in (None, ""):
        try:
            value = float(str(seconds))
        except ValueError:
            value = math.nan
        if not 0 <= value < math.inf:
            return f'seconds is "{str(seconds)[:40]}", expected a number'
        cast = replace(cast, seconds=value)
    return cast
