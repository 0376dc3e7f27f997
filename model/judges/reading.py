"""What a recognizer read, or why it could not: a judge that fails must not turn into a score."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from model.errors import InputError


@dataclass(frozen=True)
class Reading:
    """One transcript. ``text`` is None where the recognizer failed; ``problem`` then says how."""

    text: str | None
    problem: str = ""


class Recognizer(Protocol):
    """Transcribes mono 16 kHz waveforms and says where it can't."""

    name: str

    def read(self, waves: Sequence[np.ndarray], texts: Sequence[str]) -> list[Reading]:
        """Return one reading per waveform ``(samples,)``, in the order given; ``texts`` are what was asked for."""
        ...

    def for_thread(self) -> Recognizer:
        """Return the recognizer for another thread; weights are shared."""
        ...


def compression_ratio(text: str) -> float:
    """Bytes over compressed bytes, as Whisper measures repetition; 0 of an empty text."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def each(transcribe: Callable[[np.ndarray], str], waves: Sequence[np.ndarray], attempts: int = 2) -> list[Reading]:
    """Transcribe one by one; an exception is tried again, then it is the reading's problem.

    Nothing to transcribe (no samples) reads as ``""``: that is the system's failure, not the recognizer's.

    Raises:
        InputError: every one of several waveforms failed, so the recognizer itself does not work.
    """
    readings = [_one(transcribe, wave, attempts) if len(wave) else Reading("") for wave in waves]
    refuse_broken(readings)
    return readings


def refuse_broken(readings: Sequence[Reading]) -> None:
    """Raise where every reading is a crash: the recognizer, not the audio, is at fault.

    Raises:
        InputError: with the first crash's message.
    """
    crashed = [reading for reading in readings if reading.problem.startswith(CRASHED)]
    if len(crashed) == len(readings) > 1:
        raise InputError(f"the recognizer failed on each of {len(readings)} recordings: {crashed[0].problem}")


CRASHED = "crashed"


def crash(error: Exception) -> Reading:
    """Return the reading of a recognizer that raised ``error``."""
    return Reading(None, f"{CRASHED}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")


def _one(transcribe: Callable[[np.ndarray], str], wave: np.ndarray, attempts: int) -> Reading:
    found = Reading(None)
    for _ in range(attempts):
        try:
            return Reading(transcribe(wave))
        except Exception as error:  # any: a foreign model's crash must not become a score, nor end the run
            found = crash(error)
    return found
