"""EnCodec as this project uses it: build, load, encode in batches, decode in batches.

Everything goes through the package's own classes (``encodec.EncodecModel``), on a CPU with faster layers
(:mod:`model.fast.codec`). A codec is named either by a
folder holding ``config.json`` and ``model.safetensors`` (the embedded default, or one trained by
``bootstrap/``) or by the name of a published model (``encodec_24khz``), whose weights the package fetches.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from encodec import EncodecModel
from encodec.modules import SEANetDecoder, SEANetEncoder
from encodec.quantization import ResidualVectorQuantizer
from safetensors.torch import load_file, save_file

from model.errors import CheckpointError, InputError
from model.fast.codec import speed_up
from model.fast.parallel import parallel_map

PUBLISHED = {"encodec_24khz": EncodecModel.encodec_model_24khz}
MIN_SAMPLES = 640  # two frames: the shortest input whose reflect padding EnCodec accepts at our strides


@dataclass(frozen=True)
class CodecConfig:
    """Shape of a small EnCodec; the defaults are the embedded checkpoint's."""

    sample_rate: int = 16000
    ratios: tuple[int, ...] = (8, 5, 4, 2)  # product = samples a frame: 320, so 50 frames/s
    n_filters: int = 12
    dimension: int = 64
    n_residual_layers: int = 1
    lstm: int = 0
    n_codebooks: int = 4
    codebook_size: int = 256


def build(config: CodecConfig) -> EncodecModel:
    """An untrained ``EncodecModel`` of this shape."""
    shape: dict[str, Any] = {
        "channels": 1,
        "n_filters": config.n_filters,
        "dimension": config.dimension,
        "n_residual_layers": config.n_residual_layers,
        "ratios": list(config.ratios),
        "causal": False,
        "lstm": config.lstm,
    }
    with warnings.catch_warnings():  # encodec uses torch's older weight_norm, which works and says so each time
        warnings.simplefilter("ignore", FutureWarning)
        encoder, decoder = SEANetEncoder(**shape), SEANetDecoder(**shape)
    quantizer = ResidualVectorQuantizer(dimension=config.dimension, n_q=config.n_codebooks, bins=config.codebook_size)
    model = EncodecModel(encoder, decoder, quantizer, [], config.sample_rate, channels=1, name="speechalign")
    model.bandwidth = None  # None means every codebook
    return model


def save(model: EncodecModel, config: CodecConfig, folder: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write ``config.json`` and ``model.safetensors``; ``dtype`` narrows the file, not the model."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().to(dtype).contiguous() for k, v in model.state_dict().items() if v.is_floating_point()}
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "encodec", **asdict(config)}, indent=2) + "\n")


def read_config(folder: Path) -> CodecConfig:
    """The shape of a saved codec."""
    fields = json.loads((folder / "config.json").read_text())
    fields.pop("model_type", None)
    return CodecConfig(**{**fields, "ratios": tuple(fields["ratios"])})


def load(name_or_path: str, device: str | torch.device = "cpu", trainable: bool = False) -> EncodecModel:
    """Load a codec by folder or by published name, in evaluation mode.

    On a CPU it is made faster (:mod:`model.fast.codec`), unless it is to be trained or saved again
    (``trainable``).

    Raises:
        CheckpointError: no checkpoint of this name, or weights that do not fit the configuration.
    """
    if name_or_path in PUBLISHED:
        try:
            model = PUBLISHED[name_or_path]()
        except (OSError, RuntimeError) as error:  # no network, or a file that is not what was published
            raise CheckpointError(f"the published codec {name_or_path} could not be fetched: {error}") from error
        model.set_target_bandwidth(6.0)  # 8 codebooks, as the paper's tokenizer has
        return _ready(model, device, trainable)
    folder = Path(name_or_path)
    if not (folder / "config.json").is_file() or not (folder / "model.safetensors").is_file():
        raise CheckpointError(
            f"no codec at {name_or_path!r}: expected a folder with config.json and model.safetensors, "
            f"or one of {sorted(PUBLISHED)}"
        )
    model = build(read_config(folder))
    state = {k: v.float() for k, v in load_file(folder / "model.safetensors").items()}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"the codec weights in {folder} do not fit its config.json: {error}") from error
    return _ready(model, device, trainable)


def _ready(model: EncodecModel, device: str | torch.device, trainable: bool) -> EncodecModel:
    model = model.eval().to(device)
    return model if trainable or torch.device(device).type != "cpu" else speed_up(model)


def hop_length(model: EncodecModel) -> int:
    """Samples a frame."""
    return int(model.encoder.hop_length)


def n_codebooks(model: EncodecModel) -> int:
    """Codebooks in use at the model's bandwidth."""
    return model.quantizer.get_num_quantizers_for_bandwidth(model.frame_rate, model.bandwidth)


def encode(model: EncodecModel, waves: Sequence[torch.Tensor], batch_seconds: float = 10.0) -> list[torch.Tensor]:
    """Codes of each waveform: int64 ``(n_codebooks, ceil(samples / hop))``, on the CPU, in the order given.

    Each waveform is first extended with silence to a whole number of frames; then only waveforms of the same number
    of frames share a batch. The encoder looks both ways, so padding one utterance to another's length would change
    its last codes; grouped like this, they equal the package's file-by-file codes of the same frames.

    Args:
        waves: mono float waveforms ``(samples,)`` at the codec's rate.
        batch_seconds: audio in one forward pass.
    """
    device, hop = next(model.parameters()).device, hop_length(model)
    groups: dict[int, list[int]] = {}
    for index, wave in enumerate(waves):
        if wave.dim() != 1 or wave.numel() < MIN_SAMPLES:
            raise InputError(
                f"waveform {index} has shape {tuple(wave.shape)}; expected (samples,), at least {MIN_SAMPLES} of them"
            )
        groups.setdefault(-(-wave.numel() // hop) * hop, []).append(index)
    codes: list[torch.Tensor] = [torch.empty(0)] * len(waves)

    def one(_worker: int, batch: tuple[int, list[int]]) -> None:
        length, chosen = batch
        padded = [torch.nn.functional.pad(waves[i], (0, length - waves[i].numel())) for i in chosen]
        with torch.inference_mode():
            [(batch_codes, _)] = model.encode(torch.stack(padded).unsqueeze(1).to(device))
        for row, i in enumerate(chosen):
            codes[i] = batch_codes[row].cpu()

    parallel_map(one, _batches(groups, batch_seconds * model.sample_rate), device.type)
    return codes


def _batches(groups: dict[int, list[int]], samples: float) -> list[tuple[int, list[int]]]:
    """(length, indices) of each forward pass: members of one group, at most ``samples`` in all, at least one."""
    return [
        (length, members[start : start + step])
        for length, members in groups.items()
        for step in [max(1, int(samples / length))]
        for start in range(0, len(members), step)
    ]


def decode(model: EncodecModel, codes: Sequence[torch.Tensor], batch_seconds: float = 10.0) -> list[torch.Tensor]:
    """Waveforms ``(frames * hop,)`` of codes ``(n_codebooks, frames)``, grouped by length as in :func:`encode`."""
    device = next(model.parameters()).device
    hop = hop_length(model)
    groups: dict[int, list[int]] = {}
    for index, code in enumerate(codes):
        if code.shape[-1]:
            groups.setdefault(code.shape[-1] * hop, []).append(index)
    waves: list[torch.Tensor] = [torch.zeros(0)] * len(codes)

    def one(_worker: int, batch: tuple[int, list[int]]) -> None:
        length, chosen = batch
        with torch.inference_mode():
            audio = model.decode([(torch.stack([codes[i] for i in chosen]).to(device), None)])[:, 0, :length]
        for row, i in enumerate(chosen):
            waves[i] = audio[row].cpu()

    parallel_map(one, _batches(groups, batch_seconds * model.sample_rate), device.type)
    return waves
