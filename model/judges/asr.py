"""Whisper as the judge of content: load, and transcribe in batches. :mod:`model.judges.words` compares texts.

Everything goes through the package's own classes (``whisper.model.Whisper``, ``whisper.decode``). A recognizer is
a folder with ``config.json`` and ``model.safetensors``: the embedded default, or one trained by ``bootstrap/``. It may
also be the name of a published model (``base.en``, ``large-v3``), whose weights the package fetches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import whisper
from whisper.audio import HOP_LENGTH, SAMPLE_RATE
from whisper.model import ModelDimensions, Whisper

from model import checkpoint
from model.errors import CheckpointError
from model.fast.reading import read_greedily

MODEL_TYPE = "whisper"
SEAM_SECONDS = 1.0  # a long recording is cut at the quietest point of a window's last second
QUIET_SAMPLES = 320  # 20 ms: the length over which energy is measured


def save(model: Whisper, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Write a folder that :func:`load_recognizer` takes; ``dtype`` narrows the file, not the model."""
    checkpoint.save(model, {"model_type": MODEL_TYPE, **asdict(model.dims)}, folder, dtype)


def load_recognizer(name_or_path: str | Path, device: str | torch.device = "cpu") -> Whisper:
    """Load a recognizer by folder or by published name, float32 and in evaluation mode.

    Raises:
        CheckpointError: no recognizer of this name, weights that do not fit the configuration, or a failed download.
    """
    name, folder, published = str(name_or_path), Path(name_or_path), whisper.available_models()
    if checkpoint.is_checkpoint(folder) or name not in published:
        dims = checkpoint.load_config(folder, "recognizer", MODEL_TYPE, ModelDimensions, published)
        return checkpoint.load_weights(checkpoint.built(lambda: Whisper(dims), folder), folder).to(device)
    try:
        return whisper.load_model(name, device=device).float().eval()
    except (OSError, RuntimeError) as error:  # no network, or a file that is not what was published
        raise CheckpointError(
            f"the published recognizer {name} could not be fetched: {error}; name a folder that holds it, "
            "or another recognizer"
        ) from error


def context_samples(model: Whisper) -> int:
    """Return the samples in a window of the model: 30 s for a published Whisper, 4 s for the embedded one."""
    return model.dims.n_audio_ctx * 2 * HOP_LENGTH  # the encoder's second convolution halves the mel frames


def log_mel(wave: torch.Tensor, model: Whisper) -> torch.Tensor:
    """Return ``(n_mels, 2 * n_audio_ctx)`` of one waveform ``(samples,)``, padded with silence to the model's context.

    One waveform at a time, because Whisper clips at 8 below the loudest bin of the whole tensor: the mels of a batch
    would depend on one another.
    """
    padded = torch.nn.functional.pad(wave, (0, context_samples(model) - wave.numel()))
    return whisper.log_mel_spectrogram(padded, model.dims.n_mels)


@torch.inference_mode()
def transcribe(model: Whisper, waves: Sequence[np.ndarray | torch.Tensor], batch_size: int = 32) -> list[str]:
    """Transcribe each waveform, in the order given: greedy, without timestamps.

    * A waveform longer than the model's context is cut into :func:`windows`, whose texts are joined. No sample is
      dropped, but a word across a cut may be misread.
    * No samples, or a sample that is not finite, give ``""``. So may silence: Whisper's rule that the first token may
      not be the end of text is switched off.

    Args:
        waves: mono waveforms ``(samples,)`` at 16 kHz, float in [-1, 1].
        batch_size: windows per forward pass.
    Raises:
        ValueError: a waveform with more than one dimension or of an integer type.
    """
    pieces: list[tuple[int, torch.Tensor]] = []  # (index of the waveform, one window of it)
    for index, wave in enumerate(waves):
        tensor = torch.as_tensor(wave).detach().cpu()
        if tensor.dim() != 1 or not tensor.is_floating_point():
            raise ValueError(
                f"waveform {index} has shape {tuple(tensor.shape)} and type {tensor.dtype}; "
                "expected float samples of shape (samples,)"
            )
        if tensor.numel() and torch.isfinite(tensor).all():
            pieces += [(index, piece) for piece in windows(tensor.float(), context_samples(model))]
    options = decoding_options(model)
    texts = [""] * len(pieces)
    # Similar lengths hold similar numbers of words, so a batch ends together.
    order = sorted(range(len(pieces)), key=lambda i: pieces[i][1].numel())
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        mels = torch.stack([log_mel(pieces[i][1], model) for i in chosen]).to(model.device)
        for i, text in zip(chosen, read_greedily(model, mels, options), strict=True):
            texts[i] = text
    joined: list[list[str]] = [[] for _ in waves]
    for (index, _), text in zip(pieces, texts, strict=True):
        joined[index].append(text)
    return [" ".join(filter(None, parts)) for parts in joined]


def decoding_options(model: Whisper, temperature: float = 0.0) -> whisper.DecodingOptions:
    """Return the settings of every transcription: English, no timestamps; greedy at temperature 0."""
    return whisper.DecodingOptions(
        language="en",
        temperature=temperature,
        without_timestamps=True,
        suppress_blank=False,
        length_penalty=1.0,  # without it, "" would be divided by its length of 0; with one candidate it decides nothing
        fp16=model.device.type == "cuda",
    )


def windows(wave: torch.Tensor, longest: int) -> list[torch.Tensor]:
    """Cut ``wave`` into consecutive pieces of at most ``longest`` samples.

    Each cut is at the quietest 20 ms of a window's last second (or last half, if the window is shorter than 2 s).
    """
    pieces = []
    while wave.numel() > longest:
        seam = min(int(SEAM_SECONDS * SAMPLE_RATE), longest // 2)
        energy = wave[longest - seam : longest].square().unfold(0, QUIET_SAMPLES, QUIET_SAMPLES // 2).sum(1)
        cut = longest - seam + int(energy.argmin()) * (QUIET_SAMPLES // 2) + QUIET_SAMPLES // 2
        pieces.append(wave[:cut])
        wave = wave[cut:]
    return [*pieces, wave]
