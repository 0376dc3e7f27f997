"""A classic measure of voice, kept out of the reward: cosine of whitened cepstral statistics.

The reward's own judge of voice is a network (Resemblyzer), and a high score of it need not mean a similar voice. This
measure shares nothing with it. It takes the mean and standard deviation of mel cepstra over an utterance's speech
frames. It whitens them so that utterances of one speaker vary equally in every direction, and compares them by cosine
(Hatch, Kajarekar and Stolcke, "Within-class covariance normalization for SVM-based speaker recognition", Interspeech
2006). The covariance is shrunk (Ledoit and Wolf, 2004), because a small corpus has few utterances for it. Fitting to
the corpus's golden speech takes a second and has no random part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torchaudio

from model.errors import InputError
from model.judges.waves import SAMPLE_RATE, audible

N_FFT, HOP = 400, 160  # 25 ms windows every 10 ms
N_MELS, N_COEFFICIENTS = 40, 20
SPEECH_BELOW_PEAK = 1e-3  # frames 30 dB or more below the loudest are pauses, which say nothing about the voice


@dataclass(frozen=True)
class Timbre:
    """A fitted measure: the mean of voices, and the directions that separate speakers."""

    mean: np.ndarray  # (d,): mean of the speakers' means
    whitening: np.ndarray  # (d, d)

    def embed(self, waves: Sequence[np.ndarray | torch.Tensor]) -> np.ndarray:
        """Return unit vectors ``(n, d)`` of mono 16 kHz waveforms; a row of NaN for silence or non-finite samples."""
        found = (statistics(waves) - self.mean) @ self.whitening
        norms = np.linalg.norm(found, axis=1, keepdims=True)
        return np.divide(found, norms, out=np.full_like(found, np.nan), where=norms > 0)


def fit(waves: Sequence[np.ndarray | torch.Tensor], speakers: Sequence[str]) -> Timbre:
    """Fit to golden speech, mono at 16 kHz, how the utterances of one speaker vary.

    Silent utterances are left out.

    Raises:
        InputError: fewer than two speakers, or no speaker with two utterances.
    """
    if len(waves) != len(speakers):
        raise ValueError(f"{len(waves)} waveforms and {len(speakers)} speakers; expected one speaker per waveform")
    found = statistics(waves)
    audible = ~np.isnan(found).any(axis=1)
    found, names = found[audible], np.asarray(speakers)[audible]
    groups = [found[names == name] for name in sorted(set(names.tolist()))]
    several = [group - group.mean(axis=0) for group in groups if len(group) > 1]
    if len(groups) < 2:
        raise InputError(f"{len(found)} utterances of {len(groups)} speaker(s): expected two speakers or more")
    if not several:
        raise InputError(f"{len(found)} utterances of {len(groups)} speakers: expected two or more of some speaker")
    within = np.concatenate(several)
    within *= np.sqrt(len(within) / (len(within) - len(several)))  # a mean was taken from each group
    scale = within.std(axis=0)
    scale[scale == 0] = 1.0
    covariance = shrunk_covariance(within / scale)
    whitening = np.linalg.cholesky(np.linalg.inv(covariance)) / scale[:, None]
    return Timbre(np.mean([group.mean(axis=0) for group in groups], axis=0), whitening)


def shrunk_covariance(rows: np.ndarray) -> np.ndarray:
    """Return the covariance ``(d, d)`` of centered ``rows (n, d)``, shrunk as far as Ledoit and Wolf (2004) estimate.

    It is scikit-learn's ``ledoit_wolf``, whose import takes longer than the fit.
    """
    n, d = rows.shape
    found = rows.T @ rows / n
    level = np.trace(found) / d  # towards this multiple of the identity
    distance = np.square(found - level * np.eye(d)).sum()
    error = (np.square(rows).sum(axis=1) @ np.square(rows).sum(axis=1) / n - np.square(found).sum()) / n
    share = min(error, distance) / distance if distance else 0.0
    return (1 - share) * found + share * level * np.eye(d)


def statistics(waves: Sequence[np.ndarray | torch.Tensor]) -> np.ndarray:
    """Return ``(n, 2 * 19)``: mean and standard deviation of each cepstral coefficient over the speech frames.

    The zeroth coefficient, loudness, is dropped. No samples, silence or a sample that is not finite give NaN.
    """
    rows = [_statistics(wave) for wave in waves]
    return np.stack(rows) if rows else np.zeros((0, 2 * (N_COEFFICIENTS - 1)))


@torch.inference_mode()
def _statistics(wave: np.ndarray | torch.Tensor) -> np.ndarray:
    if (found := audible(wave)) is None:
        return np.full(2 * (N_COEFFICIENTS - 1), np.nan)
    samples = torch.from_numpy(found)
    samples = samples / samples.abs().max()  # the logarithm's floor is absolute
    samples = torch.nn.functional.pad(samples, (0, max(0, N_FFT - samples.numel())))
    cepstra = _mfcc()(samples)  # (coefficients, frames)
    centered = torch.nn.functional.pad(samples, (N_FFT // 2, N_FFT // 2))
    power = centered.unfold(0, N_FFT, HOP).square().mean(1)[: cepstra.shape[1]]
    spoken = cepstra[1:, power > SPEECH_BELOW_PEAK * power.max()].double()
    return torch.cat([spoken.mean(1), spoken.std(1, correction=0)]).numpy()


@lru_cache(maxsize=1)
def _mfcc() -> torchaudio.transforms.MFCC:
    sizes = {"n_fft": N_FFT, "hop_length": HOP, "n_mels": N_MELS}
    return torchaudio.transforms.MFCC(SAMPLE_RATE, N_COEFFICIENTS, melkwargs=sizes)
