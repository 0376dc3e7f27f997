"""Sample rates: which are possible, and from one to another."""

from __future__ import annotations

import numpy as np
import soxr

MIN_RATE, MAX_RATE = 4000, 384000  # Hz: below the first there is no intelligible speech, the second is a broken header


def resample(samples: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    """``(n,)`` float32 from one rate to another.

    By soxr and not torchaudio, whose filter bank has a filter for every phase: between rates without a common
    divisor (44,099 to 16,000 Hz) it took 12 GB and 75 s for one second of sound.
    """
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    return samples if rate == sample_rate else soxr.resample(samples, rate, sample_rate)
