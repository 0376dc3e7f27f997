"""What is played: one loudness and one sample rate, and a worse copy for the attention checks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

LEVEL = 10 ** (-26 / 20)  # RMS of the parts with speech, of full scale: usual for listening tests of speech
PEAK = 0.99


def leveled(waves: Sequence[np.ndarray], rate: int) -> list[np.ndarray]:
    """Return sounds ``(m,)`` of one trial with one loudness: louder ones would be preferred.

    Where a peak would clip, all of the trial become softer together.
    """
    scaled = [wave * (LEVEL / loudness) if (loudness := speech_rms(wave, rate)) > 0 else wave for wave in waves]
    peak = max((float(np.abs(wave).max()) for wave in scaled if len(wave)), default=0.0)
    return [wave * min(1.0, PEAK / peak) for wave in scaled] if peak > 0 else list(scaled)


def speech_rms(wave: np.ndarray, rate: int) -> float:
    """Return the RMS of the frames of 20 ms within 30 dB of the loudest, so that silence does not count."""
    size = max(1, rate // 50)
    padded = np.pad(np.asarray(wave, float), (0, -len(wave) % size))
    power = (padded.reshape(-1, size) ** 2).mean(1)
    return float(np.sqrt(power[power >= power.max() / 1000].mean())) if len(power) and power.max() > 0 else 0.0


def degraded(wave: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Return the sound in noise as strong as the speech."""
    noise = rng.standard_normal(len(wave)) * speech_rms(wave, rate)
    return np.asarray(wave, float) + noise


def write(file: Path, wave: np.ndarray, rate: int) -> None:
    """Write 16-bit FLAC."""
    soundfile.write(file, np.clip(wave, -1, 1), rate, format="FLAC", subtype="PCM_16")
