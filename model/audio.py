"""Sample rates, resampling, and what counts as silent or clipped, in one place."""

from __future__ import annotations

import numpy as np
import soundfile
import soxr

MIN_RATE, MAX_RATE = 4000, 384000  # Hz: below the first there is no intelligible speech, the second is a broken header
SILENT_PEAK = 1e-3  # of full scale (-60 dB), after removing a constant offset
FULL_SCALE = 0.99  # at or above this a sample counts as clipped; an 8-bit file's largest value is 127/128
CLIPPED_PROMPT = 0.01  # share of clipped samples from which a voice prompt's voice suffers


class Stream(soundfile.SoundFile):
    """An audio file that is read from its start on. One of unknown length can't be sought in, as soundfile would."""

    def seekable(self) -> bool:
        return False


def peak(samples: np.ndarray) -> float:
    """Return the largest magnitude of mono ``samples (n,)`` around their mean."""
    return float(np.abs(samples - samples.mean()).max())


def resample(samples: np.ndarray, *, from_rate: int, to_rate: int) -> np.ndarray:
    """Return mono ``samples (n,)`` as float32 at another rate.

    soxr, because torchaudio holds one filter per phase: between rates without a common divisor (44,099 to 16,000 Hz)
    it took 12 GB and 75 s per second of audio.
    """
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    return samples if from_rate == to_rate else soxr.resample(samples, from_rate, to_rate)
