"""Writing an answer where it may fail: full disks, closed pipes, terminals without Unicode, names that are no UTF-8.

An answer that nobody got must not end with the exit status of a verdict.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from model.errors import InputError

PLAIN = {"−": "-", "–": "-", "±": "+-", "\N{NO-BREAK SPACE}": " ", "…": "...", "²": "2"}
HANDLER = "speechalign_plain"


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Replace what a stream can't encode: signs by their ASCII twin, bytes of a file's name by an escape."""
    assert isinstance(error, UnicodeEncodeError)
    found = error.object[error.start : error.end]
    return "".join(PLAIN.get(sign) or _escape(sign) for sign in found), error.end


def _escape(sign: str) -> str:
    return f"\\x{ord(sign) - 0xDC00:02x}" if 0xDC80 <= ord(sign) <= 0xDCFF else "?"


codecs.register_error(HANDLER, _plain)


def written_out(text: str) -> str:
    """Text in which bytes of file names that are no UTF-8 are escapes, so that it can be written as UTF-8."""
    return text.encode("utf-8", HANDLER).decode()


class Lenient:
    """A stream for progress and messages: what can't be written to it is lost, and nothing else is."""

    def __init__(self, stream: TextIO | None, answers: TextIO | None = None):
        """``answers``: standard output, while this stands in for it."""
        self._stream, self.answers = stream, answers

    def write(self, text: str) -> int:
        """Write as far as possible."""
        with contextlib.suppress(OSError, ValueError):
            if self._stream is not None:
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush as far as possible."""
        with contextlib.suppress(OSError, ValueError):
            if self._stream is not None:
                self._stream.flush()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def lenient_messages() -> Iterator[None]:
    """Send progress and messages to standard error, and lose them where that fails; standard output is the answer's."""
    stream: Any = Lenient(sys.stderr, sys.stdout)
    with contextlib.redirect_stderr(stream), contextlib.redirect_stdout(stream):
        yield


@contextlib.contextmanager
def answer_on_stdout(answer: str) -> Iterator[None]:
    """Print the answer within this; it is flushed, and a failure is told on standard error, with the answer itself.

    Raises:
        InputError: standard output can't be written.
    """
    stream = sys.stdout.answers if isinstance(sys.stdout, Lenient) else sys.stdout
    try:
        if stream is None:
            raise OSError("it is closed")
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=HANDLER)
        with contextlib.redirect_stdout(stream):
            yield
        stream.flush()
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) and not (stream is not None and stream.closed):
            raise
        _discard(stream)
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise InputError(f"standard output can't be written: {reason}. The answer was: {answer}") from error


@contextlib.contextmanager
def written_after(option: str, path: str | Path) -> Iterator[None]:
    """Name the output that can't be written once the answer is out.

    Raises:
        InputError: an ``OSError`` came up.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"{option} {path} can't be written: {error.strerror or error}; the answer is above") from error


def _discard(stream: TextIO | None) -> None:
    """Let the interpreter's own last flush go nowhere: its failure would replace the exit status."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
        os.close(nowhere)
