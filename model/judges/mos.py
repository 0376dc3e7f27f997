"""Predicted mean opinion score: DNSMOS P.808, a network that predicts how people rate speech quality from 1 to 5.

Reddy et al. 2021 (arXiv 2010.15258). The weights come in the wheel of ``speechmos`` (MIT). Three things differ from its
``run``: its second network, which is not shown here, is not computed; the mel spectrogram is torch's, with the same
numbers, since librosa's compiles for seconds at its first call; and all recordings are brought to one level first,
because the prediction rises with loudness.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torchaudio

from model.errors import CheckpointError
from model.judges.waves import SAMPLE_RATE, audible

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

LEVEL = -26.0  # dB of full scale, of the frames with speech, as ITU-T P.808 asks of its material
ACTIVE_DB = 40.0  # a frame this far below the loudest holds no speech
FRAME = 320  # 20 ms
WINDOW_SECONDS = 9.01
N_FFT, HOP, N_MELS = 321, 160, 120
# An odd transform's last bin is below half the rate, which torchaudio does not know: it is told a lower rate.
LAST_BIN = N_FFT // 2 * SAMPLE_RATE / N_FFT  # Hz
with warnings.catch_warnings(action="ignore"):  # the lowest filters are narrower than a bin, as in training
    MEL_FILTERS = torchaudio.functional.melscale_fbanks(
        N_FFT // 2 + 1, 0.0, SAMPLE_RATE / 2, N_MELS, round(2 * LAST_BIN), norm="slaney", mel_scale="slaney"
    )


def load_predictor(threads: int = 1) -> InferenceSession:
    """Return the network.

    Raises:
        CheckpointError: speechmos or onnxruntime is not installed.
    """
    found = importlib.util.find_spec("speechmos")  # not imported: it imports librosa
    if found is None or found.origin is None or importlib.util.find_spec("onnxruntime") is None:
        raise CheckpointError(
            "predicted MOS needs the packages speechmos and onnxruntime, which are not installed: "
            "pip install speechmos onnxruntime, or leave it out"
        )
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    file = Path(found.origin).parent / "dnsmos_models" / "model_v8.onnx"
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def predict(predictor: InferenceSession, waves: Sequence[np.ndarray]) -> list[float | None]:
    """Return the predicted score of each mono 16 kHz waveform ``(samples,)``; None for silence or no samples."""
    return [None if (samples := audible(wave)) is None else _predict(predictor, samples) for wave in waves]


def _predict(predictor: InferenceSession, samples: np.ndarray) -> float:
    """Mean over windows of nine seconds, one per second; a shorter recording is repeated until it fills one."""
    size = int(WINDOW_SECONDS * SAMPLE_RATE)
    leveled = at_level(samples)
    while len(leveled) < size:
        leveled = np.concatenate([leveled, leveled])
    hops = int(len(leveled) // SAMPLE_RATE - WINDOW_SECONDS) + 1
    starts = [i * SAMPLE_RATE for i in range(hops) if i * SAMPLE_RATE + size <= len(leveled)]
    mels = np.stack([mel_spectrogram(leveled[start : start + size - HOP]) for start in starts])
    [scores] = predictor.run(None, {"input_1": mels})
    return float(np.mean(scores))


def at_level(samples: np.ndarray) -> np.ndarray:
    """Return ``(n,)`` with its speech at :data:`LEVEL`, unless that clips: then its peak is at full scale."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    power = (frames.astype(np.float64) ** 2).mean(axis=1) if len(frames) else np.array([(samples**2).mean()])
    active = power[power >= power.max() * 10 ** (-ACTIVE_DB / 10)]
    gain = 10 ** (LEVEL / 20) / max(float(np.sqrt(active.mean())), 1e-9)
    return (samples * min(gain, 1.0 / float(np.abs(samples).max()))).astype(np.float32)


def mel_spectrogram(wave: np.ndarray) -> np.ndarray:
    """Return ``(frames, 120)`` of ``(samples,)``: decibels below the loudest bin, from -80 to 0, as -1 to 1."""
    window = torch.hann_window(N_FFT)
    stft = torch.stft(torch.from_numpy(wave), N_FFT, HOP, window=window, pad_mode="constant", return_complex=True)
    power = (stft.abs().square().T @ MEL_FILTERS).clamp(min=1e-10)
    decibels = 10 * (power / power.max()).log10()
    return ((decibels.clamp(min=-80.0) + 40) / 40).numpy()
