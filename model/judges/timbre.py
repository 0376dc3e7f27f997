"""A classic measure of voice, kept away from the reward: cepstral statistics, whitened within speakers, by cosine.

The reward's own judge of voice is a network (Resemblyzer); what flatters it need not sound like the speaker. This
measure shares nothing with it: the mean and standard deviation of mel cepstra over an utterance's speech frames, in
the coordinates where utterances of one speaker vary equally in every direction (within-class covariance
normalisation: Hatch, Kajarekar and Stolcke, "Within-class covariance normalization for SVM-based speaker
recognition", Interspeech 2006), compared by their cosine. The covariance is shrunk (Ledoit and Wolf, 2004), since a
small corpus has few utterances for it. It is fitted to golden speech of the corpus in a second and has no random part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torchaudio
from sklearn.covariance import ledoit_wolf

from model.errors import InputError

SAMPLE_RATE, N_FFT, HOP = 16000, 400, 160  # 25 ms windows every 10 ms
N_MELS, N_COEFFICIENTS = 40, 20
SPEECH_BELOW_PEAK = 1e-3  # frames 30 dB or more below the loudest are pauses, whose length is no matter of voice


@dataclass(frozen=True)
class Timbre:
    """A fitted measure: where voices lie, and the directions that tell speakers apart."""

    mean: np.ndarray  # (d,): of the speakers' means
    whitening: np.ndarray  # (d, d)

    def embed(self, waves: Sequence[np.ndarray | torch.Tensor]) -> np.ndarray:
        """``(n, d)`` unit vectors of mono 16 kHz waveforms; a row of NaN where there is nothing to hear."""
        found = (statistics(waves) - self.mean) @ self.whitening
        norms = np.linalg.norm(found, axis=1, keepdims=True)
        return np.divide(found, norms, out=np.full_like(found, np.nan), where=norms > 0)


def similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``(n,)`` cosine of each row of ``a`` with the same row of ``b``; NaN where either is NaN."""
    if a.shape != b.shape:
        raise ValueError(f"embeddings differ in shape: {a.shape} and {b.shape}")
    return (a * b).sum(axis=-1)


def fit(waves: Sequence[np.ndarray | torch.Tensor], speakers: Sequence[str]) -> Timbre:
    """Learn from golden speech, mono at 16 kHz, how much the utterances of one speaker differ.

    Utterances with nothing to hear are left out.

    Raises:
        InputError: one speaker, around whose own mean every voice would look alike; or no speaker has two utterances,
            so nothing shows how one speaker's utterances differ.
    """
    if len(waves) != len(speakers):
        raise ValueError(f"{len(waves)} waveforms and {len(speakers)} speakers; expected one speaker a waveform")
    found = statistics(waves)
    heard = ~np.isnan(found).any(axis=1)
    found, names = found[heard], np.asarray(speakers)[heard]
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
    covariance, _ = ledoit_wolf(within / scale, assume_centered=True)
    whitening = np.linalg.cholesky(np.linalg.inv(covariance)) / scale[:, None]
    return Timbre(np.mean([group.mean(axis=0) for group in groups], axis=0), whitening)


def statistics(waves: Sequence[np.ndarray | torch.Tensor]) -> np.ndarray:
    """``(n, 2 * 19)``: mean and standard deviation of each cepstral coefficient over an utterance's speech frames.

    The zeroth coefficient, loudness, is dropped. NaN where there is nothing to hear: no samples, silence, or a sample
    that is not finite.
    """
    rows = [_statistics(wave) for wave in waves]
    return np.stack(rows) if rows else np.zeros((0, 2 * (N_COEFFICIENTS - 1)))


@torch.inference_mode()
def _statistics(wave: np.ndarray | torch.Tensor) -> np.ndarray:
    samples = torch.as_tensor(wave).detach().cpu().float()
    if samples.dim() != 1:
        raise ValueError(f"waveform has shape {tuple(samples.shape)}; expected (samples,)")
    if not samples.numel() or not torch.isfinite(samples).all() or not samples.any():
        return np.full(2 * (N_COEFFICIENTS - 1), np.nan)
    samples = samples / samples.abs().max()  # the logarithm's floor is absolute
    samples = torch.nn.functional.pad(samples, (0, max(0, N_FFT - samples.numel())))
    cepstra = _mfcc()(samples)  # (coefficients, frames)
    centred = torch.nn.functional.pad(samples, (N_FFT // 2, N_FFT // 2))
    power = centred.unfold(0, N_FFT, HOP).square().mean(1)[: cepstra.shape[1]]
    spoken = cepstra[1:, power > SPEECH_BELOW_PEAK * power.max()].double()
    return torch.cat([spoken.mean(1), spoken.std(1, correction=0)]).numpy()


@lru_cache(maxsize=1)
def _mfcc() -> torchaudio.transforms.MFCC:
    sizes = {"n_fft": N_FFT, "hop_length": HOP, "n_mels": N_MELS}
    return torchaudio.transforms.MFCC(SAMPLE_RATE, N_COEFFICIENTS, melkwargs=sizes)
