"""``transformers``' own residual codecs: EnCodec, DAC (arXiv 2306.06546) and Mimi (arXiv 2410.00037)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import pad

from model.checkpoint import check_finite
from model.codecs.base import Codec
from model.codecs.folders import encodec_bandwidth, encodec_levels
from model.errors import CheckpointError


def load_pretrained(loader: Callable[..., Any], name_or_path: str, device: str | torch.device) -> Any:
    """Load a ``transformers`` codec for inference, from safetensors only.

    Raises:
        CheckpointError: weights that are missing, pickled, not finite or do not fit, or a failed download.
    """
    try:
        # transformers keeps some codecs' layers in half precision where their files have it.
        model, info = loader(
            name_or_path,
            use_safetensors=True,
            local_files_only=Path(name_or_path).is_dir(),
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # transformers raises errors of several packages
        raise CheckpointError(f"the codec {name_or_path} does not load: {error}") from error
    wrong = {k: v for k, v in info.items() if k in ("missing_keys", "unexpected_keys", "mismatched_keys") and v}
    if wrong:
        raise CheckpointError(f"the weights of the codec {name_or_path} do not fit its config.json: {wrong}")
    check_finite(model, Path(name_or_path))
    return model.eval().to(device)


class HuggingFaceCodec(Codec):
    """A residual codec of ``transformers``, whose levels all have one rate."""

    def __init__(self, model: Any):
        self.model = model
        self.device = next(model.parameters()).device
        self.sample_rate = model.config.sampling_rate
        self.codebook_size = model.config.codebook_size

    def decode_batch(self, codes: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
        waves = self._decode(codes)
        # Odd strides leave DAC's decoder a few samples short of whole frames.
        return pad(waves, (0, max(0, codes.shape[-1] * self.hop_length - waves.shape[-1])))

    def _decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Return waveforms ``(batch, samples)`` of ``codes (batch, levels, frames)``."""
        return self.model.decode(codes).audio_values[:, 0]


class TransformersEncodec(HuggingFaceCodec):
    """``transformers.EncodecModel``, mono; 6 kbit/s where the model has it."""

    def __init__(self, model: Any):
        super().__init__(model)
        self.hop_length = model.config.hop_length
        self.n_codebooks = encodec_levels(model.config)
        self.min_samples = 2 * self.hop_length  # reflect padding needs more samples than it adds

    @classmethod
    def load(cls, name_or_path: str, device: str | torch.device = "cpu") -> TransformersEncodec:
        from transformers import EncodecModel

        return cls(load_pretrained(EncodecModel.from_pretrained, name_or_path, device))

    def encode_batch(self, waves: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
        return self.model.encode(waves.unsqueeze(1), bandwidth=encodec_bandwidth(self.model.config)).audio_codes[0]

    def _decode(self, codes: torch.Tensor) -> torch.Tensor:
        return self.model.decode(codes[None], [None]).audio_values[:, 0]


class Dac(HuggingFaceCodec):
    """``transformers.DacModel``."""

    def __init__(self, model: Any):
        super().__init__(model)
        self.hop_length, self.n_codebooks = model.config.hop_length, model.config.n_codebooks
        self.min_samples = self.hop_length

    @classmethod
    def load(cls, name_or_path: str, device: str | torch.device = "cpu") -> Dac:
        from transformers import DacModel

        return cls(load_pretrained(DacModel.from_pretrained, name_or_path, device))

    def encode_batch(self, waves: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
        return self.model.encode(waves.unsqueeze(1)).audio_codes

    def _decode(self, codes: torch.Tensor) -> torch.Tensor:
        waves = self.model.decode(audio_codes=codes).audio_values
        return waves[:, 0] if waves.dim() == 3 else waves


class Mimi(HuggingFaceCodec):
    """``transformers.MimiModel``: level 1 is semantic, the others acoustic."""

    def __init__(self, model: Any):
        super().__init__(model)
        self.hop_length, self.n_codebooks = model.config.frame_size, model.config.num_quantizers
        self.min_samples = self.hop_length

    @classmethod
    def load(cls, name_or_path: str, device: str | torch.device = "cpu") -> Mimi:
        from transformers import MimiModel

        return cls(load_pretrained(MimiModel.from_pretrained, name_or_path, device))

    def encode_batch(self, waves: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
        return self.model.encode(waves.unsqueeze(1)).audio_codes
