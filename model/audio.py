"""Sample rates, resampling, and what counts as silent or clipped, in one place."""

from __future__ import annotations

import base64
import re

import numpy as np
import soundfile
import soxr

MIN_RATE, MAX_RATE = 4000, 384000  # Hz: below the first there is no intelligible speech, the second is a broken header
SILENT_PEAK = 1e-3  # of full scale (-60 dB), after removing a constant offset
SOUND_BLOCK = 0.02  # seconds, in which sound and silence are told apart
LEAST_PROMPT, SHORT_PROMPT = 0.1, 0.5  # seconds of sound that a voice prompt must have, and below which it is warned of
FULL_SCALE = 0.99  # at or above this a sample counts as clipped; an 8-bit file's largest value is 127/128
CLIPPED_PROMPT = 0.01  # share of clipped samples from which a voice prompt's voice suffers
_DATA_URL = re.compile(rb"^data:[\w/+.-]*(?:;[\w=-]+)*,")


class Stream(soundfile.SoundFile):
    """An audio file that is read from its start on. One of unknown length can't be sought in, as soundfile would."""

    def seekable(self) -> bool:
        return False


def from_base64(text: bytes) -> bytes:
    """Return the file that base64 holds: also in the alphabet of URLs, broken into lines, unpadded, or a data URL.

    Raises:
        ValueError: it is none.
    """
    text = _DATA_URL.sub(b"", text.strip()).translate(bytes.maketrans(b"-_", b"+/"), b" \t\r\n")
    return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)


def why_unreadable(error: Exception) -> str:
    """Return why an audio file could not be read, without the name of the object in memory that soundfile gives."""
    return str(getattr(error, "error_string", error))


def peak(samples: np.ndarray) -> float:
    """Return the largest magnitude of mono ``samples (n,)`` around their mean."""
    return float(np.abs(samples - samples.mean()).max())


def sounding_seconds(samples: np.ndarray, sample_rate: int) -> float:
    """Return how long mono ``samples (n,)`` are no silence around their mean, in blocks of 20 ms: a click hardly is."""
    block = max(1, round(SOUND_BLOCK * sample_rate))
    centered = samples - samples.mean()
    blocks = np.pad(centered, (0, -len(centered) % block)).reshape(-1, block)
    power = (blocks**2).mean(axis=1, dtype=np.float64)
    sounding = power >= SILENT_PEAK**2 / 2  # that of a sine with this peak
    return float(min(sounding.sum() * block, len(samples)) / sample_rate)


def clipping(samples: np.ndarray) -> str | None:
    """Return what to warn of where a voice prompt, of any shape, is at full scale; None where it is not."""
    share = float((np.abs(samples) >= FULL_SCALE).mean()) if samples.size else 0.0
    if share <= CLIPPED_PROMPT:
        return None
    return (
        f"is clipped ({share:.0%} of its samples are at full scale), so the voice will be less like it; record it at "
        "a lower level"
    )


def resample(samples: np.ndarray, *, from_rate: int, to_rate: int) -> np.ndarray:
    """Return mono ``samples (n,)`` as float32 at another rate.

    soxr, because torchaudio holds one filter per phase: between rates without a common divisor (44,099 to 16,000 Hz)
    it took 12 GB and 75 s per second of audio.
    """
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    return samples if from_rate == to_rate else soxr.resample(samples, from_rate, to_rate)
