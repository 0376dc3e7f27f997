"""Sample rates and resampling, in one place."""

from __future__ import annotations

import numpy as np
import soxr

MIN_RATE, MAX_RATE = 4000, 384000  # Hz: below the first there is no intelligible speech, the second is a broken header


def resample(samples: np.ndarray, *, from_rate: int, to_rate: int) -> np.ndarray:
    """Return mono ``samples (n,)`` as float32 at another rate.

    soxr, because torchaudio holds one filter per phase: between rates without a common divisor (44,099 to 16,000 Hz)
    it took 12 GB and 75 s per second of audio.
    """
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    return samples if from_rate == to_rate else soxr.resample(samples, from_rate, to_rate)
