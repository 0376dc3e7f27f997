"""Votes on disk: one JSON line each, written and synced before it is acknowledged. A kill loses none and doubles none.

A file that is moved away, replaced or edited under a running server takes no more votes: nothing is acknowledged that
the next reader of the folder would not find. Once the same file is back, votes that were refused can be sent again.

The first line of a rater says which secret the rater's browser has and which trials were assigned. A changed vote is a
further line with a higher revision. A line without its end was never acknowledged; the next start removes it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock

from tasks.common.files import DataError
from tasks.prefer.votes.key import Key

NAME = "votes.jsonl"
MOST_RATERS = 10_000
Vote = dict[str, Any]


class Refused(Exception):  # noqa: N818
    """A vote or a rater that cannot be taken; ``status`` is that of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Moved(OSError):  # noqa: N818
    """The file of votes is not where, or not what, the server left."""


@dataclass
class Kept:
    """What a file of votes holds: raters by their folded names, and the last revision of each vote."""

    raters: dict[str, dict[str, Any]] = field(default_factory=dict)
    latest: dict[tuple[str, str], Vote] = field(default_factory=dict)  # by rater and trial
    whole: int = 0  # bytes up to the last line that is complete

    @property
    def votes(self) -> list[Vote]:
        """In the order of their first revision."""
        return list(self.latest.values())

    def take(self, entry: dict[str, Any]) -> None:
        if entry["kind"] == "rater":
            self.raters[entry["folded"]] = entry
        else:
            self.latest[entry["folded"], entry["trial"]] = entry


def read(file: Path, key: Key) -> Kept:
    """Return what the file holds; nothing, if it does not exist.

    Raises:
        DataError: a line in the middle is damaged, or the votes are of another test.
    """
    kept = Kept()
    if not file.is_file():
        return kept
    for number, line in enumerate(file.read_bytes().split(b"\n")[:-1], 1):
        try:
            entry = json.loads(line)
            if entry["test"] != key.test:
                raise DataError(f"{file} line {number} is of the listening test {entry['test']}, not of {key.test}")
            kept.take(entry)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(
                f"{file} line {number} is damaged; restore the file from a copy, or remove that line"
            ) from error
        kept.whole += len(line) + 1
    return kept


class Store:
    """The file of votes, open for one server.

    Raises:
        DataError: another server has the file open, or it is damaged.
    """

    def __init__(self, file: Path, key: Key, assign: Callable[[Kept], list[str]]) -> None:
        self._file, self._key, self._assign = file, key, assign
        self._other = filelock.FileLock(file.with_name(f".{file.name}.lock"))
        try:
            self._other.acquire(timeout=0)
        except filelock.Timeout:
            raise DataError(f"{file} is in use by another server; stop that one first") from None
        self._lock = threading.Lock()
        try:
            self.kept = read(file, key)
            self._handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except BaseException:
            self._other.release()
            raise
        self.torn = os.fstat(self._handle).st_size - self.kept.whole
        if self.torn:
            os.ftruncate(self._handle, self.kept.whole)
        os.fsync(self._handle)
        folder = os.open(file.parent, os.O_RDONLY)
        os.fsync(folder)  # the new file's name
        os.close(folder)

    def close(self) -> None:
        os.close(self._handle)
        self._other.release()

    def begin(self, name: str, folded: str, secret: str) -> tuple[list[str], dict[str, Vote]]:
        """Return a rater's trials and votes so far; a new rater gets trials.

        Raises:
            Refused: another browser began under this name, or there are too many raters.
            OSError: the file cannot be written, or is not the server's any more (:class:`Moved`).
        """
        with self._lock:
            self._check_file()
            if folded not in self.kept.raters:
                if len(self.kept.raters) >= MOST_RATERS:
                    raise Refused(429, "too many raters have begun")
                trials = self._assign(self.kept)
                digest = hashlib.sha256(secret.encode()).hexdigest()
                self._append({"kind": "rater", "rater": name, "folded": folded, "secret": digest, "trials": trials})
            trials = self._rater(folded, secret)["trials"]
            return trials, {trial: vote for (who, trial), vote in self.kept.latest.items() if who == folded}

    def vote(self, folded: str, secret: str, vote: Vote) -> bool:
        """Write a vote unless it is there already; return whether it was new.

        Raises:
            Refused: an unknown rater or trial, or another vote has that revision.
            OSError: the file cannot be written, or is not the server's any more (:class:`Moved`).
        """
        with self._lock:
            self._check_file()  # a retry is acknowledged without writing
            rater = self._rater(folded, secret)
            if vote["trial"] not in rater["trials"]:
                raise Refused(422, f"trial {vote['trial']} is not one of yours")
            before = self.kept.latest.get((folded, vote["trial"]))
            entry = {"kind": "vote", "rater": rater["rater"], "folded": folded, **vote}
            if before and before["revision"] >= vote["revision"]:
                if before == {"test": self._key.test, **entry}:
                    return False  # a retry
                raise Refused(409, "you voted otherwise on this pair in another window")
            self._append(entry)
            return True

    def _rater(self, folded: str, secret: str) -> dict[str, Any]:
        rater = self.kept.raters.get(folded)
        if rater is None:
            raise Refused(403, "this rater has not begun")
        if not hmac.compare_digest(rater["secret"], hashlib.sha256(secret.encode()).hexdigest()):
            raise Refused(403, "this name was used in another browser; go on there, or take another name")
        return rater

    def _append(self, entry: dict[str, Any]) -> None:
        """Write one line and wait for the disk; on an error nothing of it stays."""
        entry = {"test": self._key.test, **entry}
        line = json.dumps(entry, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        try:
            if os.write(self._handle, line) != len(line):
                raise OSError(28, "the disk is full")
            os.fsync(self._handle)
            self._check_file(len(line))
        except Moved:
            self._take_back(len(line))
            raise
        except OSError:
            os.ftruncate(self._handle, self.kept.whole)
            raise
        self.kept.whole += len(line)
        self.kept.take(entry)

    def _check_file(self, added: int = 0) -> None:
        """Refuse to go on with a file that was moved, replaced, or written by another program."""
        own = os.fstat(self._handle)
        if own.st_size != self.kept.whole + added:
            raise Moved(f"{self._file} was changed by another program; stop the server and look at the file")
        try:
            there = os.stat(self._file)
        except FileNotFoundError:
            there = None
        if there is None or not os.path.samestat(own, there):
            raise Moved(f"{self._file} was moved or replaced; put it back, or stop the server and serve the folder")

    def _take_back(self, added: int) -> None:
        """Remove a line that was not acknowledged, unless something else follows it by now."""
        if os.fstat(self._handle).st_size == self.kept.whole + added:
            os.ftruncate(self._handle, self.kept.whole)
