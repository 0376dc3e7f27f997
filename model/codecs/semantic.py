"""XCodec2 (arXiv 2502.04128) and NeuCodec (arXiv 2509.09550): one stream of finite scalar codes at 50 per second.

Both read a spectrogram and the waveform, normalized over the utterance, so each waveform is encoded alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import pad

from model.codecs.base import Codec
from model.codecs.hugging_face import load_pretrained
from model.fast.parallel import parallel_map


class SemanticCodec(Codec):
    """A codec of ``transformers`` with a semantic encoder, and its feature extractor."""

    n_codebooks = 1

    def __init__(self, model: Any, features: Any):
        self.model, self.features = model, features
        self.device = next(model.parameters()).device
        self.codebook_size = int(torch.tensor(model.config.quantization_levels).prod())
        self.hop_length = model.config.hop_length
        # The extractor of the spectrogram pads by half a frame on both sides, and needs two of its own frames.
        self.min_samples = 2 * self.encode_hop

    def encode_waves(self, waves: Sequence[torch.Tensor], batch_seconds: float = 0.0) -> list[torch.Tensor]:
        def one(_worker: int, wave: torch.Tensor) -> torch.Tensor:
            with torch.inference_mode():  # a property of the thread
                whole = pad(wave, (0, -wave.numel() % self.encode_hop))
                inputs = self.features(whole.cpu().numpy(), sampling_rate=self.encode_rate, return_tensors="pt")
                codes = self.model.encode(
                    input_values=inputs["input_values"].to(self.device),
                    input_features=inputs["input_features"].to(self.device),
                ).audio_codes[0]
            # The extractor always adds a sample, and with it a code of silence.
            return codes[:, : -(-wave.numel() // self.encode_hop)].cpu()

        return parallel_map(one, list(waves), self.device.type)

    def encode_batch(self, waves: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
        return torch.stack(self.encode_waves(list(waves))).to(self.device)

    def decode_batch(self, codes: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
        return self.model.decode(codes).audio_values[:, 0]


class Xcodec2(SemanticCodec):
    """``transformers.Xcodec2Model``, 16 kHz."""

    def __init__(self, model: Any, features: Any):
        self.sample_rate = model.config.sampling_rate
        super().__init__(model, features)

    @classmethod
    def load(cls, name_or_path: str, device: str | torch.device = "cpu") -> Xcodec2:
        from transformers import Xcodec2FeatureExtractor, Xcodec2Model

        model = load_pretrained(Xcodec2Model.from_pretrained, name_or_path, device)
        return cls(model, Xcodec2FeatureExtractor(hop_length=model.config.hop_length))


class NeuCodec(SemanticCodec):
    """``transformers.NeuCodecModel``: encodes 16 kHz, decodes 24 kHz."""

    def __init__(self, model: Any, features: Any):
        self.sample_rate = model.config.output_sampling_rate
        self._encode_rate = model.config.input_sampling_rate
        self._encode_hop = model.config.encoder_hop_length
        super().__init__(model, features)

    @property
    def encode_rate(self) -> int:
        return self._encode_rate

    @property
    def encode_hop(self) -> int:
        return self._encode_hop

    @classmethod
    def load(cls, name_or_path: str, device: str | torch.device = "cpu") -> NeuCodec:
        from transformers import NeuCodecFeatureExtractor, NeuCodecModel

        model = load_pretrained(NeuCodecModel.from_pretrained, name_or_path, device)
        return cls(model, NeuCodecFeatureExtractor(hop_length=model.config.encoder_hop_length))
