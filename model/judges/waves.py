"""Waveforms and embeddings as all judges take them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from model.audio import resample

SAMPLE_RATE = 16000  # Hz, of every judge but pitch


def at_judge_rate(waves: Sequence[np.ndarray], sample_rate: int) -> list[np.ndarray]:
    """Return mono waveforms ``(samples,)`` resampled to the judges' 16 kHz."""
    return [resample(wave, from_rate=sample_rate, to_rate=SAMPLE_RATE) for wave in waves]


def audible(wave: np.ndarray | torch.Tensor, dtype: type[np.floating] = np.float32) -> np.ndarray | None:
    """Return mono samples ``(samples,)`` as an array, or None for no samples, silence or a non-finite sample.

    Raises:
        ValueError: a waveform with several dimensions.
    """
    samples = np.asarray(wave.detach().cpu() if isinstance(wave, torch.Tensor) else wave, dtype=dtype)
    if samples.ndim != 1:
        raise ValueError(f"waveform has shape {samples.shape}; expected (samples,)")
    return samples if samples.any() and np.isfinite(samples).all() else None


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the similarity ``(n,)`` of unit vectors: each row of ``a (n, d)`` with the same row of ``b``.

    NaN where either is NaN.

    Raises:
        ValueError: arrays of two shapes.
    """
    if a.shape != b.shape:
        raise ValueError(f"embeddings differ in shape: {a.shape} and {b.shape}")
    return (a * b).sum(axis=-1)
