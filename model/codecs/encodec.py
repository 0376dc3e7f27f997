"""EnCodec (arXiv 2210.13438), as the package ``encodec`` implements it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from encodec import EncodecModel
from encodec.modules import SEANetDecoder, SEANetEncoder
from encodec.quantization import ResidualVectorQuantizer

from model import checkpoint
from model.codecs.base import Codec
from model.errors import CheckpointError, InputError
from model.fast.codec import mixes_lengths, real_lengths, speed_up
from model.fast.seanet import Layer, as_products

MODEL_TYPE = "encodec"
PUBLISHED_MODELS = {"encodec_24khz": EncodecModel.encodec_model_24khz}


@dataclass(frozen=True)
class CodecConfig:
    """Shape of a small EnCodec; the defaults are the embedded checkpoint's."""

    sample_rate: int = 16000
    ratios: tuple[int, ...] = (8, 5, 4, 2)  # product = samples per frame: 320, so 50 frames/s
    n_filters: int = 12
    dimension: int = 64
    n_residual_layers: int = 1
    lstm: int = 0
    n_codebooks: int = 4
    codebook_size: int = 256


class Encodec(Codec):
    """An ``encodec.EncodecModel`` for inference."""

    min_samples = 640  # two frames: the shortest input whose reflect padding EnCodec accepts at our strides

    def __init__(self, model: EncodecModel):
        self.model = model
        self.sample_rate, self.hop_length = model.sample_rate, int(model.encoder.hop_length)
        self.n_codebooks = model.quantizer.get_num_quantizers_for_bandwidth(model.frame_rate, model.bandwidth)
        self.codebook_size = model.quantizer.bins
        self.device = next(model.parameters()).device
        self._products: Layer | None = None  # the decoder's layers, where they are faster as matrix products

    @classmethod
    def load(cls, name_or_path: str, device: str | torch.device = "cpu") -> Encodec:
        """Load for inference with the layers of :mod:`model.fast.codec`, on a CPU of :mod:`model.fast.seanet` too."""
        codec = cls(load_model(name_or_path).to(device))
        model = speed_up(codec.model)
        codec.mixes_lengths = mixes_lengths(model)
        if torch.device(device).type == "cpu" and not model.normalize:
            codec._products = as_products(model.decoder.model)
        return codec

    def encode_batch(self, waves: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
        with real_lengths(frames, waves.shape[-1] // self.hop_length):
            [(codes, _)] = self.model.encode(waves.unsqueeze(1))
        return codes

    def decode_batch(self, codes: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
        if self._products is None:
            with real_lengths(frames, codes.shape[-1]):
                return self.model.decode([(codes, None)])[:, 0]
        latent = self.model.quantizer.decode(codes.transpose(0, 1)).transpose(1, 2)  # (batch, longest, dimension)
        waves = latent.new_zeros(len(codes), codes.shape[-1] * self.hop_length)
        for wave, row, n in zip(waves, latent, frames, strict=True):
            wave[: n * self.hop_length] = self._products(row[:n])[:, 0]
        return waves

    @torch.inference_mode()
    def requantize(self, wave: torch.Tensor, level1: torch.Tensor, n_codebooks: int) -> torch.Tensor:
        """Return codes ``(n_codebooks, frames)`` of ``wave (samples,)`` whose level 1 is ``level1 (frames,)``.

        With the level-1 codes that EnCodec itself chooses, these are EnCodec's own codes.

        Raises:
            ValueError: a waveform with another number of frames.
            InputError: a model that normalizes loudness (48 kHz EnCodec).
        """
        frames = -(-wave.numel() // self.hop_length)
        if wave.numel() < self.min_samples or frames != len(level1):
            raise ValueError(f"{wave.numel()} samples are {frames} frames, but there are {len(level1)} level-1 codes")
        if self.model.normalize:
            raise InputError("this codec normalizes loudness, so its residuals cannot be quantized here")
        padded = torch.nn.functional.pad(wave, (0, frames * self.hop_length - wave.numel()))
        residual = self.model.encoder(padded[None, None].to(self.device))  # (1, dimension, frames)
        layers: Any = self.model.quantizer.vq.layers
        codes = []
        for index, layer in enumerate(layers[:n_codebooks]):
            chosen = layer.encode(residual) if index else level1[None].to(self.device)
            residual = residual - layer.decode(chosen)
            codes.append(chosen[0].cpu())
        return torch.stack(codes)


def build(config: CodecConfig) -> EncodecModel:
    """Return an untrained ``EncodecModel`` of this shape."""
    shape: dict[str, Any] = {
        "channels": 1,
        "n_filters": config.n_filters,
        "dimension": config.dimension,
        "n_residual_layers": config.n_residual_layers,
        "ratios": list(config.ratios),
        "causal": False,
        "lstm": config.lstm,
    }
    with warnings.catch_warnings():  # encodec uses torch's older weight_norm, which works and warns each time
        warnings.simplefilter("ignore", FutureWarning)
        encoder, decoder = SEANetEncoder(**shape), SEANetDecoder(**shape)
    quantizer = ResidualVectorQuantizer(dimension=config.dimension, n_q=config.n_codebooks, bins=config.codebook_size)
    model = EncodecModel(encoder, decoder, quantizer, [], config.sample_rate, channels=1, name="speechalign")
    model.bandwidth = None  # None means every codebook
    return model


def save(model: EncodecModel, config: CodecConfig, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Write a folder that :meth:`Encodec.load` takes; ``dtype`` narrows the file, not the model."""
    checkpoint.save(model, {"model_type": MODEL_TYPE, **asdict(config)}, folder, dtype)


def read_config(folder: Path) -> CodecConfig:
    """Return the shape of a saved codec.

    Raises:
        CheckpointError: no codec there, or another kind of model.
    """

    def make(ratios: list[int], **sizes: int) -> CodecConfig:
        return CodecConfig(ratios=tuple(ratios), **sizes)

    return checkpoint.load_config(folder, "codec", MODEL_TYPE, make, PUBLISHED_MODELS)


def load_model(name_or_path: str) -> EncodecModel:
    """Load the package's own model by folder or published name, in evaluation mode; it can be trained and saved.

    Raises:
        CheckpointError: no codec of this name, weights that do not fit the configuration, or a failed download.
    """
    if name_or_path not in PUBLISHED_MODELS:
        folder = Path(name_or_path)
        config = read_config(folder)
        return checkpoint.load_weights(checkpoint.built(lambda: build(config), folder), folder)
    try:
        model = PUBLISHED_MODELS[name_or_path]()
    except (OSError, RuntimeError) as error:  # no network, or a file that is not what was published
        raise CheckpointError(f"the published codec {name_or_path} could not be fetched: {error}") from error
    model.set_target_bandwidth(6.0)  # kbit/s: 8 codebooks, as the paper's tokenizer has
    return model.eval()
