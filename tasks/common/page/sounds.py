"""Audio files as data URIs: the sound itself to play, and its spectrogram as a picture."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from model.audio import resample
from tasks.common.files import DataError

BUDGET_BYTES = 5_500_000  # of all sounds; base64 adds a third, and the page should stay below 8 MB
MP3_RATE = 48000  # the highest that MP3 knows
MELS, COLUMNS = 64, 400  # of a spectrogram, at most
WINDOW_SECONDS, HOP_SECONDS = 0.025, 0.008
FLOOR_DB = -65.0
LEVELS = 48  # colors: few enough that PNG packs well, too many to see
# Anchors of matplotlib's "magma" (CC0): dark to light, evenly spaced to the eye.
MAGMA = ((0, 0, 4), (40, 17, 89), (114, 31, 129), (182, 54, 121), (241, 96, 93), (254, 175, 119), (252, 253, 191))


@dataclass(frozen=True)
class Sound:
    """One recording, ready for the page."""

    audio: str  # data URI
    picture: str  # data URI of a PNG
    seconds: float


def must_compress(files: Iterable[Path]) -> bool:
    """Whether these FLAC files are too large to be embedded as they are."""
    return sum(path.stat().st_size for path in files) > BUDGET_BYTES


def embed(path: Path, compress: bool = False) -> Sound:
    """One FLAC file as data URIs: as it is (every current browser plays FLAC), or as MP3 for a smaller page.

    Raises:
        DataError: the file is not readable audio.
    """
    try:
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise DataError(f"{path} is not readable audio ({error}); run its evaluate stage again") from error
    mono = wave.mean(axis=1) if len(wave) else np.zeros(0, np.float32)
    return embed_wave(mono, rate, compress, None if compress else path.read_bytes())


def embed_wave(mono: np.ndarray, rate: int, compress: bool = False, flac: bytes | None = None) -> Sound:
    """Samples ``(n,)`` as data URIs: as FLAC, or as MP3 for a smaller page.

    Args:
        flac: the same sound as a FLAC file that exists already.
    """
    if compress:
        buffer = io.BytesIO()
        if rate > MP3_RATE:
            mono, rate = resample(mono, from_rate=rate, to_rate=MP3_RATE), MP3_RATE
        soundfile.write(buffer, mono, rate, format="MP3", compression_level=0.6)
        audio = _uri("audio/mpeg", buffer.getvalue())
    elif flac is not None:
        audio = _uri("audio/flac", flac)
    else:
        buffer = io.BytesIO()
        soundfile.write(buffer, np.clip(mono, -1, 1), rate, format="FLAC")
        audio = _uri("audio/flac", buffer.getvalue())
    return Sound(audio, _uri("image/png", spectrogram_png(mono, rate)), len(mono) / rate)


def spectrogram_png(wave: np.ndarray, rate: int) -> bytes:
    """Log-mel spectrogram of ``wave`` ``(samples,)`` as a palette PNG, low frequencies at the bottom."""
    decibels = log_mel(wave, rate)
    shades = np.round((decibels / -FLOOR_DB + 1) * (LEVELS - 1)).clip(0, LEVELS - 1).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(shades[::-1]), mode="P")
    picture.putpalette(_palette())
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def log_mel(wave: np.ndarray, rate: int) -> np.ndarray:
    """``(MELS, columns)`` in dB below the loudest bin, not below ``FLOOR_DB``; silence is all floor."""
    size = 1 << int(np.ceil(np.log2(rate * WINDOW_SECONDS)))
    hop = max(int(rate * HOP_SECONDS), len(wave) // COLUMNS)
    padded = np.pad(np.nan_to_num(wave.astype(np.float32)), size // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop] * np.hanning(size).astype(np.float32)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    # Mean power of bands evenly spaced on the mel scale, 50 Hz to 8 kHz or half the rate, one bin wide at least.
    mels = np.linspace(_mel(50), _mel(min(8000, rate / 2)), MELS + 1)
    edges = np.round(700 * (10 ** (mels / 2595) - 1) / rate * size).astype(int)
    power = np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1) / np.maximum(1, np.diff(edges))
    loudest = float(power.max())
    if loudest <= 1e-10:
        return np.full((MELS, len(frames)), FLOOR_DB)
    return np.maximum(10 * np.log10(np.maximum(power, 1e-12) / loudest), FLOOR_DB).T


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)


@lru_cache(maxsize=1)
def _palette() -> list[int]:
    at = np.linspace(0, len(MAGMA) - 1, LEVELS)
    channels = [np.interp(at, range(len(MAGMA)), [color[c] for color in MAGMA]) for c in range(3)]
    return np.round(np.stack(channels, axis=1)).astype(int).ravel().tolist()


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
