"""Audio of one utterance: read, check, and bring to mono at the codec's rate."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from model.audio import FULL_SCALE, MAX_RATE, MIN_RATE, SILENT_PEAK, Stream, peak, resample
from tasks.common.completeness import check_complete
from tasks.common.rejected import Rejected

UNKNOWN_LENGTH = 1 << 62  # frames; libsndfile gives this or more for a FLAC that was written to a pipe
UNUSABLE_NAME = (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EINVAL)


@dataclass(frozen=True)
class Limits:
    """Lengths in seconds, and the largest share of clipped samples, that an utterance may have."""

    min_seconds: float = 0.05
    max_seconds: float = 600.0
    max_clipped: float = 0.01


def read(path: Path, limits: Limits) -> tuple[np.ndarray, int]:
    """Return mono float32 samples ``(n,)`` of an audio file, and its rate in Hz.

    The formats are those of libsndfile whose files say how long they are. Length is checked on the header, before the
    samples are read: a ten-hour file costs nothing.

    Raises:
        Rejected: unreadable, truncated, empty, too short, too long, non-finite, silent or clipped.
    """
    try:
        if not path.is_file():
            found = "no such file" if not path.exists() else "a folder" if path.is_dir() else "a pipe or device"
            raise Rejected("missing audio", "a file", found)
        if path.stat().st_size == 0:
            raise Rejected("empty audio", "samples", "a file of 0 bytes")
        with Stream(str(path)) as file:
            rate, frames = file.samplerate, file.frames
            check_complete(path, file.format, frames, file.extra_info)
            if known := frames < UNKNOWN_LENGTH:
                _check_length(frames, rate, limits)
            most = frames if known else int(limits.max_seconds * rate) + 1  # one more than allowed is too long
            samples = file.read(most, dtype="float32", always_2d=True)
    except OSError as error:
        if error.errno not in UNUSABLE_NAME:
            raise  # the machine's fault, not the file's
        raise Rejected("unreadable audio", "a file that can be opened", os.strerror(error.errno)) from error
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:  # TypeError: a headerless .raw
        raise Rejected("unreadable audio", "a WAV, FLAC or other file of libsndfile", str(error)) from error
    if known and len(samples) < frames:
        raise Rejected("truncated audio", f"{frames} samples as its header says", f"{len(samples)}")
    return check(samples, rate, limits), rate


def load(path: Path, sample_rate: int, limits: Limits) -> np.ndarray:
    """Return samples ``(n,)`` of :func:`read` at ``sample_rate``."""
    samples, rate = read(path, limits)
    return to_rate(samples, rate, sample_rate)


def check(samples: np.ndarray, rate: int, limits: Limits) -> np.ndarray:
    """Return samples ``(n,)`` or ``(n, channels)``, float or int16, as mono float32: the mean of the channels.

    Raises:
        Rejected: an impossible rate; empty, too short, too long, non-finite, silent or clipped.
    """
    _check_length(len(samples), rate, limits)
    if samples.dtype == np.int16:
        samples = samples.astype(np.float32) / 32768.0
    if not np.isfinite(samples).all():
        raise Rejected("non-finite samples", "finite samples", f"{int((~np.isfinite(samples)).sum())} NaN or infinite")
    # Before averaging, which hides a clipped channel; silence after it, since opposite channels cancel out.
    clipped = float((np.abs(samples) >= FULL_SCALE).mean())
    if clipped > limits.max_clipped:
        raise Rejected("clipped audio", f"at most {limits.max_clipped:.2%} of samples at full scale", f"{clipped:.2%}")
    mono = samples.mean(axis=1, dtype=np.float32) if samples.ndim == 2 else samples
    if (found := peak(mono)) < SILENT_PEAK:
        raise Rejected("silent audio", f"a peak of at least {SILENT_PEAK}", f"{found:.2g}")
    return mono


def to_rate(samples: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    """Return ``(n,)`` float32 at ``sample_rate``, clipped to [-1, 1]."""
    return np.clip(resample(samples, from_rate=rate, to_rate=sample_rate), -1.0, 1.0)


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Return float samples in [-1, 1] as little-endian 16-bit integers."""
    return np.clip((samples * 32768).round(), -32768, 32767).astype("<i2")


def _check_length(n: int, rate: int, limits: Limits) -> None:
    if not MIN_RATE <= rate <= MAX_RATE:
        raise Rejected("impossible sample rate", f"{MIN_RATE} to {MAX_RATE} Hz", f"{rate} Hz")
    seconds = n / rate
    if seconds == 0:
        raise Rejected("empty audio", "samples", "none")
    if seconds < limits.min_seconds:
        raise Rejected("audio too short", f"at least {limits.min_seconds} s", f"{seconds:.3f} s")
    if seconds > limits.max_seconds:
        raise Rejected("audio too long", f"at most {limits.max_seconds} s", f"{seconds:.1f} s")
