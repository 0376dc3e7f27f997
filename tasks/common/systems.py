"""A folder of recordings per system, as people have them: which file is which draw of which text, and what is wrong.

A recording of the text ``id`` is, with any ending that libsndfile reads,

* ``id.wav``, at any depth: ``speaker/chapter/id.flac`` and ``seed3/id.wav`` too;
* ``id_1.flac``, ``id-2.wav``, ``id_seed3.ogg``, ``id.draw4.wav``: one of several draws;
* ``id/seed3.opus``, ``id/0.wav``: any file in a folder of that name.

Hidden folders, and those that archives and tools leave (``__MACOSX``), hold no recordings; linked folders are followed.
Nothing else is skipped: files that belong to no text and texts without a file are named, and an unusable file is a
failure of its system (:func:`load`).
"""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.common import audio
from tasks.common.files import DataError
from tasks.common.rejected import Rejected
from tasks.common.text_lists import CONTROL, Text, some

ENDINGS = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".w64"}
UNREADABLE = {".m4a", ".aac", ".mp4", ".webm", ".wma", ".amr"}  # sound that libsndfile has no decoder for
DRAW = re.compile(r"[_.-](?:seed|draw|sample|take|run|rep|v)?[_-]?(\d{1,9})", re.IGNORECASE)
NUMBER = re.compile(r"\d+")
Order = tuple[tuple[int, ...], str]  # numbers of a draw's label, and the rest of it
LEAST_SECONDS, LEAST_PER_WORD = 0.1, 0.06  # nobody says a word in less
MOST_SECONDS, MOST_PER_WORD = 5.0, 2.0  # beyond the sum the system did not stop
LOUDEST = 1000.0  # of samples of which 1 is full scale: above it, a file holds no sound
LONGEST_READ = 600.0  # seconds; a longer file is not read at all
MAX_CLIPPED = 0.01  # share of the samples


@dataclass(frozen=True)
class System:
    """Recordings of one system, by text; each text's in the order of their draws."""

    name: str
    folder: Path
    recordings: dict[str, list[Path]]
    strangers: list[str]  # files that belong to no text, relative to the folder

    @property
    def draws(self) -> int:
        """Draws per text: the most that any text has. A text with fewer lacks the others."""
        return max(map(len, self.recordings.values()), default=0)

    def missing(self, texts: Iterable[str]) -> list[str]:
        """Ids without any recording."""
        return [name for name in texts if name not in self.recordings]


@dataclass(frozen=True)
class Sound:
    """One recording as read: mono ``samples (n,)`` at ``rate``, and why it counts as a failure, if it does.

    No samples: nothing that could be judged.
    """

    samples: np.ndarray
    rate: int
    problem: str = ""

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.samples) / self.rate


LEFT_BEHIND = {"__MACOSX", "__pycache__", "@eaDir", "$RECYCLE.BIN", "lost+found"}  # folders of archives and tools
NOTHING = np.zeros(0, np.float32)


def read_system(location: str, texts: Mapping[str, Text], name: str = "") -> System:
    """Find each text's recordings in a folder or under ``s3://``; no audio is read.

    Raises:
        DataError: no such folder, no recordings, none of these texts, two files for one draw, a format without a
            decoder, or a name that is not UTF-8.
    """
    folder = local_folder(location)
    found: dict[str, list[tuple[tuple[Order, str], Path]]] = {}
    strangers = []
    # A pipe or a link to nowhere is one too: it is named as a recording that can't be read.
    files = sorted(files_below(folder))
    if encoded := [path.name for path in files if path.suffix.lower() in UNREADABLE]:
        raise DataError(f"{folder} holds {some(encoded)}, which can't be decoded here; convert them to WAV or FLAC")
    sounds = [path for path in files if path.suffix.lower() in ENDINGS]
    for path in sounds:
        place = path.relative_to(folder)
        if match := _text_of(place, texts):
            found.setdefault(match[0], []).append(((match[1], place.parent.as_posix()), path))
        else:
            strangers.append(place.as_posix())
    if not sounds:
        raise DataError(f"{location} holds no recordings; expected files that end in {', '.join(sorted(ENDINGS))}")
    if not found:
        raise DataError(
            f"{location}: none of its {len(sounds)} recordings belongs to a text ({some(strangers)}); expected names "
            f"such as {next(iter(texts))}.wav or {next(iter(texts))}_1.wav{_alike(strangers, texts)}"
        )
    for drawn in found.values():
        drawn.sort(key=lambda one: one[0])
        for first, second in itertools.pairwise(drawn):
            if first[0] == second[0]:
                raise DataError(f"{first[1]} and {second[1].name} are one draw of one text; keep one of them")
    recordings = {key: [path for _, path in found[key]] for key in texts if key in found}
    return System(name or folder.name or location, folder, recordings, strangers)


def _alike(files: Iterable[str], texts: Mapping[str, Text]) -> str:
    """Say which file and id are one but for case, leading zeros or an ending; "" where none are."""

    def key(name: str) -> str:
        stem, ending = os.path.splitext(name)
        name = stem if ending.lower() in ENDINGS else name
        return re.sub(r"(?<!\d)0+(?=\d)", "", name.rpartition("/")[2].casefold())

    ids = {key(name): name for name in texts}
    for file in files:
        if name := ids.get(key(file)):
            return (
                f". {file} and the id {name!r} differ in case, leading zeros or the ending only: write both alike, the "
                "id without an ending"
            )
    return ""


def check_apart(locations: Sequence[str]) -> None:
    """Refuse a system's folder that lies inside another's: its recordings would count for both.

    Raises:
        DataError: the first such two.
    """
    places = {one: one.rstrip("/") if one.startswith("s3://") else os.path.realpath(one) for one in locations}
    for inner, outer in itertools.permutations(locations, 2):
        if places[inner].startswith(places[outer].rstrip("/") + "/"):
            raise DataError(
                f"{inner} lies inside {outer}: its recordings would count for both systems; move it out, or name the "
                "folder of the other system alone"
            )


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, but for hidden ones; linked folders are followed once.

    Raises:
        DataError: a name that is not UTF-8, or has a control character in it.
    """
    seen = set()
    for above, folders, names in os.walk(folder, followlinks=True):
        place = os.path.realpath(above)
        folders[:] = (
            sorted(name for name in folders if name[0] != "." and name not in LEFT_BEHIND) if place not in seen else []
        )
        if place in seen:
            continue  # a link that leads back, or a second link
        seen.add(place)
        for name in (*folders, *names):
            if not name.isprintable() and any("\ud800" <= character <= "\udfff" for character in name):
                shown = os.fsencode(name).decode("utf-8", "replace")
                raise DataError(f"{folder} holds {shown}, a name that is not in UTF-8; rename it")
            if CONTROL.search(name):
                raise DataError(f"{folder} holds {name!r}, a name with a control character; rename it")
        yield from (Path(above, name) for name in names if not name.startswith("."))


def local_folder(location: str) -> Path:
    """Return the folder; one on S3 is fetched first.

    Raises:
        DataError: there is no such folder.
    """
    if not location.strip():
        raise DataError("a folder's name is empty; expected a folder of recordings or s3:// (. is the current folder)")
    if any("\ud800" <= character <= "\udfff" for character in location):  # libsndfile's reader takes UTF-8 alone
        shown = os.fsencode(location).decode("utf-8", "replace")
        raise DataError(f"{shown} has a name that is not in UTF-8; rename it")
    if CONTROL.search(location):
        raise DataError(f"{location!r} has a control character in its name; rename it")
    if location.startswith("s3://"):
        from tasks.common import s3  # imports boto3, which local folders need not wait for

        return s3.fetch(location)
    folder = Path(location)
    if not os.path.isdir(folder):
        raise DataError(
            f"{location} is {'a file' if os.path.exists(folder) else 'not there'}; expected a folder of recordings or s3://"
        )
    return folder


def load(path: Path | None, words: int) -> Sound:
    """Read one recording of a text of so many words; what is wrong with it is its ``problem``, never an error.

    Clipped audio and audio of an impossible length still have their samples. A file that is missing, broken, silent or
    longer than ten minutes has none.
    """
    if path is None:
        return Sound(NOTHING, 16000, "missing audio: expected a file, found none")
    try:
        samples, rate = audio.read(path, audio.Limits(0.0, LONGEST_READ, 1.0))
    except Rejected as rejected:
        return Sound(NOTHING, 16000, str(rejected))
    if (peak := float(np.abs(samples).max())) > LOUDEST:
        return Sound(NOTHING, 16000, f"impossible audio: expected samples of about 1 at most, found {peak:.1g}")
    try:
        audio.read(path, audio.Limits(0.0, LONGEST_READ, MAX_CLIPPED))
    except Rejected as rejected:
        return Sound(samples, rate, str(rejected))
    seconds, words = len(samples) / rate, max(1, words)
    shortest, longest = max(LEAST_SECONDS, LEAST_PER_WORD * words), MOST_SECONDS + MOST_PER_WORD * words
    problem = ""
    if seconds < shortest:
        problem = f"audio too short: expected at least {shortest:.2f} s for {words} words, found {seconds:.2f} s"
    elif seconds > longest:
        problem = f"audio too long: expected at most {longest:.0f} s for {words} words, found {seconds:.1f} s"
    return Sound(samples, rate, problem)


def _text_of(place: Path, texts: Mapping[str, Text]) -> tuple[str, Order] | None:
    """Return a file's text and what orders its draws; None for a file of no text. The longest id wins.

    Raises:
        DataError: both the file's name and a folder above it are ids.
    """
    # Disks of a Mac decompose accents, lists seldom do.
    parts = unicodedata.normalize("NFC", place.with_suffix("").as_posix()).split("/")
    by_name = _named(parts, texts)
    by_folder = next(
        (
            (name, _order(parts[end:]))
            for start in range(len(parts) - 1)
            for end in range(len(parts) - 1, start, -1)
            if (name := "/".join(parts[start:end])) in texts
        ),
        None,
    )
    if by_name and by_folder and "/" not in by_name[0] and by_name[0] != by_folder[0]:
        raise DataError(
            f"{place.as_posix()} may be a draw of {by_folder[0]!r} or of {by_name[0]!r}: both are ids of texts; "
            "rename the draws, for example to seed0, seed1"
        )
    return by_name or by_folder


def _named(parts: list[str], texts: Mapping[str, Text]) -> tuple[str, Order] | None:
    """The text that a file's name gives: ``id``, or an id and a number."""
    for start in range(len(parts)):
        if (name := "/".join(parts[start:])) in texts:
            return name, _order(parts[:start])
    for start in range(len(parts)):
        name = "/".join(parts[start:])
        for match in DRAW.finditer(name):
            if match.end() == len(name) and name[: match.start()] in texts:
                return name[: match.start()], _order([*parts[:start], match[0]])
    return None


def _order(labels: list[str]) -> Order:
    """Return labels in an order that counts: seed2 before seed10."""
    joined = "/".join(labels)
    return tuple(int(number) for number in NUMBER.findall(joined)), NUMBER.sub("", joined)
