"""Resemblyzer as the judge of voice: embed utterances in batches, compare them.

The encoder is the package's own ``VoiceEncoder`` with the package's weights. Three things differ from its
``preprocess_wav``. Silences are not trimmed: its voice-activity detector decides by 30 ms blocks of 16-bit audio, which
makes short synthetic utterances lose words. The mel spectrogram is torch's, with the same numbers: librosa's compiles
for seconds at its first call. And the windows of many utterances share a pass through the LSTM.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
import torchaudio

from model.judges.waves import SAMPLE_RATE, audible

if TYPE_CHECKING:
    from resemblyzer import VoiceEncoder

RATE, MIN_COVERAGE = 1.3, 0.75  # VoiceEncoder.embed_utterance's defaults: windows a second, least filled share
N_FFT, HOP, N_MELS = 400, 160, 40  # the encoder's 25 ms windows every 10 ms
MEL_FILTERS = torchaudio.functional.melscale_fbanks(
    N_FFT // 2 + 1, 0.0, SAMPLE_RATE / 2, N_MELS, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
)


def load_speaker_encoder(device: str | torch.device = "cpu") -> VoiceEncoder:
    """Return Resemblyzer's encoder in evaluation mode: 16 kHz in, 256 numbers out."""
    from resemblyzer import VoiceEncoder  # and scipy with it, which a comparison without voices need not wait for

    return VoiceEncoder(torch.device(device), verbose=False).eval()


def mel_spectrogram(wave: np.ndarray) -> np.ndarray:
    """Return ``(frames, 40)`` mel power of ``(samples,)``, as ``resemblyzer.audio.wav_to_mel_spectrogram``."""
    window = torch.hann_window(N_FFT)
    stft = torch.stft(torch.from_numpy(wave), N_FFT, HOP, window=window, pad_mode="constant", return_complex=True)
    return (stft.abs().square().T @ MEL_FILTERS).numpy()


@torch.inference_mode()
def embed(encoder: VoiceEncoder, waves: Iterable[np.ndarray | torch.Tensor], batch_size: int = 64) -> np.ndarray:
    """Return ``(n, 256)`` float32 L2-normalized embeddings of mono 16 kHz waveforms ``(samples,)``.

    A waveform shorter than the encoder's 1.6 s window is padded with silence, as ``embed_utterance`` does. Its
    embedding is less certain, so compare like with like. An empty or silent waveform, or one with a sample that is not
    finite, gives a row of NaN; ``model.metrics.count_missing`` counts it as similarity 0.

    Args:
        waves: each is taken when its turn comes; no more of them is kept than the windows of one pass.
        batch_size: windows of 1.6 s per forward pass.
    """
    windows: list[np.ndarray] = []
    owners: list[int] = []
    sums: list[np.ndarray] = []

    def add(count: int) -> None:
        mels = torch.from_numpy(np.stack(windows[:count])).to(encoder.device)
        for owner, vector in zip(owners[:count], encoder(mels).cpu().numpy(), strict=True):
            sums[owner] += vector
        del windows[:count], owners[:count]

    for index, wave in enumerate(waves):
        sums.append(np.zeros(encoder.linear.out_features, np.float32))
        own = _windows(encoder, wave)
        windows += own
        owners += [index] * len(own)
        while len(windows) >= batch_size:
            add(batch_size)
    if windows:
        add(len(windows))
    found = np.stack(sums) if sums else np.zeros((0, encoder.linear.out_features), np.float32)
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    return np.divide(found, norms, out=np.full_like(found, np.nan), where=norms > 0)


def _windows(encoder: VoiceEncoder, wave: np.ndarray | torch.Tensor) -> list[np.ndarray]:
    """Return mel windows ``(160, 40)`` of a waveform; none of one without sound."""
    from resemblyzer.audio import normalize_volume
    from resemblyzer.hparams import audio_norm_target_dBFS

    if (samples := audible(wave)) is None:
        return []
    # As the encoder was trained: at least -30 dBFS.
    normalized = normalize_volume(samples, audio_norm_target_dBFS, increase_only=True).astype(np.float32)
    wave_slices, mel_slices = encoder.compute_partial_slices(len(normalized), RATE, MIN_COVERAGE)
    missing = wave_slices[-1].stop - len(normalized)
    mel = mel_spectrogram(np.pad(normalized, (0, max(0, missing))))
    return [mel[s] for s in mel_slices]
