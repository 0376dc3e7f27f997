"""Spread of a voice's pitch, by Praat. Preference optimization may flatten it."""

from __future__ import annotations

import numpy as np
import parselmouth
import torch

from model.judges.waves import audible

FLOOR, CEILING = 60.0, 500.0  # Hz: Praat's own floor of 75 would miss the lowest voices
TIME_STEP = 0.01
MIN_VOICED_FRAMES = 10
OCTAVE_ERROR = 9.0  # semitones from the median; pitch trackers err by an octave, 12
LOW, HIGH = 10, 90  # percentiles of the voiced frames


def f0_spread(wave: np.ndarray | torch.Tensor, sample_rate: int) -> float | None:
    """Return the semitones from the 10th to the 90th percentile of F0 over voiced frames of a waveform ``(samples,)``.

    Frames more than nine semitones from the median count as octave errors and are left out. Silence, a whisper or a
    fragment gives None: fewer than ten 10 ms frames are voiced.

    Raises:
        ValueError: a waveform with more than one dimension.
    """
    samples = audible(wave, np.float64)
    # Praat's window holds three periods of the lowest pitch.
    if samples is None or samples.size <= 3 * sample_rate / FLOOR:
        return None
    sound = parselmouth.Sound(samples, sampling_frequency=sample_rate)
    f0 = sound.to_pitch(time_step=TIME_STEP, pitch_floor=FLOOR, pitch_ceiling=CEILING).selected_array["frequency"]
    voiced = f0[f0 > 0]
    if voiced.size < MIN_VOICED_FRAMES:
        return None
    semitones = 12 * np.log2(voiced)
    near = np.abs(semitones - np.median(semitones)) <= OCTAVE_ERROR
    if near.sum() < MIN_VOICED_FRAMES:
        return None
    low, high = np.percentile(semitones[near], [LOW, HIGH])
    return float(high - low)
