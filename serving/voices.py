"""Voices: recordings that the operator registered in a folder or that came in requests, and speakers' names."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from model.audio import MAX_RATE, MIN_RATE, Stream, clipping, why_unreadable
from tasks.common import audio
from tasks.common.files import DataError
from tasks.common.rejected import Rejected

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
SECONDS = 3.0  # of a prompt that are looked at: a policy takes little more than one
CHANNELS = 8


@dataclass(frozen=True)
class Voice:
    """The bytes of an audio file, what is said in it, and a speaker's name: as much as the policy takes."""

    audio: bytes = b""
    text: str = ""
    speaker: str = ""


def read_folder(folder: Path, largest: int) -> dict[str, Voice]:
    """Return the audio files of a folder by their names without suffix, each checked. A clipped one is warned of.

    What is said in ``alice.wav`` may stand next to it in ``alice.txt``.

    Raises:
        DataError: the folder is missing or has none, two have one name, or one is not usable as a voice prompt.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected one with a recording per voice, such as alice.wav")
    voices: dict[str, Voice] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES):
        if path.stem in voices:
            raise DataError(f"{path}: two voices are called {path.stem}; rename one")
        if path.stat().st_size > largest:
            raise DataError(
                f"{path}: {path.stat().st_size} bytes, at most {largest} are allowed; cut it to a few seconds"
            )
        voices[path.stem] = Voice(path.read_bytes(), _transcript(path.with_suffix(".txt")), path.stem)
        try:
            said = check(voices[path.stem].audio)
        except Rejected as error:
            raise DataError(f"{path}: {error}") from error
        if said:
            print(f"warning: {path} {said}", file=sys.stderr)
    if not voices:
        raise DataError(f"{folder} has no voice; expected files such as alice.wav ({', '.join(SUFFIXES)})")
    return voices


def _transcript(file: Path) -> str:
    try:
        return " ".join(file.read_text(encoding="utf-8-sig").split()) if file.is_file() else ""
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8: {error}; save it as UTF-8") from error


def check(data: bytes) -> str | None:
    """Check the beginning of an audio file before it waits for a worker; return what to warn of, None for nothing.

    Raises:
        Rejected: not audio, or non-finite, silent or empty.
    """
    try:
        with Stream(io.BytesIO(data)) as file:
            rate, channels = file.samplerate, file.channels
            if channels > CHANNELS:
                raise Rejected("too many channels", f"at most {CHANNELS}", str(channels))
            if not MIN_RATE <= rate <= MAX_RATE:
                raise Rejected("impossible sample rate", f"{MIN_RATE} to {MAX_RATE} Hz", f"{rate} Hz")
            samples: np.ndarray = file.read(int(SECONDS * rate), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, TypeError, ValueError) as error:
        raise Rejected("unreadable audio", "a WAV, FLAC or other file of libsndfile", why_unreadable(error)) from error
    audio.check(samples, rate, audio.Limits(max_clipped=1.0))  # `say` takes a clipped one, too
    return clipping(samples)
