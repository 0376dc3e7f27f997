"""Share of silence in a recording: pauses, and what comes before and after the speech."""

from __future__ import annotations

import numpy as np

from model.judges.waves import SAMPLE_RATE, audible

FRAME = SAMPLE_RATE // 50  # 20 ms
BELOW_DB = 35.0  # of a loud frame: quieter than every sound of speech in the same recording
LOUD = 95  # percentile of the frames, which one click does not move


def silence(wave: np.ndarray) -> float | None:
    """Return the share of 20 ms frames without sound in a mono 16 kHz waveform; None where nothing sounds."""
    samples = audible(wave, np.float64)
    if samples is None or samples.size < FRAME:
        return None
    frames = samples[: samples.size // FRAME * FRAME].reshape(-1, FRAME)
    power = (frames**2).mean(axis=1)
    return float((power < np.percentile(power, LOUD) * 10 ** (-BELOW_DB / 10)).mean())
